"""A made-up use case in a repository of its own: rows, a hand-made linear model, the records as the stages leave them.

Row i says "word<i>" and is negative or positive by turns. A model that knows the first k words is right in these rows
and says negative of all others: its accuracy is known beforehand.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from tasks import documents, records, workspace
from tasks.documents import Document
from tasks.evaluate import Scored, evaluation
from tasks.params import Params, check
from tasks.records import (
    Audit,
    Cell,
    Crossover,
    Decision,
    DecisionMap,
    Evaluation,
    Measured,
    Metric,
    Pilot,
    Plan,
    Quality,
    RuleOfThumb,
    Span,
    Split,
    Training,
    Verdict,
)

NAME = "movie-reviews"
LABELS = ["negative", "positive"]
ROWS = [Document(f"r{i}", f"word{i} was said", LABELS[i % 2], f"g{i}") for i in range(200)]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def enter(folder: Path) -> None:
    """Work in this checkout, as a new process would."""
    os.chdir(folder)
    leave()


def leave() -> None:
    for place in (workspace.root, workspace.shared, workspace.main_checkout):
        place.cache_clear()


def settings(**changes: dict[str, object]) -> Params:
    values = Params().model_dump(mode="json")
    values["pilots"]["branches"] = ["baseline", "full"]
    for section, new in changes.items():
        values[section] |= new
    return check(values, "test")


def repository(folder: Path, params: Params) -> Path:
    """A repository with settings and a test split; records and a model are put there by `trained`."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text("/data/*\n!/data/*.dvc\n/model/\n/mlflow.db\n/mlartifacts/\n")
    (folder / "params.yaml").write_text(json.dumps(params.model_dump(mode="json")))  # JSON is YAML
    git(folder, "add", ".")
    git(folder, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "first")
    enter(folder)
    documents.write(ROWS, Path("data/split/test.jsonl"))
    return folder


def trained(known: int, *, done: int = 10, planned: int = 10, baselines: tuple[str, ...] = ("majority", "tfidf")) -> None:
    """Leave a model that knows `known` words in `model/`, and all records about it in `results/`."""
    linear(Path("model"), known)
    linear(Path("tfidf"), 20)
    training = Training(
        status="finished",
        plan_sha256=records.sha256_of(plan().model_dump(mode="json")),
        branch="full",
        base_model=None,
        recipe={"epochs": 3, "learning_rate": 1e-4},
        train_sha256="t",
        rows=100,
        labels=LABELS,
        steps_done=done,
        steps_planned=planned,
        files={p.name: records.sha256_of_file(p) for p in Path("model").iterdir()},
        measured=measured(2.0),
    )
    majority = Scored(np.tile([0.6, 0.4], (len(ROWS), 1)), np.zeros(len(ROWS), np.int64))
    scored = {"model": scores(Path("model")), "majority": majority, "tfidf": scores(Path("tfidf"))}
    record = evaluation(training, ROWS, {name: scored[name] for name in ("model", *baselines)}, "accuracy")
    for made, name in [
        (training, "train"),
        (record, "evaluation"),
        (decision(), "decision"),
        (plan(), "plan"),
        (audit(), "audit"),
    ]:
        records.write(made, Path("results") / f"{name}.json")
    shutil.rmtree("tfidf")


def linear(folder: Path, known: int) -> None:
    from safetensors.numpy import save_file

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    signs = np.array([-1.0 if i % 2 == 0 else 1.0 for i in range(known)], np.float32)
    weights = {
        "idf": np.ones(known, np.float32),
        "weight": 4 * np.stack([-signs, signs]),
        "bias": np.array([0.5, 0], np.float32),
    }
    save_file(weights, folder / "linear.safetensors")
    (folder / "vocabulary.json").write_text(json.dumps([f"word{i}" for i in range(known)]))
    (folder / "serving.json").write_text(json.dumps({"kind": "linear", "labels": LABELS, "analyzer": "word"}))


def scores(folder: Path) -> Scored:
    from tasks import serving

    probabilities = serving.load(folder).probabilities([row.text for row in ROWS]).astype(np.float64)
    return Scored(probabilities, probabilities.argmax(1))


def measured(seconds: float) -> Measured:
    return Measured(
        cpu_seconds=seconds,
        wall_seconds=seconds,
        predict_cpu_seconds=None,
        peak_gb=0.5,
        model_gb=0.1,
        tokens=4000,
        machine="a CPU, 2 cores",
    )


def cell(branch: str, n: int, seed: int) -> Cell:
    return Cell(
        key=f"{branch}-{n}-{seed}",
        branch=branch,
        base_model=None,
        base_sha256=None,
        recipe={"epochs": 3},
        seed=seed,
        n=n,
        n_heldout=100,
        train_sha256="t",
        heldout_sha256="h",
        quality=Quality(accuracy=0.7, macro_f1=0.69, log_loss=0.6),
        measured=measured(n / 100),
    )


def pilots(branch: str, rungs: list[int], folder: str = "pilot", seeds: int = 2) -> None:
    cells = [cell(branch, n, seed) for n in rungs for seed in range(seeds)]
    pilot = Pilot(branch=branch, regime="ladder", cells=cells, not_continued={})
    records.write(pilot, Path(f"results/{folder}/{branch}.json"))


def plan() -> Plan:
    return Plan(branch="full", base_model=None, recipe={"epochs": 3, "learning_rate": 1e-4})


def evaluated() -> Evaluation:
    return records.read(Evaluation, Path("results/evaluation.json"))


def decision() -> Decision:
    return Decision(
        verdict=Verdict(branch="full", base_model=None, status="chosen", reason="full reaches the target at least cost"),
        metric=Metric(name="accuracy", target=0.8),
        n_rows=100,
        n_effective=Span(value=98, low=95, high=100),
        branches=[],
        rule_of_thumb=RuleOfThumb(
            branch="full", says="fine-tune", agrees=True, reason="few rows", factors=[], source="trade articles"
        ),
        flips=[],
        by_branch={"full": {"p_target": 0.97, "cost_usd": 1.5, "expected_regret": None}},
        crossover=Crossover(n=None, low90=None, high90=None, status="not within reach"),
        expires_on="2027-05-01",
        inputs={"data_md5": "d41d8cd9", "prices_as_of": "2026-11-01"},
        cost_includes=["training"],
        uncertain=[],
        rules=[],
        regret_unit="points",
        map=DecisionMap(rows=[], budget_usd=[], verdicts=[], key={}, decision_grade_rows=0),
    )


def audit(train_sha256: str = "train-1") -> Audit:
    return Audit(
        path="data/movie-reviews.jsonl",
        format="jsonl",
        bytes=1000,
        rows_delivered=310,
        rows_rejected={"empty": 10},
        exact_duplicates=0,
        near_duplicates=0,
        rows_not_drawn=0,
        rows_kept=300,
        labels={"negative": 150, "positive": 150},
        conflicting_labels=0,
        near_conflicts=0,
        characters={"median": 15},
        words={"median": 3},
        groups=300,
        largest_group=1,
        leaks_prevented=0,
        stand_ins=[],
        train=Split(rows=100, groups=100, sha256=train_sha256),
        test=Split(rows=200, groups=200, sha256="test-1"),
        n_effective=Span(value=98, low=95, high=100),
        columns={"text": "text", "label": "label"},
        warnings=[],
        data_md5="d41d8cd9",
    )
