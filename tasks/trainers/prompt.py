"""A causal language model as it is, asked in words which label fits (`tasks.serving.choices`). Nothing is trained.

Zero or few shot, and labels weighed against how likely they are without a text or not: whichever of these ways says the most
about training rows that are no examples (log loss).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tasks.documents import Document, share
from tasks.serving import Floats, softmax
from tasks.serving.causal import causal_model, chat_tokenizer
from tasks.serving.choices import label_scores
from tasks.stage import UserError
from tasks.trainers import Job, Spent, text

ASKED = 64  # training rows that choose between the ways to ask
EXAMPLE_CHARACTERS = 500  # of each example's text; the rest is left out
BEFORE, AFTER = "Text: ", "\nLabel:"


def train(job: Job, folder: Path) -> Spent:
    """Recipe: `shots`, the numbers of examples a label to choose from; `max_tokens` of a prompt, cut on the left."""
    assert job.base is not None
    _check(job.base)
    text.copy(job.base, folder, ("config.json", "model*.safetensors*", "generation_config.json", *text.TOKENIZER))
    tokenizer, model = chat_tokenizer(folder), causal_model(folder).eval()
    rows = sorted(job.documents, key=lambda d: share("prompt", job.seed, d.id))
    ways = [_way(job, folder, rows, shots) for shots in job.recipe["shots"]]
    examples = {d.id for d in _examples(rows, job.labels, max(job.recipe["shots"]))}
    asked = [row for row in rows if row.id not in examples][:ASKED]
    tried: list[tuple[float, dict[str, Any]]] = []
    for way in ways:
        without_text = label_scores(model, tokenizer, way, job.labels, [""])[0]
        scores = label_scores(model, tokenizer, way, job.labels, [row.text for row in asked])
        priors = np.zeros(len(job.labels), np.float32), without_text
        tried += [(_log_loss(scores - prior, asked, job.labels), way | {"prior": prior.tolist()}) for prior in priors]
    loss, best = min(tried, key=lambda one: one[0])
    about = {"kind": "choices", "labels": job.labels, **best, "log_loss_of_training_rows": round(loss, 4)}
    (folder / "serving.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
    job.on_progress(1, 1)
    return Spent(1, 1)


def _check(base: Path) -> None:
    made_for = json.loads((base / "config.json").read_text(encoding="utf-8")).get("architectures") or ["unknown"]
    if not any(name.endswith("ForCausalLM") for name in made_for):
        raise UserError(f"prompt: {base.name} is a {made_for[0]}, which cannot be asked; name a causal language model")


def _way(job: Job, folder: Path, rows: list[Document], shots: int) -> dict[str, Any]:
    task = f"Each text has one of these labels: {', '.join(job.labels)}.\n\n"
    solved = [f"{BEFORE}{row.text[:EXAMPLE_CHARACTERS]}{AFTER} {row.label}\n\n" for row in _examples(rows, job.labels, shots)]
    return {
        "head": task + "".join(solved),
        "before": BEFORE,
        "after": AFTER,
        "max_tokens": text.max_tokens(job, folder),
        "shots": shots,
    }


def _examples(rows: list[Document], labels: list[str], shots: int) -> list[Document]:
    """The first `shots` rows of each label, in turns."""
    by_label = [[row for row in rows if row.label == label][:shots] for label in labels]
    return [own[turn] for turn in range(shots) for own in by_label if turn < len(own)]


def _log_loss(scores: Floats, rows: list[Document], labels: list[str]) -> float:
    """In nats a row; of no rows, 0."""
    right = [labels.index(row.label) for row in rows]
    shares = softmax(scores)[np.arange(len(rows)), right] if rows else np.ones(1)
    return float(-np.log(np.maximum(shares, 1e-7)).mean())
