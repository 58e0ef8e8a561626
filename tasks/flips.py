"""What would change the verdict: for each constraint the nearest value with another one, found by deciding again.

Values are tried on a grid, outwards from now; then bisection over the numbers of three digits. So at `Flip.at` the verdict
is another, and at the next number of three digits towards now it is the old one: both were decided. A change that comes
and goes between two points of the grid is missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from tasks import formats
from tasks.choice import Case, Choice, choose
from tasks.records import DecisionMap, Flip

REACH = 100.0  # how far money and time are moved, up and down
STEP = 2**0.5
BUDGETS = 24  # rows of the map
Move = Callable[[float], Case]


def flips(case: Case) -> list[Flip]:
    """Numbers first, nearest first, then switches; one entry a side, or one that says that nothing was found."""
    found = [flip for name, now, move, low, high in _numbers(case) for flip in _both_sides(case, name, now, move, low, high)]
    found.sort(key=lambda flip: (flip.at is None, _distance(flip), flip.constraint))
    return found + _switches(case)


def _numbers(case: Case) -> list[tuple[str, float | None, Move, float, float]]:
    """Name, value now, how to move it, and the least and greatest value tried."""
    limits, aim, price = case.constraints, case.objective, case.hardware.usd_per_gpu_hour

    def limit(name: str) -> Move:
        return lambda v: replace(case, constraints=limits.model_copy(update={name: v}))

    def worth(v: float) -> Case:
        return replace(case, objective=aim.model_copy(update={"value_per_point_usd": v}))

    def priced(v: float) -> Case:
        scaled = (price[0] * v / price[1], v)
        return replace(case, hardware=case.hardware.model_copy(update={"usd_per_gpu_hour": scaled}))

    evidence = case.evidence
    moves = [
        ("budget_usd", limits.budget_usd, limit("budget_usd"), *_range(limits.budget_usd)),
        ("deadline_hours", limits.deadline_hours, limit("deadline_hours"), *_range(limits.deadline_hours)),
        ("max_latency_ms", limits.max_latency_ms, limit("max_latency_ms"), *_range(limits.max_latency_ms)),
    ]
    if not evidence.folds:
        moves += [("rows", case.n, lambda v: replace(case, n=round(v)), evidence.smallest_rung, evidence.decision_grade_rows)]
    if aim.target is not None:
        moves += [("target", aim.target, _targets(case), 0.01, 0.999)]
    if aim.value_per_point_usd:
        moves += [("value_per_point_usd", aim.value_per_point_usd, worth, *_range(aim.value_per_point_usd))]
    if price[1] > 0:
        moves += [("usd_per_gpu_hour", price[1], priced, *_range(price[1]))]
    return moves


def _targets(case: Case) -> Move:
    return lambda v: replace(case, objective=case.objective.model_copy(update={"target": v}))


def _range(now: float | None) -> tuple[float, float]:
    return (now / REACH, now * REACH) if now else (1e-6, 1e6)


def _both_sides(case: Case, name: str, now: float | None, move: Move, low: float, high: float) -> list[Flip]:
    top = high if now is None else now  # no limit now: only a limit can change something
    below = _side(case, name, now, move, top, low) if top > low else None
    above = _side(case, name, now, move, max(now, low), high) if now is not None and now < high else None
    if found := [side for side in (below, above) if side]:
        return found
    note = f"none between {formats.short(low)} and {formats.short(high)}"
    return [Flip(constraint=name, now=now, at=None, to_branch=None, side="below" if now is None else "above", note=note)]


def _side(case: Case, name: str, now: float | None, move: Move, start: float, end: float) -> Flip | None:
    """The nearest change from `start` towards `end`."""
    old, kept, up = choose(case), start, end > start
    steps = _between(case.evidence.grid(), start, end) if name == "rows" else _steps(name, start, end)
    for value in steps:
        if choose(move(value)).what != old.what:
            at = _number(_bisect(move, old, _index(kept, floor=up), _index(value, floor=True)))
            return _flip(name, now, at, choose(move(at)), up)
        kept = value
    return None


def _between(grid: Sequence[int], start: float, end: float) -> list[float]:
    """The grid's amounts of data from `start` towards `end`, to three digits."""
    inside = [float(f"{n:.3g}") for n in grid if min(start, end) < n < max(start, end)]
    return inside if end > start else inside[::-1]


