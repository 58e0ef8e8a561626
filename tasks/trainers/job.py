"""The training job as its own process: `python -m tasks.trainers.job FOLDER`.

FOLDER holds `job.json` (the plan, the path of the rows, perhaps a cap). Written beside it: `checkpoints/`,
`metrics.jsonl`, `model/` and, when all is done, `trained.json`. Started again, it continues from the newest checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

from tasks import documents, shelf, stage, trainers, workspace
from tasks.progress import Progress
from tasks.records import Plan
from tasks.stage import UserError
from tasks.trainers.influences import KERNELS, influences, watch


def main(folder: Path) -> None:
    seen = watch()
    os.environ.setdefault(KERNELS, str(workspace.shared() / "kernels"))
    wanted = json.loads((folder / "job.json").read_text())
    plan, rows = Plan.model_validate(wanted["plan"]), documents.read(Path(wanted["rows"]))
    progress = Progress(f"training of {plan.branch}", 1)
    shutil.rmtree(folder / "model", ignore_errors=True)
    job = trainers.Job(
        branch=str(plan.branch),
        recipe=plan.recipe,
        base=_base(plan),
        labels=documents.labels_of(rows),
        documents=rows,
        seed=0,
        folder=folder / "model",
        checkpoints=folder / "checkpoints",
        on_progress=lambda done, total: _tell(progress, done, total),
        metrics=folder / "metrics.jsonl",
        max_seconds=wanted.get("max_seconds"),
        cap=wanted.get("cap", ""),
        task=plan.task,
    )
    trained = trainers.train(job)
    base = shelf.entries()[plan.base_model.name].files if plan.base_model else {}
    known = influences(seen, Path(wanted["rows"]), documents.sha256(rows), base, folder)
    (folder / "trained.json").write_text(json.dumps(dataclasses.asdict(trained) | {"influences": known.model_dump()}))


def _base(plan: Plan) -> Path | None:
    """The base model's folder, if the shelf still holds the very weights that the plan names."""
    if plan.base_model is None:
        return None
    name, planned = plan.base_model.name, plan.base_model.sha256
    pinned = shelf.entries()[name].sha256 if name in shelf.entries() else None
    if pinned != planned:
        raise UserError(f"shelf.yaml: {name} is {pinned}, the plan names {planned}; run `dvc repro` from the start")
    return shelf.folder(name)


def _tell(progress: Progress, done: int, total: int) -> None:
    progress.total = total
    progress.at(done)


if __name__ == "__main__":
    stage.run(main)
