"""The images of a split: one zip beside the split files, written by the audit, so that a training depends on one file more.

Members are files as they were delivered (or reduced, see the audit), named by the hash of their pixels; a document's `image`
is the zip's path and the member's name. Read one at a time, never as a whole.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, overload

from tasks.documents import Document
from tasks.stage import UserError

STORE = "images.zip"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the least date that a zip can hold: equal images give equal bytes


class Stored(Sequence[bytes]):
    """The files of images, each read when it is asked for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Stored: ...
    def __getitem__(self, place: int | slice) -> bytes | Stored:
        return Stored(self.names[place]) if isinstance(place, slice) else read(self.names[place])


def inputs(documents: Sequence[Document]) -> Sequence[Any]:
    """What a model is given of each document: its text, or the bytes of its image."""
    if any(document.image for document in documents):
        return Stored([document.image or "" for document in documents])
    return [document.text for document in documents]


def read(name: str) -> bytes:
    """The file that a document's `image` names."""
    store, _, member = name.rpartition("/")
    path = Path(store)
    try:
        return _opened(path, path.stat().st_mtime_ns, os.getpid()).read(member)
    except (FileNotFoundError, KeyError):
        raise UserError(f"{name}: not there; run `dvc repro audit`") from None


def write(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Stored as they are: images are compressed already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(part, "w") as store:
        for member, content in members:
            store.writestr(zipfile.ZipInfo(member, EPOCH), content)
    part.replace(path)


@cache
def _opened(path: Path, _changed: int, _process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
