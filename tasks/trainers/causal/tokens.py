"""Token ids of many documents: in memory, or written once beside a training's checkpoints and memory-mapped.

On disk they are shards of about `SHARD` ids, uint32 in the machine's byte order, whole documents each, and `starts.npy`. They
are written batch by batch, and a resume reads them instead of tokenizing again. Still in memory: the texts (chats as a
template writes them, too), a few numbers a document for its place and order, and while ids are written `AT_ONCE` documents.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.trainers import checkpoint

SHARD = 1 << 28  # ids, 1 GiB: a shard is full when it has so many
AT_ONCE = 1000  # documents
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """Documents as ids, each with its mark in front: document i is `starts[i]` to `starts[i + 1]` of the shards end to end."""

    shards: Sequence[NDArray[np.uint32]]
    """Each document lies in one of them."""
    starts: Ids
    begins: Ids
    """Where each shard does."""

    @staticmethod
    def of(documents: Iterable[Sequence[int]]) -> Tokens:
        """In memory."""
        parts = [np.asarray(document, np.uint32) for document in documents]
        return _of([np.concatenate(parts)], np.cumsum([0, *map(len, parts)]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def document(self, i: int) -> NDArray[np.uint32]:
        shard = int(np.searchsorted(self.begins, self.starts[i], side="right")) - 1
        start, end = self.starts[i : i + 2] - self.begins[shard]
        return self.shards[shard][start:end]


def kept(checkpoints: Path | None, made_of: str, documents: Iterable[Sequence[int]]) -> Tokens:
    """The documents in memory, or in `<checkpoints>/tokens`; `made_of` names all that they depend on (rows, tokenizer, marks).

    Where that folder names the same and its files verify, `documents` is not asked for any.
    """
    if checkpoints is None:
        return Tokens.of(documents)
    place = checkpoints / "tokens"
    if checkpoint.verified(place, made_of) is None:
        with checkpoint.whole(place, made_of) as part:
            _write(documents, part)
    return _of([np.memmap(path, np.uint32, "r") for path in sorted(place.glob("*.ids"))], np.load(place / "starts.npy"))


def _of(shards: Sequence[NDArray[np.uint32]], starts: Ids) -> Tokens:
    return Tokens(shards, starts, np.cumsum([0, *map(len, shards[:-1])]))


def _write(documents: Iterable[Sequence[int]], folder: Path) -> None:
    rest, ends = iter(documents), array("q", [0])
    while batch := list(islice(rest, AT_ONCE)):
        with (folder / f"{ends[-1] // SHARD:06d}.ids").open("ab") as file:
            for document in batch:
                file.write(np.asarray(document, np.uint32).tobytes())
                ends.append(ends[-1] + len(document))
    np.save(folder / "starts.npy", np.asarray(ends, np.int64))
