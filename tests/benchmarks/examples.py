"""Was the verdict right? `make examples [NAMES="emoji metamath"]`, or `python -m tests.benchmarks.examples [NAME...]`

For each example: `make run` in a clone, then the best option of every branch trained in full once and measured on the test
rows. The *realised regret* is how far the verdict's model stays behind the best of them there. It is *within seed noise* where
one of two equally good branches would be so far ahead in more than one case of twenty: up to 1.645 √2 s, with s the standard
deviation of one run, pooled over the pilots of the largest rung that has repeats (of other rows and another seed each). The
errors of the test rows, which all models share, are not counted.

An example takes ten minutes on two cores and its full runs about as much. When it is done it leaves a record in
`<git dir>/crossover/examples`, and is not measured again while that is there; an interrupted one goes on with what it has.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks import params, records, shelf, workspace
from tasks.records import Cell, Decision, Evaluation, Metric, Pilot, Record
from tests.benchmarks import full_runs

NAMES = ("movie-reviews", "emoji", "fashion-mnist", "support-chat", "debian-descriptions", "metamath")
ONE_SIDED_95 = 1.645


class Measured(Record):
    """Of one example."""

    example: str
    commit: str
    metric: Metric
    rows: int
    verdict: str
    """Branch and base model; the status, where no branch is chosen."""
    predicted: tuple[float, float, float] | None
    """Value and the ends of its 90 % interval."""
    in_full: dict[str, float]
    """Branch and base model to the value on the test rows."""
    noise: float | None
    """null: no pilot was repeated."""
    wall_seconds: float
    """Of `make run`; of its last attempt, if it was interrupted."""
    cpu_seconds: float

    @property
    def best(self) -> str:
        return (max if self.metric.higher_is_better else min)(self.in_full, key=lambda name: self.in_full[name])

    @property
    def regret(self) -> float | None:
        """In the metric's unit; null where no branch was chosen."""
        if self.verdict not in self.in_full:
            return None
        return abs(self.in_full[self.best] - self.in_full[self.verdict])

    @property
    def within(self) -> bool:
        return self.regret is not None and self.regret <= (self.noise or 0.0)


def main(names: list[str]) -> None:
    folder = workspace.shared() / "examples"
    folder.mkdir(exist_ok=True)
    for name in names or NAMES:
        if name not in NAMES:
            sys.exit(f"{name}: no such example; there are {', '.join(NAMES)}")
        if not (folder / f"{name}.json").exists():
            print(f"{name}: running", file=sys.stderr, flush=True)
            try:
                records.write(measure(name, folder / name), folder / f"{name}.json")
            except subprocess.CalledProcessError as error:
                print(f"{name}: exit code {error.returncode}; not measured, `make examples` goes on there", file=sys.stderr)
                continue
            shutil.rmtree(folder / name)
    known = [name for name in NAMES if (folder / f"{name}.json").exists()]
    print(table([records.read(Measured, folder / f"{name}.json") for name in known]))


def measure(name: str, folder: Path) -> Measured:
    """One example, in a clone at `folder`."""
    wall, cpu = time.monotonic(), _cpu_of_children()
    checkout = run(name, folder)
    wall, cpu = time.monotonic() - wall, _cpu_of_children() - cpu
    settings = params.load(checkout / "params.yaml")
    decision = records.read(Decision, checkout / "results/decision.json")
    in_full = _in_full(decision, checkout, settings.use_case.task, folder / "in_full.json")
    chosen = next((o for o in decision.branches if o.status == "chosen"), None)
    p = chosen.predicted if chosen else None
    return Measured(
        example=name,
        commit=_said(["git", "rev-parse", "--short", "HEAD"], folder),
        metric=decision.metric,
        rows=decision.n_rows,
        verdict=_named(chosen.branch, chosen.base_model) if chosen else decision.verdict.status,
        predicted=None if p is None or p.value is None else (p.value, p.low90, p.high90),  # type: ignore[arg-type]
        in_full=in_full,
        noise=noise(_cells(checkout, settings.pilots.branches), decision.metric.name),
        wall_seconds=round(wall, 1),
        cpu_seconds=round(cpu, 1),
    )


