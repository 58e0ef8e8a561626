"""DVC's graph as Prefect tasks. The graph is read from DVC each time; there is no second list of stages.

A stage runs as `dvc repro --single-item <stage>` in a process of its own that ends with this one. What DVC need not run
is shown as Cached. After a failure or an interruption nothing new starts: what depends on the stage is shown as NotReady
(Prefect's word), the others that were left out as NotRun.
By default one stage runs at a time: pilots that share cores falsify each other's clocks.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture, wait
from prefect.states import Cancelled, Completed, Failed

from flows.terminal import Ahead, artifact_key, duration, say
from tasks.stage import Interrupted, UserError, die_with_parent

Graph = dict[str, set[str]]
SECONDS_TO_SAVE = 45.0
"""Between SIGTERM and SIGKILL: longer than a training takes to write its checkpoint."""
SECONDS_BETWEEN_ARTIFACTS = 3.0
STATE_NAMES = {2: "WrongInput", 3: "Refused", 75: "Interrupted"}
"""Exit code of a stage to the name of its state in the Prefect UI; any other: Failed."""


class StageFailed(UserError):
    """A stage ended badly; carries its exit code and its own line."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


# ---- what DVC says ---------------------------------------------------------------------------------------------------


def graph() -> Graph:
    """Each stage of the `dvc.yaml` here with the stages whose files or values it needs."""
    needs: Graph = {}
    for line in dvc("dag", "--dot").splitlines():
        names = [name for name in re.findall(r'"([^"]+)"', line) if not name.endswith(".dvc")]
        if names:
            needs.setdefault(names[-1], set()).update(names[:-1])
    return needs


def status() -> set[str]:
    """What DVC names as changed, once it has taken files that it tracks, and that somebody has changed, as they are now."""
    named = json.loads(dvc("status", "--json") or "{}")
    if modified := [name for name, why in named.items() if name.endswith(".dvc") and "modified" in json.dumps(why)]:
        dvc("commit", "--force", "--quiet", *modified)
        named = json.loads(dvc("status", "--json") or "{}")
    return set(named)


def changed(needs: Graph, named: set[str]) -> set[str]:
    """The stages that DVC might run: those it names and all that follow them. The others need not be asked about."""
    return {stage for stage in needs if named & with_ancestors(needs, [stage])}


def with_ancestors(needs: Graph, stages: Iterable[str]) -> set[str]:
    found: set[str] = set()
    todo = list(stages)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(needs[name])
    return found


def dvc(*arguments: str) -> str:
    """What the command prints. Raises UserError with DVC's reason."""
    done = subprocess.run(["dvc", *arguments], capture_output=True, text=True, env=environment())
    if done.returncode:
        raise UserError(_reason(done.stderr))
    return done.stdout


def _reason(stderr: str) -> str:
    lines = stderr.partition("ERROR: ")[2] or stderr
    return " ".join(lines.split("\n\n")[0].split()) or "dvc failed without a word"


