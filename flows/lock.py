"""One flow at a time in a workspace: a lock that the kernel frees when its holder dies, and that says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tasks.stage import Interrupted

SECONDS_TO_WAIT = 600.0


@contextmanager
def hold(path: Path, say: Callable[[str], None], **about: str) -> Iterator[dict[str, Any] | None]:
    """Hold `path`; yields what an earlier holder that died without letting go had written, else None.

    Waits up to ten minutes for another holder, telling `say` once who it is; then raises Interrupted (exit code 75).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _wait(file, say, time.monotonic() + SECONDS_TO_WAIT)
        left = _content(file)
        _replace(file, json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")} | about))
        try:
            yield left
        finally:
            _replace(file, "")


def _wait(file: IO[str], say: Callable[[str], None], deadline: float) -> None:
    told = False
    while not _taken(file):
        holder = _content(file) or {"pid": "?", "since": "just now"}
        who = f"another run works here (pid {holder['pid']}, since {holder['since']})"
        if time.monotonic() >= deadline:
            raise Interrupted(f"{who}; try again when it has ended, or end it with `kill {holder['pid']}`")
        if not told:
            say(f"{who}; waiting for it, {deadline - time.monotonic():.0f} s at most")
        told = True
        time.sleep(0.2)


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _content(file: IO[str]) -> dict[str, Any] | None:
    file.seek(0)
    try:
        return dict(json.loads(file.read()))
    except ValueError:
        return None


def _replace(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
