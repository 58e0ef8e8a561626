"""The user's data file under DVC: added when it is new. (When it has changed, stages.py has DVC take it as it is.)"""

from __future__ import annotations

import subprocess
from pathlib import Path

from flows.stages import dvc
from flows.worktrees import in_own_worktree
from tasks import workspace
from tasks.stage import UserError


def track(path: str) -> None:
    """Have DVC track `data.path`. Raises UserError if it lies outside the repository or is not there.

    A file that git itself tracks stays with git. In a run's own worktree nothing is added: what is not tracked at the
    commit that the run works on is not there.
    """
    pointer = Path(f"{path}.dvc")
    if in_own_worktree():
        _must_be_there(path, pointer)
    elif not _in_git(path):
        _add(path, pointer)


def _must_be_there(path: str, pointer: Path) -> None:
    if not Path(path).exists() and not pointer.exists():
        raise UserError(
            f"data.path = {path}: not tracked at this commit; say `dvc add {path}` in the main checkout and commit {pointer}"
        )
    if not Path(path).exists():
        raise UserError(f"data.path = {path}: its content is in no cache here; run `dvc pull {pointer}` in the main checkout")


def _add(path: str, pointer: Path) -> None:
    if not Path(path).resolve().is_relative_to(workspace.root()):
        raise UserError(
            f"data.path = {path}: lies outside the project; copy it under data/, or `dvc import-url {path} data/`"
            " and give the name that it has there"
        )
    if not Path(path).exists():
        if not pointer.exists():
            raise UserError(f"data.path = {path}: no such file")
        dvc("checkout", "--quiet", str(pointer))
    elif not pointer.exists():
        dvc("add", "--quiet", path)


def _in_git(path: str) -> bool:
    done = subprocess.run(["git", "ls-files", "--error-unmatch", path], capture_output=True)
    return done.returncode == 0
