"""Chats as tokens: written by the base's own chat template, with targets on the assistant's answers alone.

Each answer is tokenized apart from what stands before it, just as when the model is asked; its target goes up to and with
the mark that ends it, so that the model learns to stop. (That mark may also be the padding token, as in SmolLM2: targets
come from where the answers stand, never from token ids.) A base without a template gets a plain one, kept in its folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks import documents, serving
from tasks.documents import Document
from tasks.serving import Message
from tasks.serving.causal import chat_tokenizer, render, with_system
from tasks.stage import UserError
from tasks.trainers import Cut, Job
from tasks.trainers.causal.packing import IGNORED

PLAIN = (
    "{{ bos_token if bos_token else '' }}{% for m in messages %}"
    "{{ 'User:\n' if m.role == 'user' else 'Assistant:\n' if m.role == 'assistant' else '' }}{{ m.content }}"
    "{{ eos_token if m.role == 'assistant' else '' }}\n"
    "{% endfor %}{{ 'Assistant:\n' if add_generation_prompt else '' }}"
)
"""What transformers renders where the base brings no template of its own."""
STOPS = ["\nUser:", "\nAssistant:"]
"""Where a base that never learnt the plain template has gone on to the next turn."""
TEMPLATE = "chat_template.jinja"


def is_of_chats(job: Job) -> bool:
    return all(document.messages for document in job.documents)


def tokens(job: Job, base: Path) -> tuple[list[list[int]], list[list[int]], Cut]:
    """Of each chat of the job its ids, and as many targets: the ids of the answers, IGNORED for all else.

    Chats are cut on the left to the recipe's `max_tokens` (and one, which is only read): what that loses comes third.
    """
    tokenizer, system, longest = tokenizer_of(base), job.recipe["system"], job.recipe["max_tokens"] + 1
    pairs = [of_chat(tokenizer, with_system(document.messages or [], system)) for document in job.documents]
    cut = Cut.of((len(ids) for ids, _ in pairs), longest)
    return [ids[-longest:] for ids, _ in pairs], [targets[-longest:] for _, targets in pairs], cut


def texts(job: Job, base: Path) -> list[str]:
    """Each chat of the job as the base's template writes it: to be learnt as a whole, questions and all."""
    tokenizer, system = tokenizer_of(base), job.recipe.get("system")
    chats = [with_system(document.messages or [], system) for document in job.documents]
    return [render(tokenizer, messages, answer_follows=False) for messages in chats]


def plain(document: Document, separator: str) -> str:
    """A chat as the plain template writes it, for a tokenizer with no marks but the separator; a text as it is."""
    from jinja2 import Template

    if not document.messages:
        return document.text
    written: str = Template(PLAIN).render(messages=document.messages, eos_token=separator)
    return written


def of_chat(tokenizer: Any, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    """Ids and targets of one chat, as long as each other."""
    ids: list[int] = []
    targets: list[int] = []
    written = ""
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = render(tokenizer, messages[:place]), render(tokenizer, messages[: place + 1], answer_follows=False)
        if not before.startswith(written) or not after.startswith(before):
            raise UserError(_REWRITES.format(place + 1))
        asked = tokenizer.encode(before[len(written) :], add_special_tokens=False)
        answer = tokenizer.encode(after[len(before) :], add_special_tokens=False)
        kept = _until_end(answer, tokenizer.eos_token_id)
        ids += asked + answer
        targets += [IGNORED] * len(asked) + answer[:kept] + [IGNORED] * (len(answer) - kept)
        written = after
    return ids, targets


_REWRITES = (
    "the base's chat template rewrites what stands before message {0} of a chat (some drop earlier thoughts or trim texts): "
    "such a template cannot be trained on; choose another base, or give it another chat_template.jinja"
)


def _until_end(answer: list[int], end: int | None) -> int:
    """How many tokens of an answer are to be learnt: all up to its last end mark; what a template puts after that is not."""
    places = [place for place, token in enumerate(answer) if token == end]
    return places[-1] + 1 if places else len(answer)


def tokenizer_of(base: Path) -> Any:
    """transformers' tokenizer of a base, with the plain template where it has none."""
    tokenizer = chat_tokenizer(base)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN
    return tokenizer


def lacks_template(folder: Path) -> bool:
    return chat_tokenizer(folder).chat_template is None


def answer_tokens(job: Job, folder: Path) -> int:
    """What the recipe's `answers_within`, a share, of the job's answers keep within, in tokens and with a mark at the end."""
    written = [documents.answered(document)[1] for document in job.documents]
    tokenizer = serving.tokenizer(folder)
    tokenizer.no_truncation()
    lengths = sorted(len(encoding.ids) for encoding in tokenizer.encode_batch(written, add_special_tokens=False))
    within: float = job.recipe["answers_within"]
    return lengths[math.ceil(len(lengths) * within) - 1] + 1


def describe(folder: Path, job: Job, stop: Sequence[str] = ()) -> None:
    """Add to a finished folder that it is asked in chats, how long it may answer, and the plain template where the base had
    none."""
    if lacks_template(folder):
        (folder / TEMPLATE).write_text(PLAIN, encoding="utf-8")
    about = json.loads((folder / "serving.json").read_text(encoding="utf-8"))
    about |= {"chat": True, "system": job.recipe.get("system"), "stop": list(stop)}
    about["max_new_tokens"] = min(answer_tokens(job, folder), about["max_tokens"] // 2)
    (folder / "serving.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
