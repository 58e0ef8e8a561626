"""The cheap look at many base models: only the best PLACES of them get the low rungs of every branch.

Each candidate reads the rows of the largest low rung once, as it is: frozen, with a linear probe on it, or, to generate text,
asked without training; `tasks.bases` ranks them by that. The cells are those of the screen of that branch, under the same
keys: where it is piloted anyway, the look measures nothing twice. With at most PLACES candidates it measures nothing at all.

The places go to those first whose licence the limits allow; what is left of them goes to others, so that a lifted limit can
be decided on. Money, time and aims are not asked. A changed limit of licences may give a place to a base model that nobody
has measured; it is measured then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks import bases, cells, documents, params, records, stage
from tasks.ladder import Ladder, Step, ladder
from tasks.licences import forbidden
from tasks.params import Constraints
from tasks.records import Candidate, Candidates, Look, RankedBase

PLACES = 4
BRANCH = {"text-classification": "probe", "image-classification": "probe", "text-generation": "prompt"}


def main(train: Path, candidates: Path, out: Path) -> None:
    settings, found = params.load(), records.read(Candidates, candidates).candidates
    if len(found) <= PLACES:
        records.write(Look(continued=[one.name for one in found], ranked=[], cells=[]), out)
        return
    rows, task = documents.read(train), settings.use_case.task
    cells.refill(str(out))
    looked = steps(ladder(rows, settings.pilots.rungs, settings.pilots.seeds))
    wanted: list[tuple[Candidate | None, Step]] = [(one, step) for one in found for step in looked]
    measured = cells.measure_all(BRANCH[task], task, wanted, documents.labels_of(rows), "look at the base models")
    ranked = placed(bases.ranked(measured, found), settings.constraints)
    records.write(Look(continued=_in_order(ranked, found), ranked=ranked, cells=measured), out)


def steps(plan: Ladder) -> list[Step]:
    """Those of the largest low rung; all folds, if cross-validation takes the place of the rungs."""
    largest = max(step.n for step in plan.screen)
    return [step for step in plan.screen if step.n == largest or plan.regime == "cross-validation"]


def placed(ranked: Sequence[RankedBase], limits: Constraints) -> list[RankedBase]:
    """The same, each with a place or the reason why it has none."""
    allowed = {one.name: next(forbidden(one.licence, limits), None) is None for one in ranked}
    best = sorted(ranked, key=lambda one: (not allowed[one.name], one.rank))[:PLACES]
    behind = "others look better"
    return [
        one.model_copy(
            update={"set_aside": None if one in best else behind if allowed[one.name] else f"{behind}, or are allowed"}
        )
        for one in ranked
    ]


def _in_order(ranked: Sequence[RankedBase], found: Sequence[Candidate]) -> list[str]:
    """Those that got a place, in the order of the candidates."""
    going = {one.name for one in ranked if one.set_aside is None}
    return [one.name for one in found if one.name in going]


if __name__ == "__main__":
    stage.run(main)
