"""A clone of this repository to decide in, and every branch of its decision trained in full on all training rows."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path

from tasks import cells, documents, shelf, trainers, workspace
from tasks.recipes import recipe
from tasks.records import Decision, Option, Quality


def clone(folder: Path) -> Path:
    """The last commit, without a remote that a ledger would be pushed to, and with the base models that are here."""
    subprocess.run(["git", "clone", "-q", str(workspace.root()), str(folder)], check=True)
    subprocess.run(["git", "remote", "remove", "origin"], cwd=folder, check=True)
    (folder / ".git/crossover").mkdir()
    (folder / ".git/crossover/shelf").symlink_to(workspace.shared() / "shelf")
    return folder


def best_of_each_branch(decision: Decision) -> list[Option]:
    """Each branch with the base model chosen, else the one predicted to be the best; what a limit excludes is left out."""
    sign = 1 if decision.metric.higher_is_better else -1
    best: dict[str, Option] = {}
    for option in sorted(decision.branches, key=lambda o: (o.status == "chosen", _value(o, sign))):
        if option.status != "excluded":
            best[option.branch] = option
    return list(best.values())


def _value(option: Option, sign: int) -> float:
    return float("-inf") if option.predicted.value is None else sign * option.predicted.value


def reached(option: Option, checkout: Path, task: str) -> Quality:
    """What the option makes of the test rows, trained on all training rows of the split in `checkout`."""
    base = shelf.folder(option.base_model).resolve() if option.base_model else None
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(checkout):
        train, test = (documents.read(Path(f"data/split/{part}.jsonl")) for part in ("train", "test"))
        labels, plan = documents.labels_of(train), recipe(option.branch, task, len(train))
        folder = Path(place) / "model"
        trainers.train(trainers.Job(option.branch, plan, base, labels, train, 0, folder, task=task))
        return cells.quality_of(task, folder, test, labels)
