"""The datum: one example, and the split files that hold many of them (JSON lines)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.stage import UserError


@dataclass(frozen=True, slots=True)
class Document:
    """`id` is unique; rows of one `group` (duplicates, one user) never stand on both sides of a split.

    `label` is empty for text generation: there the text itself is what is learnt, or the answers of a chat.
    """

    id: str
    text: str
    """Of a chat: what its messages say, one after the other."""
    label: str
    group: str
    messages: list[dict[str, str]] | None = None
    """A chat: `role` (system, user, assistant) and `content` of each message; the last one is the assistant's answer."""
    rejected: str | None = None
    """Preference data: an answer that is worse than the chat's last message."""
    image: str | None = None
    """`<zip beside the split file>/<hash of its pixels>` (see `tasks.images`); then `text` is empty."""


def read(path: Path) -> list[Document]:
    """All documents of a split file that the audit wrote."""
    try:
        with path.open(encoding="utf-8") as lines:
            return [Document(**json.loads(line)) for line in lines]
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro audit`") from None


def write(documents: Iterable[Document], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for document in documents:
            row = {name: value for name, value in asdict(document).items() if value is not None}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def sha256(documents: Iterable[Document]) -> str:
    """Of what the documents say, in any order: two sets of rows are equal when this is."""
    rows = sorted(f"{d.id}\x1f{d.label}\x1f{_content(d)}" for d in documents)
    return hashlib.sha256("\x1e".join(rows).encode()).hexdigest()


def _content(document: Document) -> str:
    """The text, the text with its messages, or the hash of the image's pixels, wherever it is stored."""
    if document.image:
        return document.image.rpartition("/")[2]
    chat = document.messages, document.rejected
    return document.text if chat == (None, None) else f"{document.text}\x1f{json.dumps(chat, sort_keys=True)}"


def answered(document: Document) -> tuple[list[dict[str, str]], str]:
    """The messages before a chat's last answer, and that answer."""
    assert document.messages
    return document.messages[:-1], document.messages[-1]["content"]


def share(*words: object) -> float:
    """A number in [0, 1) that is a fixed function of `words`: a draw that no other row's presence changes."""
    digest = hashlib.sha256("\x1f".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def labels_of(documents: Iterable[Document]) -> list[str]:
    """Sorted; none for documents without labels."""
    return sorted({document.label for document in documents} - {""})


def label_numbers(documents: Iterable[Document], labels: list[str]) -> list[int]:
    """The place of each document's label in `labels`; the audit sees to it that every label is there."""
    number = {label: i for i, label in enumerate(labels)}
    return [number[document.label] for document in documents]
