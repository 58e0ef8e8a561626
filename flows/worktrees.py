"""The worktrees that flow runs work in (made by infra/worktree.sh), and how they go."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from tasks import workspace

SECONDS_TO_KEEP = 24 * 3600.0
"""Of a run that failed or crashed, for a person to look at or to continue it."""


def folder() -> Path:
    return workspace.shared() / "worktrees"


def in_own_worktree() -> bool:
    """Whether this process works in a worktree made for its run, not in a person's checkout."""
    return workspace.root().parent == folder()


def reap() -> list[str]:
    """Remove the worktrees of runs that have completed, and of others a day after their end; the names of those gone."""
    with get_client(sync_client=True) as client:
        gone = [path for path in _of_runs() if path != workspace.root() and _is_over(client, UUID(path.name))]
    for path in gone:
        command = ["git", "-C", str(workspace.main_checkout()), "worktree", "remove", "--force", str(path)]
        subprocess.run(command, capture_output=True)
    return [path.name for path in gone]


def _of_runs() -> list[Path]:
    return [path for path in folder().glob("*") if len(path.name) == 36]


def _is_over(client: SyncPrefectClient, run: UUID) -> bool:
    try:
        state = client.read_flow_run(run).state
    except ObjectNotFound:
        return False  # another server's run
    if state is None or not state.is_final():
        return False
    return state.is_completed() or time.time() - state.timestamp.timestamp() > SECONDS_TO_KEEP
