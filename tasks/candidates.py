"""The base models that compete: what the shelf says of each, and how well its vocabulary fits the training text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks import documents, params, records, shelf, stage
from tasks.documents import Document
from tasks.records import Candidate, Candidates
from tasks.shape import shape_of
from tasks.stage import UserError

SAMPLE = 2000
"""Documents whose words are counted; the ratio's relative error is then well below a percent."""


def candidate(name: str, entry: shelf.Entry, folder: Path, training: Sequence[Document]) -> Candidate:
    """The base model `name` as a record. Nothing is excluded here: licences and sizes are weighed by `decide`."""
    texts = entry.reads == "texts"
    value, reason = fertility(folder / "tokenizer.json", training) if texts else (None, "a model of images has no vocabulary")
    return Candidate(
        name=name,
        sha256=entry.sha256,
        licence=entry.licence,
        source=entry.source,
        parameters=entry.parameters,
        bytes=sum((folder / file).stat().st_size for file in entry.files),
        max_tokens=entry.max_tokens,
        fertility=value,
        fertility_reason=reason,
        shape=_shape(folder, entry.parameters),
        row_tokens=row_tokens(folder / "tokenizer.json", training) if texts else [],
        training_flops=entry.training_flops,
        training_flops_source=entry.training_flops_source,
    )


def _shape(folder: Path, parameters: int) -> dict[str, Any] | None:
    shape = shape_of(json.loads((folder / "config.json").read_text(encoding="utf-8")), parameters)
    return None if shape is None else dataclasses.asdict(shape)


def fertility(tokenizer_file: Path, training: Sequence[Document]) -> tuple[float | None, str | None]:
    """Tokens a word, and None; or None and the reason why it is unknown.

    A word is what stands between white space (Rust et al. 2021, arXiv 2012.15613); many tokens a word mean that the model's
    vocabulary was made for other text. In a script that puts no space between words the number says little.
    """
    texts = _sample(training)
    words = sum(len(text.split()) for text in texts)
    if not words:
        return None, "the training texts have no words"
    return round(sum(_lengths(tokenizer_file, texts, marks=False)) / words, 4), None


def row_tokens(tokenizer_file: Path, training: Sequence[Document]) -> list[int]:
    """`Candidate.row_tokens`."""
    lengths = _lengths(tokenizer_file, _sample(training), marks=True)
    return [int(q) for q in np.quantile(lengths, np.linspace(0, 1, 21), method="nearest")] if lengths else []


def _sample(training: Sequence[Document]) -> list[str]:
    drawn = sorted(training, key=lambda document: documents.share("fertility", document.id))[:SAMPLE]
    return [document.text for document in drawn]


def _lengths(tokenizer_file: Path, texts: list[str], *, marks: bool) -> list[int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts, add_special_tokens=marks)]


def main(shelf_file: Path, training: Path, out: Path) -> None:
    names = params.load().candidates
    entries = shelf.entries(shelf_file)
    rows = documents.read(training)
    need = "images" if any(row.image for row in rows) else "texts"
    if strange := [name for name in names if name in entries and entries[name].reads != need]:
        able = ", ".join(name for name, entry in entries.items() if entry.reads == need) or "none yet"
        raise UserError(f"candidates = {strange}: not a model of {need}; {shelf_file} has of those: {able}")
    folders = {name: shelf.folder(name) for name in names}
    found = [candidate(name, entries[name], folders[name], rows) for name in names]
    records.write(Candidates(candidates=found), out)


if __name__ == "__main__":
    stage.run(main)
