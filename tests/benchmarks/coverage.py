"""Do the 90 % intervals hold what a full run then reaches? `python -m tests.benchmarks.coverage [REDRAWS] [ROWS]`

For each redraw of the example's rows: the graph up to the decision in a clone of this repository, then every branch
trained in full on all training rows (with its base that the decision would take) and scored on the untouched test rows.
Takes about seven minutes a redraw on two cores. Prints one row a branch and the count of intervals that hold.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tasks import records
from tasks.documents import share
from tasks.records import Decision
from tests.benchmarks import full_runs

EXAMPLE = Path("data/movie-reviews.jsonl")


def main(redraws: int = 4, rows: int = 2000) -> None:
    held = total = 0
    print(f"{'draw':4} {'branch':10} {'base':12} {'predicted':>9} {'90 % interval':>15} {'reached':>8}  holds")
    for draw in range(redraws):
        with tempfile.TemporaryDirectory() as place:
            clone = _decided(Path(place) / "clone", draw, rows)
            decision = records.read(Decision, clone / "results/decision.json")
            for option in full_runs.best_of_each_branch(decision):
                p = option.predicted
                if p.value is None or p.low90 is None or p.high90 is None:
                    continue
                reached = full_runs.reached(option, clone, "text-classification").known()[decision.metric.name]
                holds = p.low90 <= reached <= p.high90
                held, total = held + holds, total + 1
                print(
                    f"{draw:<4} {option.branch:10} {option.base_model or '-':12} {p.value:9.3f} "
                    f"{p.low90:7.3f}-{p.high90:.3f} {reached:8.3f}  {'yes' if holds else 'no'}",
                    flush=True,
                )
    print(f"{held} of {total} intervals hold the value reached (90 % would be {0.9 * total:.0f})")


def _decided(clone: Path, draw: int, rows: int) -> Path:
    """A clone of this repository whose data are the redraw, with the graph run up to its decision."""
    full_runs.clone(clone)
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    drawn = sorted(lines, key=lambda line: share("redraw", draw, json.loads(line)["id"]))[:rows]
    (clone / "data/redraw.jsonl").write_text("\n".join(drawn) + "\n", encoding="utf-8")
    settings = (
        (clone / "params.yaml").read_text().replace(str(EXAMPLE), "data/redraw.jsonl").replace("max_rows: 2000 ", "max_rows: ")
    )
    (clone / "params.yaml").write_text(settings)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["dvc", "repro", "-q", "decide"], cwd=clone, check=True, env=os.environ | {"PATH": path})
    return clone


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
