"""The pilot of one branch: the upper rungs for the base models that the shortlist names, and nothing for the others.

Where one run on all rows that are not held out would cost less CPU time than the upper rungs, it is run instead.
"""

from __future__ import annotations

from pathlib import Path

from tasks import cells, documents, params, records, stage
from tasks.evidence import seconds_at
from tasks.ladder import Ladder, Step, ladder
from tasks.records import Candidate, Candidates, Cell, Pilot, Shortlist

SHORTLIST = Path("results/shortlist.json")
"""Read as a DVC param (`continued.<branch>`), so that another branch's fate does not rerun this one."""


def main(train: Path, candidates: Path, screen: Path, out: Path) -> None:
    settings = params.load()
    branch, rows, task = out.stem, documents.read(train), settings.use_case.task
    plan = ladder(rows, settings.pilots.rungs, settings.pilots.seeds)
    bases = cells.bases_of(branch, records.read(Candidates, candidates).candidates)
    continued = records.read(Shortlist, SHORTLIST).continued.get(branch, [])
    cells.refill(str(out))
    screened = records.read(Pilot, screen).cells
    wanted = [(base, step) for base in bases if _name(base) in continued for step in steps_for(base, screened, plan, task)]
    measured = cells.measure_all(branch, task, wanted, documents.labels_of(rows), f"pilot of {branch}")
    reason = "measured in full by its screen" if plan.regime == "cross-validation" else "not on the shortlist"
    left = {_name(base): reason for base in bases if not any(base is other for other, _ in wanted)}
    records.write(Pilot(branch=branch, regime=plan.regime, cells=measured, not_continued=left), out)


def steps_for(base: Candidate | None, screened: list[Cell], plan: Ladder, task: str) -> list[Step]:
    """The upper rungs, or the one run on all rows where that is cheaper."""
    known = [cell for cell in screened if cell.base_sha256 == (base.sha256 if base else None)]
    if plan.whole and _seconds(known, plan.whole, task) < _seconds(known, plan.pilot, task):
        return plan.whole
    return plan.pilot


def _seconds(known: list[Cell], steps: list[Step], task: str) -> float:
    """CPU-seconds of `steps`, foretold from the cells known."""
    return sum(seconds_at(known, known[0].branch, task, step.n)[0] for step in steps)


def _name(base: Candidate | None) -> str:
    return base.name if base else "-"


if __name__ == "__main__":
    stage.run(main)
