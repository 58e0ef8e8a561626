"""This machine: the command as a child in its own process group, which ends when the process that waits for it ends.

Its output goes to `log` in the run's folder. What it says of itself goes to `status.json` (CROSSOVER_RAN).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any

from tasks.launch import Spec
from tasks.stage import die_with_parent

SECONDS_TO_SAVE = 30.0


_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this process started; an earlier process's jobs are known by pid and start time alone."""


def submit(spec: Spec) -> dict[str, Any]:
    with (spec.folder / "log").open("a") as log:
        child = subprocess.Popen(
            spec.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"CROSSOVER_RAN": str(spec.folder / "status.json")},
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    _children[child.pid] = child
    return {"pid": child.pid, "started": _started(child.pid)}


def alive(handle: dict[str, Any]) -> bool:
    """Whether that very process runs."""
    pid, started = int(handle["pid"]), handle["started"]
    if pid in _children and _children[pid].poll() is not None:
        return False
    return started is not None and _started(pid) == started


def cancel(handle: dict[str, Any]) -> None:
    """SIGTERM to the process group, 30 s for the command to save a checkpoint, then SIGKILL to what is left of the group."""
    if not alive(handle):
        return
    deadline = time.monotonic() + SECONDS_TO_SAVE
    os.killpg(handle["pid"], signal.SIGTERM)
    while alive(handle) and time.monotonic() < deadline:
        time.sleep(0.05)
    with suppress(ProcessLookupError):  # nothing is left
        os.killpg(handle["pid"], signal.SIGKILL)
    while alive(handle):
        time.sleep(0.05)


def _started(pid: int) -> str | None:
    """When the process started, in clock ticks since boot: tells it from a later one with the same number."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
