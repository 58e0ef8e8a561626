"""Train one branch on documents: a function from a job to a folder that `tasks.serving` loads.

Knows neither Prefect nor MLflow nor DVC. Metrics are JSON lines; everything else a caller wants is in `Trained`.
"""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.documents import Document
from tasks.stage import UserError

MODULES = {
    "text-classification": "tasks.trainers",
    "text-generation": "tasks.trainers.causal",
    "image-classification": "tasks.trainers.vision",
}
"""Where the module of each branch lies, by task."""
BRANCHES = {
    "text-classification": ("baseline", "prompt", "probe", "lora", "full", "scratch"),
    "text-generation": ("baseline", "prompt", "lora", "full", "continued", "scratch"),
    "image-classification": ("baseline", "probe", "lora", "full", "scratch"),
}
STARTS_FROM_A_BASE = ("prompt", "probe", "lora", "full", "continued")


def _silent(_done: int, _total: int) -> None:
    return


@dataclass(frozen=True)
class Job:
    """What to train, on what, and where the results go. The order of `documents` does not matter."""

    branch: str
    recipe: dict[str, Any]
    base: Path | None
    """Folder of the base model in Hugging Face layout; None for branches that start from nothing."""
    labels: list[str]
    documents: Sequence[Document]
    seed: int
    folder: Path
    """The finished model; written beside its place and moved there last, so a half-written one is never found."""
    checkpoints: Path | None = None
    on_progress: Callable[[int, int], None] = _silent
    """Called with (steps done, steps planned)."""
    metrics: Path | None = None
    """JSON lines, one a step."""
    max_seconds: float | None = None
    """Stop with a checkpoint (Interrupted) when all attempts together have trained for so long."""
    cap: str = ""
    """What `max_seconds` stands for, in words, where it is not time."""
    checkpoint_every_seconds: float = 60.0
    task: str = "text-classification"


@dataclass(frozen=True)
class Cut:
    """What training did not see because it was longer than the recipe's `max_tokens`."""

    rows: int = 0
    """That lost something."""
    tokens: int = 0

    @staticmethod
    def of(lengths: Iterable[int], limit: int) -> Cut:
        lost = [length - limit for length in lengths if length > limit]
        return Cut(len(lost), sum(lost))


NOTHING_CUT = Cut()


@dataclass(frozen=True)
class Spent:
    """What a branch did, as far as the clock of this process does not tell it."""

    steps_done: int
    steps_planned: int
    tokens: int = 0
    """Trained on, padding not counted, all epochs."""
    earlier_cpu_seconds: float = 0.0
    """Of attempts before a resume, and of embeddings that an earlier job of this process left."""
    earlier_wall_seconds: float = 0.0
    cut_rows: int = 0
    cut_tokens: int = 0
    """See `Cut`."""

    def with_cut(self, cut: Cut) -> Spent:
        return replace(self, cut_rows=cut.rows, cut_tokens=cut.tokens)


@dataclass(frozen=True)
class Trained:
    steps_done: int
    steps_planned: int
    tokens: int
    cpu_seconds: float
    """Of this process and its children, start-up not counted; of all attempts of a resumed training."""
    wall_seconds: float
    peak_gb: float
    """Largest resident memory while this job ran, 1e9 bytes (where the system cannot say: of the process so far)."""
    cut_rows: int
    cut_tokens: int
    """Rows, and their tokens, that were cut off at the recipe's `max_tokens` and not learnt."""


def train(job: Job) -> Trained:
    """Train `job` and leave a servable model in `job.folder`.

    Raises UserError for a job that cannot be trained, Interrupted when stopped with everything saved.
    """
    _check(job)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait cost 3x on shared cores
    job = replace(job, documents=sorted(job.documents, key=lambda d: (d.id, d.text)))
    branch = module_of(job.branch, job.task)
    part = job.folder.with_name(f".{job.folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _forget_peak()
    cpu, wall = cpu_seconds(), time.monotonic()
    spent: Spent = branch.train(job, part)
    trained = Trained(
        steps_done=spent.steps_done,
        steps_planned=spent.steps_planned,
        tokens=spent.tokens,
        cpu_seconds=spent.earlier_cpu_seconds + cpu_seconds() - cpu,
        wall_seconds=spent.earlier_wall_seconds + time.monotonic() - wall,
        peak_gb=peak_gb(),
        cut_rows=spent.cut_rows,
        cut_tokens=spent.cut_tokens,
    )
    shutil.rmtree(job.folder, ignore_errors=True)
    part.rename(job.folder)
    return trained


def module_of(branch: str, task: str) -> Any:
    """The module that trains a branch, imported."""
    return importlib.import_module(f"{MODULES[task]}.{branch}")


def cpu_seconds() -> float:
    """CPU-seconds of this process and the children it waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _check(job: Job) -> None:
    if job.branch not in (able := BRANCHES[job.task]):
        raise UserError(f"branch = {job.branch}: for {job.task} can be trained: {', '.join(able)}")
    if not job.documents:
        raise UserError(f"{job.branch}: no rows to train on")
    if job.base is None and job.branch in STARTS_FROM_A_BASE:
        raise UserError(f"{job.branch}: needs a base model; name one under candidates in params.yaml")
    if unknown := {d.label for d in job.documents} - {"", *job.labels}:
        raise UserError(f"{job.branch}: rows have labels that are not among the known ones: {sorted(unknown)}")


def _forget_peak() -> None:
    """Let Linux measure the peak of resident memory anew (proc(5), clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_gb() -> float:
    """The most memory that this process had, since it was last forgotten."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
