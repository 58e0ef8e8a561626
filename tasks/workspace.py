"""Where things lie that git does not version: one folder that all worktrees of a repository share."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tasks.stage import UserError


@cache
def shared() -> Path:
    """`<git common dir>/crossover`: cells, checkpoints, shelf, Prefect's database, logs. Made if it is not there."""
    folder = _git_path("--git-common-dir") / "crossover"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Wait for, and hold, a lock that all worktrees of this repository share; the system frees it with the process."""
    with (shared() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def root() -> Path:
    """The top folder of this checkout or worktree."""
    return _git_path("--show-toplevel")


@cache
def main_checkout() -> Path:
    """The checkout that people work in, also when called from a worktree of it: where mlflow.db lies."""
    return _git_path("--git-common-dir").parent


def _git_path(option: str) -> Path:
    command = ["git", "rev-parse", "--path-format=absolute", option]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{Path.cwd()} is not a git repository: run `make install`, which sets one up")
    return Path(done.stdout.strip())


def changed() -> list[str]:
    """The files that differ from the last commit or are new, as git names them; what git ignores is not among them."""
    done = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, cwd=root())
    return [line[3:] for line in done.stdout.splitlines()]
