"""The screen of one branch: the base models of `tasks.look` at the low rungs (or in cross-validation, where rows are few)."""

from __future__ import annotations

from pathlib import Path

from tasks import cells, documents, params, records, stage
from tasks.ladder import ladder
from tasks.records import Candidates, Look, Pilot

LOOK = Path("results/look.json")
"""Read as a DVC param (`continued`), so that a look that gives the same base models their places reruns nothing."""


def main(train: Path, candidates: Path, out: Path) -> None:
    settings = params.load()
    branch, rows = out.stem, documents.read(train)
    plan = ladder(rows, settings.pilots.rungs, settings.pilots.seeds)
    going = records.read(Look, LOOK).continued
    bases = cells.bases_of(branch, [one for one in records.read(Candidates, candidates).candidates if one.name in going])
    cells.refill(str(out))
    wanted = [(base, step) for base in bases for step in plan.screen]
    measured = cells.measure_all(branch, settings.use_case.task, wanted, documents.labels_of(rows), f"screen of {branch}")
    records.write(Pilot(branch=branch, regime=plan.regime, cells=measured, not_continued={}), out)


if __name__ == "__main__":
    stage.run(main)
