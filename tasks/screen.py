"""The screen of one branch: every candidate base at the low rungs (or in cross-validation, where rows are few)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tasks import cells, documents, params, records, stage
from tasks.ladder import Step, ladder
from tasks.progress import Progress
from tasks.records import Candidate, Candidates, Cell, Pilot


def main(train: Path, candidates: Path, out: Path) -> None:
    settings = params.load()
    branch, rows = out.stem, documents.read(train)
    plan = ladder(rows, settings.pilots.rungs, settings.pilots.seeds)
    bases = cells.bases_of(branch, records.read(Candidates, candidates).candidates)
    cells.refill(str(out))
    wanted = [(base, step) for base in bases for step in plan.screen]
    measured = measure_all(branch, settings.use_case.task, wanted, documents.labels_of(rows), f"screen of {branch}")
    records.write(Pilot(branch=branch, regime=plan.regime, cells=measured, not_continued={}), out)


def measure_all(
    branch: str, task: str, wanted: list[tuple[Candidate | None, Step]], labels: list[str], what: str
) -> list[Cell]:
    """The cells wanted, from the store where they are there already; in the order given. Shows progress in rows."""
    found = [cells.stored(cells.key_of(branch, task, base, step)) for base, step in wanted]
    missing = sum(step.n for cell, (_, step) in zip(found, wanted, strict=True) if cell is None)
    progress, done, result = Progress(what, missing, "rows"), 0, []
    for cell, (base, step) in zip(found, wanted, strict=True):
        if cell is None:
            note = f"({base.name if base else 'no base'}, {step.n} rows, seed {step.seed})"
            cell = cells.measure(branch, task, base, step, labels, partial(_tell, progress, done, step.n, note))
            done += step.n
            progress.at(done, note)
        result.append(cell)
    return result


def _tell(progress: Progress, before: int, rows: int, note: str, share: float) -> None:
    progress.at(before + 0.99 * share * rows, note)  # the last hundredth is for scoring


if __name__ == "__main__":
    stage.run(main)
