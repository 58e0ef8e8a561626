"""Checkpoints that survive a kill at any moment: safetensors and JSON, a manifest written last, then renamed into place.

`<folder>/step-<10 digits>/` holds weights.safetensors, moments.safetensors, state.json and manifest.json (sha256 of the
others). Loading takes the newest that verifies and falls back to the one before. Two are kept. No pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

KEPT = 2
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Saved:
    weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    state: dict[str, Any]


def save(
    folder: Path, step: int, weights: dict[str, Tensor], moments: dict[str, Tensor], state: dict[str, Any], identity: str
) -> None:
    """Write the checkpoint of `step` so that it is there as a whole or not at all; then drop all but the newest two."""
    from safetensors.torch import save_file

    with whole(folder / f"step-{step:010d}", identity, state) as part:
        save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, part / "weights.safetensors")
        save_file({name: tensor.cpu().contiguous() for name, tensor in moments.items()}, part / "moments.safetensors")
    for old in _newest_first(folder)[KEPT:]:
        shutil.rmtree(old)


@contextmanager
def whole(place: Path, identity: str, state: dict[str, Any] | None = None) -> Iterator[Path]:
    """A folder to write files into, which is at `place` afterwards: as a whole, with its manifest, or not at all."""
    part = place.with_name(".part")  # one at a time; what a kill left of the last is written over
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    (part / "state.json").write_text(json.dumps({"identity": identity, "state": state or {}}))
    digests = {path.name: _sha256(path) for path in sorted(part.iterdir())}
    for name in digests:
        _flush(part / name)
    (part / MANIFEST).write_text(json.dumps(digests))
    _flush(part / MANIFEST)
    _flush(part)
    shutil.rmtree(place, ignore_errors=True)
    part.rename(place)
    _flush(place.parent)


def newest(folder: Path, identity: str) -> Saved | None:
    """The newest checkpoint in `folder` that is whole, unchanged and of the training that `identity` names."""
    for place in _newest_first(folder):
        if (state := verified(place, identity)) is not None:
            return _load(place, state)
    return None


def _load(place: Path, state: dict[str, Any]) -> Saved:
    from safetensors.torch import load_file

    return Saved(load_file(place / "weights.safetensors"), load_file(place / "moments.safetensors"), state)


def verified(place: Path, identity: str) -> dict[str, Any] | None:
    """The state in the folder, if every file is what the manifest says and `identity` is what it was written with."""
    try:
        digests = json.loads((place / MANIFEST).read_text())
        if any(_sha256(place / name) != digest for name, digest in digests.items()):
            return None
        written = json.loads((place / "state.json").read_text())
    except (OSError, ValueError):
        return None
    return written["state"] if written["identity"] == identity else None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Onto the disk, so that a power cut cannot undo it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
