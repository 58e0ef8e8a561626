"""Texts as tokens with a mark between documents, the loss of the next token, and what a finished folder says of itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tasks import serving
from tasks.trainers import Job
from tasks.trainers.causal import chat

SEPARATOR = "<|endoftext|>"
"""What GPT-2 and most of its successors put between documents."""
TOKENIZER = ("tokenizer*.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json")
CONTEXT_MOST = 1024  # tokens that a finished base model reads at once when it is scored; its own limit if that is less
NEW_TOKENS_MOST = 128
ENCODED_AT_ONCE = 1000  # documents


def marks(folder: Path) -> tuple[int, int]:
    """The tokens before and after a document: the separator where the tokenizer has it, else begin and end of sequence."""
    tokenizer, config = serving.tokenizer(folder), _config(folder)
    if (separator := tokenizer.token_to_id(SEPARATOR)) is not None:
        return separator, separator
    end = config.get("eos_token_id")
    last = end[0] if isinstance(end, list) else end
    first = config.get("bos_token_id")
    return (first if first is not None else last or 0), (last if last is not None else first or 0)


def encoded(tokenizer: Any, texts: Sequence[str], first: int, last: int) -> Iterator[list[int]]:
    """Each text between its marks; one mark does where both are the same and another document follows."""
    tokenizer.no_truncation()
    for at in range(0, len(texts), ENCODED_AT_ONCE):
        batch = tokenizer.encode_batch(list(texts[at : at + ENCODED_AT_ONCE]), add_special_tokens=False)
        yield from ([first, *encoding.ids, last] for encoding in batch)


def without_double_marks(documents: Iterable[list[int]]) -> Iterator[list[int]]:
    """For a stream: the mark at the end goes where the next document's mark at the start is the same token."""
    return (ids[:-1] if ids[0] == ids[-1] else ids for ids in documents)


def summed(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over (n,) targets; `logits` (n, vocabulary).

    On a CPU the logits stay in bfloat16 if they are: the kernel sums in float32, each row's loss is rounded to three digits,
    and a step takes a third less time than with float32 logits.
    """
    with torch.autocast(logits.device.type, enabled=False):
        rows = functional.cross_entropy(logits.float() if logits.is_cuda else logits, targets, reduction="none")
    return rows.float().sum()


def describe(folder: Path, max_tokens: int, first: int) -> None:
    """What `tasks.serving` has to know of a folder."""
    about = {
        "kind": "causal",
        "max_tokens": max_tokens,
        "max_new_tokens": min(NEW_TOKENS_MOST, max_tokens // 2),
        "first": first,
    }
    (folder / "serving.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def copy_tokenizer(base: Path, folder: Path) -> None:
    for path in (path for pattern in TOKENIZER for path in sorted(base.glob(pattern))):
        shutil.copyfile(path, folder / path.name)


def reads_at_most(folder: Path, limit: int) -> int:
    """`limit`, or what the model in `folder` can read if that is less."""
    own: int = _config(folder).get("max_position_embeddings", limit)
    return min(limit, own)


def texts_of(job: Job) -> list[str]:
    """Texts as they are; chats as the plain template writes them, each answer followed by the separator."""
    return [chat.plain(document, SEPARATOR) for document in job.documents]


def _config(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
