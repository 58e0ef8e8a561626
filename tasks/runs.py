"""What the records in `results/` say, as the runs that MLflow is to show: plain values, nothing of MLflow.

The parent run is the use case at a version of its data; its children are the cells, the decision, the training and the
evaluation. Read are only records of branches that `params.yaml` names, and only those that `dvc.lock` does not show to
be made from other rows than the audit's. Values come from records alone: no environment, no command line, no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from tasks import records, workspace
from tasks.params import Params
from tasks.records import Audit, Cell, Decision, Evaluation, Look, Measured, Pilot, Record, Training, sha256_of

RESULTS = Path("results")


@dataclass(frozen=True)
class Run:
    """One MLflow run, as the records have it."""

    name: str
    record_sha256: str
    millis: int
    """When its record was written."""
    seconds: float = 0.0
    """How long it took."""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    steps: list[dict[str, float]] = field(default_factory=list)
    """The training's metrics, one dictionary a step: `train.loss`, say, or `preference.loss`, and `step`."""
    files: list[Path] = field(default_factory=list)


def planned(settings: Params, metrics: Path | None = None) -> tuple[Run, list[Run]]:
    """The parent run and its children, each once. `metrics`: the training's JSON lines, if not where `train` leaves them."""
    audit = records.read(Audit, RESULTS / "audit.json")
    parent = _parent(settings, audit)
    children = [*_cells(settings), *_decision(), *_training(metrics), *_evaluation()]
    tags = {"data.version": parent.record_sha256} | ({"dvc.md5": audit.data_md5} if audit.data_md5 else {})
    tagged = [replace(run, tags=run.tags | tags) for run in (parent, *children)]
    return tagged[0], list({run.record_sha256: run for run in tagged[1:]}.values())


def _parent(settings: Params, audit: Audit) -> Run:
    name = settings.use_case.name
    key = sha256_of([name, audit.train.sha256, audit.test.sha256])
    note = (
        f"**{name}** at one version of its data: {audit.rows_kept:,} rows kept of {audit.rows_delivered:,} in `{audit.path}`, "
        f"{audit.train.rows:,} to train on and {audit.test.rows:,} to test on.\n\nIts child runs are the pilots (cells), "
        "the decision, the training, the evaluation and the registration that were made from these rows."
    )
    said = {
        "task": settings.use_case.task,
        "rows": audit.rows_kept,
        "train_rows": audit.train.rows,
        "test_rows": audit.test.rows,
    }
    return Run(
        name=f"{name}, data {audit.train.sha256[:8]}",
        record_sha256=key,
        millis=_millis(RESULTS / "audit.json"),
        params=_flat(said),
        tags={"kind": "use case", "mlflow.note.content": note},
        files=[RESULTS / "audit.json"],
    )


def _cells(settings: Params) -> Iterator[Run]:
    for folder in ("screen", "pilot"):
        for branch in settings.pilots.branches:
            path = RESULTS / folder / f"{branch}.json"
            if path.exists() and not _stale(f"{folder}@{branch}"):
                for cell in records.read(Pilot, path).cells:
                    yield _cell(cell, _millis(path))
    look = RESULTS / "look.json"
    if look.exists() and not _stale("look"):
        found = records.read(Look, look)
        for cell in found.cells:  # of those that are screened the screens hold them
            if cell.base_model not in found.continued or cell.branch not in settings.pilots.branches:
                yield _cell(cell, _millis(look))


def _cell(cell: Cell, millis: int) -> Run:
    base = cell.base_model or "-"
    return Run(
        name=" ".join([cell.branch, *([base] if cell.base_model else []), f"{cell.n} rows", f"seed {cell.seed}"]),
        record_sha256=_sha256(cell),
        millis=millis,
        seconds=cell.measured.wall_seconds,
        params=_flat({"branch": cell.branch, "base_model": base, "n": cell.n, "seed": cell.seed, "n_heldout": cell.n_heldout})
        | _flat({"recipe": cell.recipe}),
        metrics=cell.quality.known() | _cut(cell) | _measured(cell.measured),
        tags={"kind": "cell", "branch": cell.branch, "cell.key": cell.key, "machine": cell.measured.machine},
    )


