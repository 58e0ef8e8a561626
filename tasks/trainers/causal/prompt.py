"""A causal language model as it is. For chats, zero or few shot: whichever makes answers of training rows likelier.

The examples of few shot are training rows, put before every question as earlier turns of the chat. Nothing is trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks import answers, documents
from tasks.documents import Document, share
from tasks.serving.causal import Causal
from tasks.trainers import Job, Spent
from tasks.trainers.causal import chat, text
from tasks.trainers.text import copy

ASKED = 32  # training rows that choose between zero and few shot


def train(job: Job, folder: Path) -> Spent:
    """Recipe: `shots`, the numbers of examples to choose from."""
    assert job.base is not None
    copy(job.base, folder, ("config.json", "model*.safetensors*", *text.TOKENIZER))
    text.describe(folder, text.reads_at_most(job.base, text.CONTEXT_MOST), text.marks(job.base)[0])
    if chat.is_of_chats(job):
        chat.describe(folder, job, stop=chat.STOPS if chat.lacks_template(job.base) else [])
        _add_examples(job, folder)
    job.on_progress(1, 1)
    return Spent(1, 1)


def _add_examples(job: Job, folder: Path) -> None:
    rows = sorted(job.documents, key=lambda d: share("prompt", job.seed, d.id))
    most = max(job.recipe["shots"])
    asked, about = rows[most : most + ASKED], json.loads((folder / "serving.json").read_text(encoding="utf-8"))
    tried = {shots: about | {"examples": _turns(rows[:shots])} for shots in job.recipe["shots"] if asked or not shots}
    if len(tried) > 1:
        model = Causal(folder, about)
        bits = {shots: _bits_per_byte(model, settings, asked) for shots, settings in tried.items()}
        best = tried[min(bits, key=lambda shots: bits[shots])]
        about = best | {"bits_per_byte_by_shots": {str(shots): round(value, 4) for shots, value in bits.items()}}
    else:
        about = next(iter(tried.values()), about)
    (folder / "serving.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")


def _turns(rows: list[Document]) -> list[dict[str, str]]:
    """The rows' chats, one after the other, without their system messages."""
    return [message for row in rows for message in row.messages or [] if message["role"] != "system"]


def _bits_per_byte(model: Causal, about: dict[str, Any], rows: list[Document]) -> float:
    model.examples = about["examples"]
    prompts, right = zip(*map(documents.answered, rows), strict=True)
    nats = model.answer_nats(prompts, right)
    return float(answers.score("bits_per_byte", answers.read(right, nats))[0])
