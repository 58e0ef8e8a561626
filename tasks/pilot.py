"""The pilot of one branch: the upper rungs for the base models that the shortlist names, and nothing for the others.

Where one run on all rows that are not held out would cost less CPU time than the upper rungs, it is run instead. With a
declared value of a point the rungs are measured one after the other, until the next ones cannot pay (`tasks.stopping`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tasks import cells, documents, formats, params, records, stage, stopping
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
    of = {_name(base): base for base in bases}
    going = {name: steps_for(of[name], screened, plan, task) for name in of if name in continued}

    def measure(steps: dict[str, list[Step]]) -> list[Cell]:
        wanted = [(of[name], step) for name, mine in steps.items() for step in mine]
        return cells.measure_all(branch, task, wanted, documents.labels_of(rows), f"pilot of {branch}")

    value, seeds, ended = settings.objective.value_per_point_usd, settings.pilots.seeds, dict[str, str]()
    if value is None:
        measured = measure(going)
    else:
        measured, ended = climb(going, measure, partial(why_not, screened, task, len(rows), seeds, value))
    reason = "measured in full by its screen" if plan.regime == "cross-validation" else "not on the shortlist"
    none = {name: reason for name in of if not going.get(name)}
    records.write(Pilot(branch=branch, regime=plan.regime, cells=measured, not_continued=none, ended_early=ended), out)


def climb(
    going: dict[str, list[Step]],
    measure: Callable[[dict[str, list[Step]]], list[Cell]],
    why_not: Callable[[str, list[int], list[Cell]], str | None],
) -> tuple[list[Cell], dict[str, str]]:
    """All bases rung by rung, each until `why_not` (of its name, the rungs left, and what was measured) gives a reason.

    The cells, and the reasons by base. The first rung is the shortlist's to judge.
    """
    measured: list[Cell] = []
    ended: dict[str, str] = {}
    left = {name: steps for name, steps in going.items() if steps}
    while left:
        now = {name: [step for step in steps if step.n == steps[0].n] for name, steps in left.items()}
        measured += measure(now)
        left = {name: steps[len(now[name]) :] for name, steps in left.items() if len(steps) > len(now[name])}
        reasons = {name: why_not(name, sorted({s.n for s in steps}), measured) for name, steps in left.items()}
        ended |= {name: reason for name, reason in reasons.items() if reason}
        left = {name: steps for name, steps in left.items() if not reasons[name]}
    return measured, ended


def why_not(
    screened: list[Cell], task: str, n: int, seeds: int, value: float, name: str, left: list[int], measured: list[Cell]
) -> str | None:
    """Why the rungs `left` of the base `name` are not bought; None if they can pay."""
    mine = [cell for cell in (*screened, *measured) if (cell.base_model or "-") == name]
    rung = stopping.best_rung(mine, task, left, n, seeds, value)
    if rung.pays:
        return None
    worth, cost = formats.money(rung.worth_at_most_usd), formats.money(rung.cost_usd)
    return f"stopped before {formats.rows(left[0])} rows: measuring costs {cost} and could be worth at most {worth}"


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