def _decision() -> Iterator[Run]:
    path = RESULTS / "decision.json"
    if not path.exists() or _stale("decide"):
        return
    decision = records.read(Decision, path)
    verdict = decision.verdict
    numbers = {f"{branch}.{name}": value for branch, of in decision.by_branch.items() for name, value in of.items()}
    yield Run(
        name=f"decision: {verdict.branch or verdict.status}",
        record_sha256=_sha256(decision),
        millis=_millis(path),
        params=_flat(verdict.model_dump(exclude={"reason"}) | {"expires_on": decision.expires_on}),
        metrics={name: value for name, value in numbers.items() if value is not None},
        tags={"kind": "decision", "branch": verdict.branch or "-", "mlflow.note.content": verdict.reason},
        files=[path, RESULTS / "plan.json"],
    )


def _training(metrics: Path | None) -> Iterator[Run]:
    path = RESULTS / "train.json"
    if not path.exists() or _stale("train"):
        return
    training = records.read(Training, path)
    if training.status == "nothing_to_do":
        return
    measured, base = training.measured, training.base_model.name if training.base_model else "-"
    said = {"branch": training.branch, "base_model": base, "n": training.rows, "recipe": training.recipe}
    metrics = metrics or workspace.shared() / "metrics" / f"{training.plan_sha256}.jsonl"
    yield Run(
        name=f"training: {training.branch}",
        record_sha256=_sha256(training),
        millis=_millis(path),
        seconds=measured.wall_seconds if measured else 0.0,
        params=_flat(said),
        metrics={"steps_done": training.steps_done, "steps_planned": training.steps_planned}
        | _cut(training)
        | (_measured(measured) if measured else {}),
        tags={"kind": "training", "branch": training.branch or "-"} | ({"machine": measured.machine} if measured else {}),
        steps=[*_steps("train", metrics), *_steps("preference", metrics.with_suffix(".preference.jsonl"))],
        files=[path],
    )


def _steps(what: str, lines: Path) -> list[dict[str, float]]:
    found = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    return [{name if name == "step" else f"{what}.{name}": value for name, value in line.items()} for line in found]


def _evaluation() -> Iterator[Run]:
    path = RESULTS / "evaluation.json"
    if not path.exists() or _stale("evaluate"):
        return
    evaluation = records.read(Evaluation, path)
    if evaluation.status == "nothing_to_do":
        return
    beside = {f"{name}.{metric}": value for name, of in evaluation.baselines.items() for metric, value in of.items()}
    ahead = {f"ahead_of.{d.against}": d.value for d in evaluation.diff}
    ahead |= {f"judge.ahead_of.{d.against}": d.value for d in (evaluation.judge.diff if evaluation.judge else [])}
    unseen = evaluation.unseen.metrics or {} if evaluation.unseen else {}
    yield Run(
        name=f"evaluation: {evaluation.model['branch']}",
        record_sha256=_sha256(evaluation),
        millis=_millis(path),
        params=_flat(
            {"branch": evaluation.model["branch"], "base_model": evaluation.model["base_model"], "n": evaluation.rows}
        ),
        metrics=evaluation.metrics | beside | ahead | {f"unseen.{metric}": value for metric, value in unseen.items()},
        tags={"kind": "evaluation", "branch": str(evaluation.model["branch"])},
        files=[path],
    )


def _cut(record: Cell | Training) -> dict[str, float]:
    return {name: value for name in ("cut_rows", "cut_tokens") if (value := getattr(record, name)) is not None}


def _measured(measured: Measured) -> dict[str, float]:
    return {name: value for name, value in measured.model_dump(exclude={"machine"}).items() if value is not None}


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Nested settings as MLflow's params: dotted names, at most 6,000 characters a value."""
    if not isinstance(value, dict):
        return {name: ("-" if value is None else value if isinstance(value, str) else json.dumps(value))[:6000]}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{name}.{key}" if name else key).items()}


def _sha256(record: Record) -> str:
    return sha256_of(record.model_dump(mode="json"))


def _millis(path: Path) -> int:
    return int(path.stat().st_mtime * 1000)


def _stale(stage_name: str) -> bool:
    """Does `dvc.lock` say that this stage last ran on another training split than the audit's newest?"""
    path = Path("dvc.lock")
    stages = _stages(path.read_text(encoding="utf-8")) if path.exists() else {}
    files = [*stages.get(stage_name, {}).get("deps", []), *stages.get("audit", {}).get("outs", [])]
    return len({file["md5"] for file in files if file["path"] == "data/split/train.jsonl"}) > 1


@cache
def _stages(lock: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe").load(lock)["stages"])