def _steps(name: str, start: float, end: float) -> list[float]:
    """Numbers of three digits, half octaves apart; half points for a target."""
    values: list[float] = []
    value, up = start, end > start
    while True:
        value = value + (0.005 if up else -0.005) if name == "target" else value * (STEP if up else 1 / STEP)
        if (value >= end) if up else (value <= end):
            return values
        values.append(float(f"{value:.3g}"))


def _bisect(move: Move, old: Choice, kept: int, changed: int) -> int:
    """The first number that changes the verdict, next to one that keeps it; both are positions among those of three digits."""
    while abs(kept - changed) > 1:
        middle = (kept + changed) // 2
        kept, changed = (middle, changed) if choose(move(_number(middle))).what == old.what else (kept, middle)
    return changed


def _index(value: float, floor: bool) -> int:
    """Position of a positive number among all numbers of three digits; of the next one below or above it, if it is none."""
    exponent = math.floor(math.log10(value) + 1e-12)
    digits = value / 10.0 ** (exponent - 2)
    return exponent * 900 + (math.floor(digits + 1e-9) if floor else math.ceil(digits - 1e-9)) - 100


def _number(index: int) -> float:
    exponent, digits = divmod(index, 900)
    return float(f"{digits + 100}e{exponent - 2}")


def _flip(name: str, now: float | None, at: float, new: Choice, up: bool) -> Flip:
    to = new.verdict
    note = f"decided again at {formats.short(at)} and just {'below' if up else 'above'} it"
    side: Literal["below", "above"] = "above" if up else "below"
    return Flip(constraint=name, now=now, at=at, to_branch=to.branch, to_status=to.status, side=side, note=note)


def _switches(case: Case) -> list[Flip]:
    limits, old = case.constraints, choose(case)
    turned: list[tuple[str, bool, dict[str, object]]] = [
        ("third_party_weights", limits.third_party_weights, {"third_party_weights": not limits.third_party_weights})
    ]
    base = old.chosen.outlook.pair.base if old.chosen else None
    if base:
        turned.append(
            (f"licences: {base.licence}", True, {"licences": [name for name in limits.licences if name != base.licence]})
        )
    return [_switch(case, old, name, now, change) for name, now, change in turned]


def _switch(case: Case, old: Choice, name: str, now: bool, change: dict[str, object]) -> Flip:
    new = choose(replace(case, constraints=case.constraints.model_copy(update=change)))
    changed = new.what != old.what
    return Flip(
        constraint=name,
        now=now,
        at=not now if changed else None,
        to_branch=new.verdict.branch if changed else None,
        to_status=new.verdict.status if changed else None,
        side="switch",
        note="decided again with the other value" if changed else "no other verdict with the other value",
    )


def _distance(flip: Flip) -> float:
    """Log ratio to now; of the errors allowed, for a target."""
    if flip.at is None or not flip.now:
        return math.inf
    now, at = float(flip.now), float(flip.at)
    return abs(math.log((1 - at) / (1 - now))) if flip.constraint == "target" and now < 1 else abs(math.log(at / now))


def decision_map(case: Case) -> DecisionMap:
    """The verdict at each amount of data of the evidence's grid and each of BUDGETS budgets round what the options cost."""
    rows, (low, high) = case.evidence.grid(), _budgets(case)
    budgets = [low * (high / low) ** (i / (BUDGETS - 1)) for i in range(BUDGETS)]
    key: dict[str, str] = {}
    lines = [_line(case, budget, rows, key) for budget in budgets]
    return DecisionMap(
        rows=rows,
        budget_usd=[float(f"{b:.3g}") for b in budgets],
        verdicts=lines,
        key={letter: word for word, letter in key.items()},
        decision_grade_rows=case.evidence.decision_grade_rows,
    )


def _line(case: Case, budget: float, rows: Sequence[int], key: dict[str, str]) -> str:
    limits = case.constraints.model_copy(update={"budget_usd": float(f"{budget:.3g}")})
    words = [choose(replace(case, n=n, constraints=limits)).verdict for n in rows]
    return "".join(key.setdefault(v.branch or v.status, _letter(len(key))) for v in words)


def _letter(count: int) -> str:
    return chr(ord("a") + count)


def _budgets(case: Case) -> tuple[float, float]:
    """From below the cheapest option now to above what now is the budget, at least four decades."""
    highs = [t.cost_usd.high for t in case.terms() if t.cost_usd]
    now = case.constraints.budget_usd
    low = min([*highs, now or math.inf]) / 3 if highs else (now or 1.0) / REACH
    high = max([*highs, now or 0.0, low * 10_000]) * 3
    return max(low, 1e-6), high
