"""Train the plan's branch on all training rows: the job runs wherever `tasks.launch` puts it.

The run's folder lies outside DVC's outputs, which DVC deletes before it runs a stage: a killed training continues from
its newest checkpoint. A finished one leaves nothing there, so that a rerun of the stage always trains.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tasks import caps, documents, launch, machine, params, records, stage, workspace
from tasks.records import Measured, Plan, Training, sha256_of
from tasks.stage import Interrupted, UserError


def main(plan: Path, rows: Path, model: Path, record: Path) -> None:
    wanted = records.read(Plan, plan)
    if wanted.branch is None:
        _nothing_to_do(wanted, model, record)
        return
    key = sha256_of([wanted.model_dump(mode="json"), documents.sha256(documents.read(rows))])
    with workspace.locked(f"train-{key[:12]}"):  # two worktrees may train the same at once; they share the run's folder
        _train(workspace.shared() / "runs" / key, wanted, rows, model, record)


def _train(folder: Path, wanted: Plan, rows: Path, model: Path, record: Path) -> None:
    _prepare(folder, wanted, rows)
    status = launch.run(launch.Spec([sys.executable, "-m", "tasks.trainers.job", str(folder)], folder))
    if status.state == "interrupted":
        raise Interrupted(status.message)
    if status.state != "succeeded":
        raise (UserError if status.exit_code == 2 else RuntimeError)(f"{status.message}\n{launch.log_tail(folder)}".strip())
    _take(folder, wanted, rows, model, record)


def _prepare(folder: Path, plan: Plan, rows: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {"plan": plan.model_dump(mode="json"), "rows": str(rows.resolve())}
    if limit := caps.cap(os.environ, params.load().hardware):  # no DVC param: a cap changes nothing that is learnt
        told |= {"max_seconds": limit.seconds, "cap": limit.words}
    (folder / "job.json").write_text(json.dumps(told))


def _take(folder: Path, plan: Plan, rows: Path, model: Path, record: Path) -> None:
    """Move the finished model out of the run's folder, write the record, and forget the run but its metrics."""
    trained = json.loads((folder / "trained.json").read_text())
    shutil.rmtree(model, ignore_errors=True)
    shutil.move(folder / "model", model)
    files = {str(p.relative_to(model)): p for p in sorted(model.rglob("*")) if p.is_file()}
    texts = documents.read(rows)
    training = Training(
        status="finished",
        plan_sha256=sha256_of(plan.model_dump(mode="json")),
        branch=plan.branch,
        base_model=plan.base_model,
        recipe=plan.recipe,
        train_sha256=documents.sha256(texts),
        rows=len(texts),
        labels=documents.labels_of(texts),
        steps_done=trained["steps_done"],
        steps_planned=trained["steps_planned"],
        files={name: records.sha256_of_file(path) for name, path in files.items()},
        influences=trained["influences"],
        cut_rows=trained["cut_rows"],
        cut_tokens=trained["cut_tokens"],
        measured=Measured(
            cpu_seconds=trained["cpu_seconds"],
            wall_seconds=trained["wall_seconds"],
            predict_cpu_seconds=None,
            peak_gb=trained["peak_gb"],
            model_gb=round(sum(path.stat().st_size for path in files.values()) / 1e9, 4),
            tokens=trained["tokens"],
            machine=machine.name(),
            cores=machine.cores(),
        ),
    )
    records.write(training, record)
    if training.cut_rows:
        print(f"train: {records.cut(training, training.rows)}", file=sys.stderr)
    _keep_metrics(folder, training.plan_sha256)
    shutil.rmtree(folder)


def _keep_metrics(folder: Path, plan_sha256: str) -> None:
    """The metrics of each step, for MLflow: `<shared>/metrics/<plan hash>.jsonl`, of preferences `.preference.jsonl`."""
    kept = workspace.shared() / "metrics"
    kept.mkdir(exist_ok=True)
    for name, end in (("metrics", "jsonl"), ("preference", "preference.jsonl")):
        (kept / f"{plan_sha256}.{end}").unlink(missing_ok=True)
        if (folder / f"{name}.jsonl").exists():
            shutil.move(folder / f"{name}.jsonl", kept / f"{plan_sha256}.{end}")


def _nothing_to_do(plan: Plan, model: Path, record: Path) -> None:
    model.mkdir(exist_ok=True)
    (model / "nothing_to_do.json").write_text('{"status": "nothing_to_do"}\n')
    training = Training(
        status="nothing_to_do",
        plan_sha256=sha256_of(plan.model_dump(mode="json")),
        branch=None,
        base_model=None,
        recipe={},
        train_sha256="",
        rows=0,
        labels=[],
        steps_done=0,
        steps_planned=0,
        files={},
        measured=None,
    )
    records.write(training, record)


if __name__ == "__main__":
    stage.run(main)
