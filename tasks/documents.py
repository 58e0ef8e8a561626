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

    `label` is empty for text generation: there the text itself is what is learnt.
    """

    id: str
    text: str
    label: str
    group: str


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
            file.write(json.dumps(asdict(document), ensure_ascii=False) + "\n")


def sha256(documents: Iterable[Document]) -> str:
    """Of what the documents say, in any order: two sets of rows are equal when this is."""
    rows = sorted(f"{d.id}\x1f{d.label}\x1f{d.text}" for d in documents)
    return hashlib.sha256("\x1e".join(rows).encode()).hexdigest()


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