def run(name: str, folder: Path) -> Path:
    """`make run` of the example in a clone, which an interrupted run left or which is made; where its results lie."""
    if not folder.exists():
        for base in params.load(_settings(name, Path())).candidates:
            shelf.build(base)
        full_runs.clone(folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW"))}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = name == "movie-reviews"
    if own:
        subprocess.run([sys.executable, "-m", "tasks.example"], cwd=folder, env=environment, check=True)
    command = [sys.executable, "-m", "flows.run", *([] if own else [f"examples/{name}.yaml"])]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    (made,) = [folder] if own else (folder / ".git/crossover/worktrees").glob("params-*")
    return made


def _settings(name: str, checkout: Path) -> Path:
    return checkout / ("params.yaml" if name == "movie-reviews" else f"examples/{name}.yaml")


def _in_full(decision: Decision, checkout: Path, task: str, kept: Path) -> dict[str, float]:
    """Each branch's value on the test rows; the verdict's is the evaluation's. Kept one by one in the file `kept`."""
    values: dict[str, float] = json.loads(kept.read_text()) if kept.exists() else {}
    evaluation = records.read(Evaluation, checkout / "results/evaluation.json")
    for option in full_runs.best_of_each_branch(decision):
        name = _named(option.branch, option.base_model)
        if name not in values:
            known = evaluation.metrics if option.status == "chosen" else full_runs.reached(option, checkout, task).known()
            values[name] = known[decision.metric.name]
            print(f"  in full: {name} {values[name]:.4f}", file=sys.stderr, flush=True)
            kept.write_text(json.dumps(values))
    return values


def _cells(checkout: Path, branches: Iterable[str]) -> list[Cell]:
    places = (checkout / f"results/{part}/{branch}.json" for branch in branches for part in ("screen", "pilot"))
    return [cell for place in places for cell in records.read(Pilot, place).cells]


def noise(cells: list[Cell], metric: str) -> float | None:
    """The largest difference that seed noise explains; see above."""
    repeated: dict[int, dict[tuple[str, str | None], list[float]]] = {}
    for cell in cells:
        of = repeated.setdefault(cell.n, {}).setdefault((cell.branch, cell.base_model), [])
        of.append(getattr(cell.quality, metric))
    rungs = {n: [values for values in of.values() if len(values) > 1] for n, of in repeated.items()}
    largest = max((n for n, pairs in rungs.items() if n and pairs), default=None)
    if largest is None:
        return None
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in rungs[largest])
    return ONE_SIDED_95 * math.sqrt(2 * squares / sum(len(values) - 1 for values in rungs[largest]))


def table(measured: list[Measured]) -> str:
    """In markdown, and how many verdicts are within seed noise."""
    head = (
        "example | metric | verdict | predicted (90 %) | reached | best in full | regret | seed noise | within | wall s | CPU s"
    )
    lines = [f"| {head} |", f"|{'---|' * len(head.split('|'))}", *map(_line, measured)]
    right = sum(one.within for one in measured)
    return "\n".join([*lines, "", f"{right} of {len(measured)} within seed noise"])


def _line(one: Measured) -> str:
    value, low, high = one.predicted or (None, None, None)
    parts: list[Any] = [
        one.example,
        f"{one.metric.name}, {one.rows:,} rows",
        one.verdict,
        "none" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})",
        _shown(one.in_full.get(one.verdict)),
        f"{one.best} {_shown(one.in_full[one.best])}",
        _shown(one.regret),
        _shown(one.noise),
        "yes" if one.within else "no",
        round(one.wall_seconds),
        round(one.cpu_seconds),
    ]
    return f"| {' | '.join(map(str, parts))} |"


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _named(branch: str, base: str | None) -> str:
    return f"{branch} {base}" if base else branch


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _said(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main(sys.argv[1:])
