"""Which (branch, base model) pairs go on to the larger pilots, and why the others do not: names, no numbers.

Judged on the screen alone, by accuracy and by macro F1 (a pair goes on if either keeps it in reach), never by budget,
deadline or target: those may change later without a new measurement. Of the objective it knows the value of a point: a
higher one may measure more, a lower one never does. The rule, first match wins:

1. Cross-validation has measured everything: nothing is left to continue.
2. A pair whose full run costs at most CHEAP of the dearest pair's is simply measured.
3. The leader (best mean at the largest rung screened) goes on.
4. A branch's better base model goes on if it would overtake the leader with a chance of OUT_OF_REACH or more with all rows,
   or if the upper end of its 90 % interval there reaches the lower end of the leader's: the steep slope of training from
   scratch gets the benefit of this doubt. A second base of a branch is set aside, but for the leader's own branch where the
   two cannot be told apart. At most CONTENDERS such pairs: better bases before second ones, then the likeliest first.
5. With a declared value of a point, a pair whose larger pilots cannot be worth what they cost is set aside (`tasks.stopping`).
6. `pilots.budget_usd` is spent in this order, at CPU_USD_PER_HOUR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import curves, evidence, params, records, stage, stopping
from tasks.curves import Curve, Prediction
from tasks.params import Pilots
from tasks.records import Audit, Cell, Entry, Pilot, Shortlist
from tasks.stopping import CPU_USD_PER_HOUR

CHEAP = 0.1
OUT_OF_REACH = 0.05
ALIKE = 0.25
CONTENDERS = 3
Key = tuple[str, str | None]


@dataclass(frozen=True)
class Screened:
    """One pair after the screen; `better[m]` is its chance to beat the leader by metric m with all rows."""

    key: Key
    cells: Sequence[Cell]
    leads: bool
    reach: bool
    chance: float
    seconds_left: float
    """CPU-seconds of its larger pilots."""
    seconds_full: float
    pays: bool
    """Its larger pilots could be worth what they cost."""

    @property
    def branch(self) -> str:
        return self.key[0]


def main(audit: Path, screens: Path, out: Path) -> None:
    settings = params.load()
    found: dict[str, Pilot] = {name: records.read(Pilot, screens / f"{name}.json") for name in settings.pilots.branches}
    rows = records.read(Audit, audit).train.rows
    value = settings.objective.value_per_point_usd
    records.write(shortlist(found, rows, settings.pilots, settings.use_case.task, value), out)


def shortlist(
    screens: dict[str, Pilot], n: int, pilots: Pilots, task: str, value_per_point_usd: float | None = None
) -> Shortlist:
    """The pairs that go on, for `n` training rows in all."""
    cells = evidence.by_pair(cell for screen in screens.values() for cell in screen.cells)
    if any(screen.regime == "cross-validation" for screen in screens.values()):
        reasons = dict.fromkeys(cells, (False, "measured in full by cross-validation"))
    else:
        reasons = _reasons(_screened(cells, n, pilots, task, value_per_point_usd), pilots.budget_usd)
    entries = [Entry(branch=key[0], base_model=key[1], continued=on, reason=why) for key, (on, why) in reasons.items()]
    continued = {branch: [e.base_model or "-" for e in entries if e.continued and e.branch == branch] for branch in screens}
    return Shortlist(entries=entries, continued=continued)


def _reasons(pairs: Sequence[Screened], budget_usd: float | None) -> dict[Key, tuple[bool, str]]:
    """Each pair's fate and the reason, in the order of the pairs."""
    fate: dict[Key, tuple[bool, str]] = {}
    dearest = max(pair.seconds_full for pair in pairs)
    wanted = [
        (pair, "costs so little beside the others that it is simply measured") for pair in pairs if _is_cheap(pair, dearest)
    ]
    rest = sorted((p for p in pairs if not _is_cheap(p, dearest)), key=lambda p: (not p.leads, -p.chance))
    firsts = list({pair.branch: pair for pair in reversed(rest)}.values())
    contenders: list[Screened] = []
    for pair in sorted(rest, key=lambda p: p not in firsts):
        on, why = _contends(pair, contenders)
        if on:
            contenders.append(pair)
            wanted.append((pair, why))
        else:
            fate[pair.key] = (False, why)
    fate |= _afford(wanted, budget_usd)
    return {pair.key: fate[pair.key] for pair in pairs}