def environment() -> dict[str, str]:
    """For subprocesses: the commands of the Python that runs this, also where no environment is activated."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}


# ---- the graph as tasks ----------------------------------------------------------------------------------------------


def run(use_case: str, *targets: str, slots: int = 1) -> list[str]:
    """Inside a flow: run the targets (none given: every stage) with all they need; the stages that took work, in order.

    Raises StageFailed with the exit code and the line of the first stage that failed, Interrupted on SIGTERM and Ctrl-C.
    """
    with ThreadPoolExecutor() as pool:  # DVC takes a second for either
        named, needs = pool.submit(status), graph()
    if missing := set(targets) - set(needs):
        raise UserError(f"dvc.yaml: there is no stage {', '.join(sorted(missing))}")
    wanted = with_ancestors(needs, targets or needs)
    order = [name for name in TopologicalSorter(needs).static_order() if name in wanted]
    todo = changed(needs, named.result())
    work = Work(use_case, slots, [name for name in order if name in todo])
    futures: dict[str, PrefectFuture[Any]] = {}
    with work.until_interrupted():
        for name in order:
            upstreams = [futures[upstream] for upstream in sorted(needs[name])]
            one = stage.with_options(task_run_name=name)
            futures[name] = one.submit(name, work if name in todo else None, wait_for=upstreams, return_state=False)
        wait(list(futures.values()))
    if work.failure:
        raise work.failure
    return [name for name in order if name in work.ran]


@task(name="stage", cache_policy=NO_CACHE, persist_result=False)
def stage(name: str, work: Work | None) -> State[Any]:
    """One stage of the graph; without `work` there is nothing to do."""
    if work is None:
        return Completed(name="Cached", message="nothing that it depends on has changed")
    with work.slots:
        return Cancelled(name="NotRun", message=work.stop) if work.stop else work.do(name)


class Work:
    """The stages of one run that may have to run, and how they ended."""

    def __init__(self, use_case: str, slots: int, stages: list[str]) -> None:
        self.use_case = use_case
        self.slots = threading.Semaphore(slots)
        self.ahead = Ahead(stages)
        self.ran: set[str] = set()
        self.failure: StageFailed | None = None
        self.stop = ""
        """Why no further stage starts."""
        self.interrupted = False

    @contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """On the way out of an interruption the running stages get SIGTERM, from the threads that wait for them."""
        try:
            yield
        except BaseException as error:
            self.interrupted, self.stop = True, "the run was interrupted"
            if isinstance(error, KeyboardInterrupt | TerminationSignal):
                raise Interrupted("interrupted; what was measured is kept, the same command continues") from None
            raise

    def do(self, name: str) -> State[Any]:
        """Run the stage to its end."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="crossover-") as folder:
            said = Path(folder, "said.json")
            code = Running(self, name, Path(folder, "progress.jsonl"), said).wait()
            told = json.loads(said.read_text()) if said.exists() else None
        seconds = time.monotonic() - started
        self.ahead.finished(name, seconds if told and not code else None)
        if code:
            return self._failed(name, told)
        if told is None:
            return Completed(name="Cached", message="restored from DVC's cache")
        self.ran.add(name)
        say(f"{name}: done in {duration(seconds)}")
        return Completed(message=f"ran {duration(seconds)}")

    def _failed(self, name: str, told: dict[str, Any] | None) -> State[Any]:
        code, message = self._why(name, told)
        restore_deleted(name)
        self.stop = self.stop or f"{name} failed"
        self.failure = self.failure or StageFailed(code, f"{name}: {message}")
        state_of = Cancelled if code == Interrupted.exit_code else Failed
        return state_of(name=STATE_NAMES.get(code, "Failed"), message=message)

    def _why(self, name: str, told: dict[str, Any] | None) -> tuple[int, str]:
        """Exit code and line of a stage that failed: its own words, or DVC's if it did not come to run."""
        if told and told["exit_code"] is not None:
            return told["exit_code"], told["message"]
        if self.interrupted:
            return Interrupted.exit_code, "interrupted; the same command continues"
        if told:
            return 1, "ended without a word: killed from outside, or out of memory"
        done = subprocess.run(
            ["dvc", "repro", "--dry", "--single-item", name], capture_output=True, text=True, env=environment()
        )
        return 2, _reason(done.stderr)


class Running:
    """A stage that runs: its process, what it prints, how far it is."""

    def __init__(self, work: Work, name: str, progress: Path, said: Path) -> None:
        self.work, self.name, self.progress = work, name, progress
        self.process = subprocess.Popen(
            ["dvc", "--wait-for-lock", "repro", "--quiet", "--single-item", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment() | {"CROSSOVER_RAN": str(said), "CROSSOVER_PROGRESS": str(progress), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self.artifact: UUID | None = None
        self.artifact_at = 0.0

    def wait(self) -> int:
        """The exit code that DVC gives. Passes an interruption of the run on to the stage."""
        reader = threading.Thread(target=copy_context().run, args=(self._read,), daemon=True)
        reader.start()
        deadline = None
        while (code := self._ended()) is None:
            self._show()
            if self.work.interrupted and deadline is None:
                deadline = time.monotonic() + SECONDS_TO_SAVE
                self._signal(signal.SIGTERM)
            if deadline and time.monotonic() > deadline:
                os.killpg(self.process.pid, signal.SIGKILL)
        reader.join(timeout=5)
        self._show(at_end=True)
        return code

    def _ended(self) -> int | None:
        try:
            return self.process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            return None

    def _signal(self, signum: signal.Signals) -> None:
        """To DVC's children rather than to DVC, so that it notes how they ended."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = children.read_text().split() if children.exists() else []
        for pid in pids or [str(self.process.pid)]:
            os.kill(int(pid), signum)

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                say(line.rstrip(), self.name)

    def _show(self, at_end: bool = False) -> None:
        told = self._told()
        self.work.ahead.progress(self.name, told)
        if told and (at_end or time.monotonic() - self.artifact_at > SECONDS_BETWEEN_ARTIFACTS):
            self.artifact_at = time.monotonic()
            percent = 100 * told["done"] / (told["total"] or 1)
            if self.artifact:
                update_progress_artifact(self.artifact, percent)
            else:
                key = artifact_key(self.work.use_case, self.name, "progress")
                self.artifact = create_progress_artifact(percent, key, f"{told['what']}, in {told['unit']}")  # type: ignore[assignment]

    def _told(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self.progress.read_text().splitlines()[-1]))
        except (FileNotFoundError, IndexError, ValueError):
            return None


def restore_deleted(name: str) -> None:
    """DVC deletes a stage's outputs before it runs it; bring back those that git holds when it then fails."""
    from ruamel.yaml import YAML

    lock = Path("dvc.lock")
    stages = YAML(typ="safe", pure=True).load(lock.read_text())["stages"] if lock.exists() else {}
    outs = [out["path"] for out in stages.get(name, {}).get("outs", [])]
    if not outs:
        return
    listed = subprocess.run(["git", "ls-files", "--deleted", "--", *outs], capture_output=True, text=True)
    if gone := listed.stdout.splitlines():
        subprocess.run(["git", "checkout", "--quiet", "--", *gone])
