"""The one seam between a training and the place where it runs: hand over a command, wait for it, find it again.

The place comes from CROSSOVER_LAUNCHER, outside the graph, so that moving machines invalidates nothing. So far there is
one: `here`. A place is a module of `tasks/launchers` with `submit`, `alive` and `cancel`; the command writes its own end
to `status.json` in the run's folder, whatever the place. The handle is stored before anyone waits: a start after a
crash finds the job that still runs and waits for it, and never puts a second one beside it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from tasks.records import sha256_of
from tasks.stage import UserError

PLACES = ("here",)
State = Literal["running", "succeeded", "failed", "interrupted", "cancelled", "lost"]
Handle = dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """What to run: `command` with `folder` as its run folder (logs, status, checkpoints)."""

    command: list[str]
    folder: Path


@dataclass(frozen=True)
class Status:
    state: State
    exit_code: int | None
    message: str


class Place(Protocol):
    def submit(self, spec: Spec) -> Handle: ...
    def alive(self, handle: Handle) -> bool: ...
    def cancel(self, handle: Handle) -> None: ...


def run(spec: Spec, seconds_between_looks: float = 0.2) -> Status:
    """Submit, or find the job that an earlier start of the same folder left running, and wait for its end.

    A job that was found and turns out to have been interrupted is submitted again: it continues from its checkpoint.
    If waiting itself is interrupted, the job is cancelled before the exception goes on.
    """
    found = attached(spec.folder)
    handle = found or submit(spec)
    status = wait(handle, spec.folder, seconds_between_looks)
    if found and status.state in ("interrupted", "lost", "cancelled"):
        status = wait(submit(spec), spec.folder, seconds_between_looks)
    return status


def submit(spec: Spec) -> Handle:
    """Start the command and store its handle in the run's folder before returning it."""
    spec.folder.mkdir(parents=True, exist_ok=True)
    (spec.folder / "status.json").unlink(missing_ok=True)
    place = os.environ.get("CROSSOVER_LAUNCHER", "here")
    log = spec.folder / "log"
    offset = log.stat().st_size if log.exists() else 0
    handle = {"place": place, "key": sha256_of(spec.command), "log_offset": offset} | _place(place).submit(spec)
    part = spec.folder / ".handle.json"
    part.write_text(json.dumps(handle))
    part.replace(spec.folder / "handle.json")
    return handle


def attached(folder: Path) -> Handle | None:
    """The handle of a job of this folder that still runs."""
    try:
        handle: Handle = json.loads((folder / "handle.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return handle if _place(handle["place"]).alive(handle) else None


def wait(handle: Handle, folder: Path, seconds_between_looks: float) -> Status:
    """Block until the job has ended; what it writes to its log meanwhile appears on stderr."""
    place, shown = _place(handle["place"]), _log_size(folder)
    try:
        while place.alive(handle):
            shown = _show_log(folder, shown)
            time.sleep(seconds_between_looks)
    except BaseException:
        place.cancel(handle)
        raise
    _show_log(folder, shown)
    return status_of(folder)


def _log_size(folder: Path) -> int:
    """Where this start's part of the log begins; an earlier start's lines are not shown again."""
    return int(json.loads((folder / "handle.json").read_text()).get("log_offset", 0))


def _show_log(folder: Path, offset: int) -> int:
    path = folder / "log"
    if not path.exists():
        return offset
    with path.open("rb") as file:
        file.seek(offset)
        new = file.read()
    sys.stderr.write(new.decode(errors="replace"))
    sys.stderr.flush()
    return offset + len(new)


def status_of(folder: Path) -> Status:
    """How the folder's job ended, from the file it wrote itself; `lost` if it ended without writing one."""
    try:
        written = json.loads((folder / "status.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        written = {"exit_code": None}
    code = written["exit_code"]
    if code is None:
        return Status("lost", None, f"the job ended without a word; see {folder / 'log'}")
    state: State = "succeeded" if code == 0 else "interrupted" if code == 75 else "failed"
    return Status(state, code, written["message"])


def log_tail(folder: Path, lines: int = 20) -> str:
    try:
        return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _place(name: str) -> Place:
    if name not in PLACES:
        raise UserError(f"CROSSOVER_LAUNCHER = {name}: can so far be {', '.join(PLACES)}")
    return cast(Place, import_module(f"tasks.launchers.{name}"))