def _is_cheap(pair: Screened, dearest: float) -> bool:
    return pair.seconds_full <= CHEAP * dearest


def _contends(pair: Screened, contenders: Sequence[Screened]) -> tuple[bool, str]:
    if pair.leads:
        return True, "leads after the screen"
    if not pair.reach:
        return False, "behind the leader, and no likely course would catch up with all rows"
    same = [other for other in contenders if other.branch == pair.branch]
    if same and not (same[0].leads and pair.chance >= ALIKE):
        return False, "another base model does better in this branch"
    if len(contenders) >= CONTENDERS:
        return False, "others are likelier to catch up with the leader"
    return True, "could still overtake the leader with all rows" if not same else "cannot yet be told apart from the leader"


def _afford(wanted: Sequence[tuple[Screened, str]], budget_usd: float | None) -> dict[Key, tuple[bool, str]]:
    spent, fate = 0.0, {}
    for pair, why in wanted:
        if not pair.pays:
            fate[pair.key] = (False, "its larger pilots cost more than knowing them could be worth")
            continue
        price = pair.seconds_left / 3600 * CPU_USD_PER_HOUR
        affordable = budget_usd is None or spent + price <= budget_usd
        fate[pair.key] = (True, why) if affordable else (False, "pilots.budget_usd does not pay for its larger pilots")
        spent += price if affordable else 0.0
    return fate


def _screened(cells: dict[Key, list[Cell]], n: int, pilots: Pilots, task: str, value: float | None) -> list[Screened]:
    known = stopping.known([cell for mine in cells.values() for cell in mine])
    judged = [_judged([evidence.curve_of(mine, metric, folds=False) for mine in cells.values()], n) for metric in known]
    by_pair = [[by_metric[i] for by_metric in judged] for i in range(len(cells))]
    return [_one(key, cells[key], of, n, pilots, task, value) for key, of in zip(cells, by_pair, strict=True)]


def _one(
    key: Key, cells: list[Cell], judged: list[tuple[bool, bool, float]], n: int, pilots: Pilots, task: str, value: float | None
) -> Screened:
    left = [rung for rung in pilots.rungs if cells[-1].n < rung <= n]
    seconds = [evidence.seconds_at(cells, key[0], task, rung)[0] for rung in [*left, n]]
    pays = value is None or not left or stopping.best_rung(cells, task, left, n, pilots.seeds, value).pays
    return Screened(
        key,
        cells,
        leads=judged[0][0],
        reach=any(reach for _, reach, _ in judged),
        chance=max(chance for _, _, chance in judged),
        seconds_left=sum(seconds[:-1]) * pilots.seeds,
        seconds_full=seconds[-1],
        pays=pays,
    )


def _judged(known: Sequence[Curve], n: int) -> list[tuple[bool, bool, float]]:
    """Of each curve by one metric: does it lead, is it in reach of the leader, and its chance to be better with n rows."""
    found, predicted = curves.choose(known, n), curves.predict(known, n)
    leader, up = found.leader, known[0].higher_is_better
    chances = [1.0 if i == leader else 0.0 if math.isnan(c) else c for i, c in enumerate(found.overtakes)]
    return [(i == leader, c >= OUT_OF_REACH or _meet(predicted[i], predicted[leader], up), c) for i, c in enumerate(chances)]


def _meet(pair: Prediction, leader: Prediction, higher_is_better: bool) -> bool:
    best, worst = (pair.high90, leader.low90) if higher_is_better else (leader.high90, pair.low90)
    return best is None or worst is None or best >= worst


if __name__ == "__main__":
    stage.run(main)
