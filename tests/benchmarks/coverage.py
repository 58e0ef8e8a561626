"""Do the 90 % intervals hold what a full run then reaches? `python -m tests.benchmarks.coverage [REDRAWS] [ROWS]`

For each redraw of the example's rows: the graph up to the decision in a clone of this repository, then every branch
trained in full on all training rows (with its base that the decision would take) and scored on the untouched test rows.
Takes about seven minutes a redraw on two cores. Prints one row a branch and the count of intervals that hold.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tasks import documents, metrics, records, serving, shelf, trainers, workspace
from tasks.documents import share
from tasks.recipes import recipe
from tasks.records import Decision, Option

EXAMPLE = Path("data/movie-reviews.jsonl")


def main(redraws: int = 4, rows: int = 2000) -> None:
    held = total = 0
    print(f"{'draw':4} {'branch':10} {'base':12} {'predicted':>9} {'90 % interval':>15} {'reached':>8}  holds")
    for draw in range(redraws):
        with tempfile.TemporaryDirectory() as place:
            clone = _decided(Path(place) / "clone", draw, rows)
            decision = records.read(Decision, clone / "results/decision.json")
            for option in _best_of_each_branch(decision):
                reached = _full_run(option, clone)
                p = option.predicted
                holds = p.low90 <= reached <= p.high90  # type: ignore[operator]
                held, total = held + holds, total + 1
                print(
                    f"{draw:<4} {option.branch:10} {option.base_model or '-':12} {p.value:9.3f} "
                    f"{p.low90:7.3f}-{p.high90:.3f} {reached:8.3f}  {'yes' if holds else 'no'}",
                    flush=True,
                )
    print(f"{held} of {total} intervals hold the value reached (90 % would be {0.9 * total:.0f})")


def _decided(clone: Path, draw: int, rows: int) -> Path:
    """A clone of this repository whose data are the redraw, with the graph run up to its decision."""
    subprocess.run(["git", "clone", "-q", str(workspace.root()), str(clone)], check=True)
    shutil.copytree(workspace.shared() / "shelf", clone / ".git/crossover/shelf")
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


def _best_of_each_branch(decision: Decision) -> list[Option]:
    best: dict[str, Option] = {}
    for option in decision.branches:
        value = option.predicted.value
        if value is not None and value > (best[option.branch].predicted.value if option.branch in best else -1):  # type: ignore[operator]
            best[option.branch] = option
    return list(best.values())


def _full_run(option: Option, clone: Path) -> float:
    train, test = documents.read(clone / "data/split/train.jsonl"), documents.read(clone / "data/split/test.jsonl")
    labels, plan = documents.labels_of(train), recipe(option.branch, "text-classification", len(train))
    base = shelf.folder(option.base_model) if option.base_model else None
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        trainers.train(trainers.Job(option.branch, plan, base, labels, train, 0, folder, None, lambda *_: None, None))
        probabilities = serving.load(folder).probabilities([d.text for d in test]).astype(np.float64)
    return metrics.quality(np.array(documents.label_numbers(test, labels)), probabilities).accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
