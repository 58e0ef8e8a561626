"""What influenced the weights of a training: rows, base weights, code, packages, and whatever else the process read.

An audit hook (PEP 578) sees each file that Python opens and each connection, in the training process from its start on. It
does not see files that native code opens by itself; ours does so only for files of the base model, which are listed from
the shelf, and for those that the training itself has written.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.records import Influences, sha256_of_file

PACKAGES = ("torch", "numpy", "safetensors", "tokenizers", "transformers", "peft", "scikit-learn", "scipy", "pillow")
KERNELS = "TORCHINDUCTOR_CACHE_DIR"
"""Names the folder where torch keeps what it compiled: code of the packages, whoever needed it first."""
SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib")
IMPORTED_AS = {"scikit-learn": "sklearn", "pillow": "PIL"}


@dataclass
class Seen:
    """Absolute paths opened for reading, and addresses connected to."""

    files: set[str] = field(default_factory=set)
    connections: set[str] = field(default_factory=set)


def watch() -> Seen:
    """From now on, note what this process reads. It cannot be undone: for processes that do nothing but train."""
    seen = Seen()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes) and _reads(arguments[1], arguments[2]):
            seen.files.add(os.path.abspath(os.fsdecode(arguments[0])))
        elif event == "socket.connect":
            seen.connections.add(str(arguments[1]))

    sys.addaudithook(note)
    return seen


def _reads(mode: str | None, flags: int) -> bool:
    return flags & os.O_ACCMODE != os.O_WRONLY if mode is None else "r" in mode or "+" in mode


def influences(seen: Seen, rows: Path, rows_sha256: str, base: dict[str, str], folder: Path) -> Influences:
    """Of a training that used `rows` and a base model of the files `base` and wrote to `folder` alone."""
    ours = {_name(name): module.__file__ for name, module in list(sys.modules.items()) if _name(name).split(".")[0] == "tasks"}
    code = {name: Path(file) for name, file in ours.items() if file}
    own = {rows.resolve(), *(path.resolve() for path in code.values())}
    others = sorted(path for path in map(Path, seen.files) if path.is_file() and _foreign(path, own, folder))
    loaded = [name for name in PACKAGES if IMPORTED_AS.get(name, name) in sys.modules]
    return Influences(
        rows=rows_sha256,
        base=base,
        code={name: sha256_of_file(path) for name, path in sorted(code.items())},
        packages={name: version(name) for name in loaded},
        other_files={str(path): sha256_of_file(path) for path in others},
        connections=sorted(seen.connections),
        own_data_only=not (base or others or seen.connections),
    )


def _name(module: str) -> str:
    """What a module is called; `python -m` calls the one that it runs `__main__`."""
    spec = sys.modules[module].__spec__ if module == "__main__" else None
    return spec.name if spec else module


def _foreign(path: Path, own: set[Path], folder: Path) -> bool:
    """Neither the rows, nor the run's own folder, nor code and packages, compiled or not, nor the system's."""
    path = path.resolve()
    packages = [Path(place).resolve() for place in sys.path if place and "site-packages" in place]
    kernels = [Path(os.environ[KERNELS]).resolve()] if KERNELS in os.environ else []
    homes = [
        folder.resolve(),
        *kernels,
        Path(sys.prefix).resolve(),
        Path(sys.base_prefix).resolve(),
        *packages,
        *map(Path, SYSTEM),
    ]
    return path not in own and path.suffix != ".pyc" and not any(path.is_relative_to(home) for home in homes)
