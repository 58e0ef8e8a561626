"""What would change the verdict: for each setting the nearest value with another one, found by deciding again.

Another verdict is another status, branch or base model.
Values are tried on a grid, outwards from now; then bisection over the numbers of three digits. So at `Flip.at` the verdict
is another, and at the next number of three digits towards now it is the old one: both were decided. Where `Flip.at_end`, it
is another from the first value tried. A change that comes and goes between two points of the grid is missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tasks import cost, formats
from tasks.choice import Case, Choice, choose
from tasks.records import SHARES, Flip

REACH = 100.0  # how far money and time are moved, up and down
STEP = 2**0.5
FINE = 1.02  # a target that is no share is moved by so much
MOST = {"requests_per_month": 1e9, "updates_per_year": 365.0, "usd_per_label": 1e3, "month_of_delay_usd": 1e6}
"""Up to where a setting is tried that is not declared now, from a millionth of that."""


@dataclass(frozen=True)
class Lever:
    """One setting that can be moved alone."""

    name: str
    now: float | None
    move: Callable[[float], Case]
    low: float
    high: float
    """The least and greatest value tried."""
    steps: Callable[[float, float], list[float]]
    """The values tried from a start towards an end."""
    without: Literal["no limit", "none"] = "no limit"
    """What an empty setting means: then only a limit, or only some of it, can change something."""


def flips(case: Case) -> list[Flip]:
    """Numbers first, nearest first, then switches; one entry a side, or one that says that nothing was found."""
    old = choose(case)
    found = [flip for lever in _levers(case) for flip in _both_sides(lever, old)]
    found.sort(key=lambda flip: (flip.at is None, _distance(flip, case), flip.constraint))
    return found + list(_switches(case, old))


# ---- numbers -----------------------------------------------------------------------------------------------------------


def _levers(case: Case) -> Iterator[Lever]:
    aim, evidence, price = case.objective, case.evidence, cost.price_of_hour(case.hardware)
    for name in ("budget_usd", "deadline_hours", "months_until_use", "max_latency_ms", "max_model_gb"):
        yield _lever(case, "constraints", name, "no limit")
    for name in ("requests_per_month", "updates_per_year", "month_of_delay_usd"):
        yield _lever(case, "objective", name, "none")
    yield _lever(case, "team", "usd_per_label", "none")
    if case.team.usd_per_hour:
        yield _lever(case, "team", "usd_per_hour", "none")
    if aim.value_per_point_usd:
        yield _lever(case, "objective", "value_per_point_usd", "none")
    if price.high > 0:

        def priced(v: float) -> Case:
            scaled = (price.low * v / price.high, v)
            return replace(case, hardware=case.hardware.model_copy(update={"usd_per_gpu_hour": scaled}))

        yield Lever("usd_per_gpu_hour", price.high, priced, price.high / REACH, price.high * REACH, _octaves)
    if not evidence.folds:
        at_rows: Callable[[float], Case] = lambda v: replace(case, n=round(v))  # noqa: E731
        low, high = float(evidence.smallest_rung), float(evidence.decision_grade_rows)
        yield Lever("rows", case.n, at_rows, low, high, lambda start, end: _between(evidence.grid(), start, end))
    if aim.target is not None:
        shares = aim.metric in SHARES
        low, high = (0.01, 0.999) if shares else _range(aim.target)
        yield Lever("target", aim.target, _move(case, "objective", "target"), low, high, _half_points if shares else _percents)


def _lever(case: Case, section: str, name: str, without: Literal["no limit", "none"]) -> Lever:
    now = getattr(getattr(case, section), name)
    low, high = _range(now) if now or without == "no limit" else (MOST.get(name, 1e6) / 1e6, MOST.get(name, 1e6))
    return Lever(name, now, _move(case, section, name), low, high, _octaves, without)


def _move(case: Case, section: str, name: str) -> Callable[[float], Case]:
    def moved(value: float) -> Case:
        return replace(case, **{section: getattr(case, section).model_copy(update={name: value})})

    return moved


def _range(now: float | None) -> tuple[float, float]:
    return (now / REACH, now * REACH) if now else (1e-6, 1e6)


def _both_sides(lever: Lever, old: Choice) -> list[Flip]:
    now, low, high = lever.now, lever.low, lever.high
    top = high if now is None and lever.without == "no limit" else now or 0.0
    below = _side(lever, old, top, low) if top > low else None
    above = _side(lever, old, max(top, low), high) if top < high else None
    if found := [side for side in (below, above) if side]:
        return found
    note = f"none between {formats.short(low)} and {formats.short(high)}"
    side: Literal["below", "above"] = "below" if top == high else "above"
    return [Flip(constraint=lever.name, now=now, at=None, to_branch=None, side=side, note=note)]


def _side(lever: Lever, old: Choice, start: float, end: float) -> Flip | None:
    """The nearest change from `start` towards `end`; `start` itself, if it is not what holds now and changes the verdict."""
    kept, up = start, end > start
    if start != lever.now and (new := choose(lever.move(start))).outcome != old.outcome:
        return _flip(lever, start, new, up, at_end=True)
    for value in lever.steps(start, end):
        if choose(lever.move(value)).outcome != old.outcome:
            at = _number(_bisect(lever.move, old, _index(kept, floor=up), _index(value, floor=True)))
            return _flip(lever, at, choose(lever.move(at)), up)
        kept = value
    return None


def _between(grid: Sequence[int], start: float, end: float) -> list[float]:
    """The grid's amounts of data from `start` towards `end`, to three digits."""
    inside = [float(f"{n:.3g}") for n in grid if min(start, end) < n < max(start, end)]
    return inside if end > start else inside[::-1]


def _octaves(start: float, end: float) -> list[float]:
    return _steps(start, end, lambda value, up: value * (STEP if up else 1 / STEP))


def _percents(start: float, end: float) -> list[float]:
    return _steps(start, end, lambda value, up: value * (FINE if up else 1 / FINE))


def _half_points(start: float, end: float) -> list[float]:
    return _steps(start, end, lambda value, up: value + (0.005 if up else -0.005))


def _steps(start: float, end: float, step: Callable[[float, bool], float]) -> list[float]:
    """Numbers of three digits from `start` towards `end`, neither included."""
    values: list[float] = []
    value, up = step(start, end > start), end > start
    while (value < end) if up else (value > end):
        values.append(float(f"{value:.3g}"))
        value = step(value, up)
    return values


def _bisect(move: Callable[[float], Case], old: Choice, kept: int, changed: int) -> int:
    """The first number that changes the verdict, next to one that keeps it; both are positions among those of three digits."""
    while abs(kept - changed) > 1:
        middle = (kept + changed) // 2
        kept, changed = (middle, changed) if choose(move(_number(middle))).outcome == old.outcome else (kept, middle)
    return changed


def _index(value: float, floor: bool) -> int:
    """Position of a positive number among all numbers of three digits; of the next one below or above it, if it is none."""
    exponent = math.floor(math.log10(value) + 1e-12)
    digits = value / 10.0 ** (exponent - 2)
    return exponent * 900 + (math.floor(digits + 1e-9) if floor else math.ceil(digits - 1e-9)) - 100


def _number(index: int) -> float:
    exponent, digits = divmod(index, 900)
    return float(f"{digits + 100}e{exponent - 2}")


def _flip(lever: Lever, at: float, new: Choice, up: bool, at_end: bool = False) -> Flip:
    to = new.verdict
    beside = f", the {'lowest' if up else 'highest'} value tried" if at_end else f" and just {'below' if up else 'above'} it"
    side: Literal["below", "above"] = "above" if up else "below"
    return Flip(
        constraint=lever.name,
        now=lever.now,
        at=at,
        at_end=at_end,
        to_branch=to.branch,
        to_base_model=to.base_model,
        to_status=to.status,
        to_reason=to.reason,
        side=side,
        note=f"decided again at {formats.short(at)}{beside}",
    )


def _distance(flip: Flip, case: Case) -> float:
    """Log ratio to now; for a target that is a share, of the errors allowed. Infinite from what is not declared."""
    if flip.at is None or not flip.now:
        return math.inf
    now, at = float(flip.now), float(flip.at)
    if flip.constraint == "target" and case.objective.metric in SHARES and now < 1:
        return abs(math.log((1 - at) / (1 - now)))
    return abs(math.log(at / now))


# ---- switches ----------------------------------------------------------------------------------------------------------


def _switches(case: Case, old: Choice) -> Iterator[Flip]:
    limits = case.constraints
    yield _switch(case, old, "third_party_weights", limits.third_party_weights, not limits.third_party_weights)
    for licence in sorted({pair.base.licence for pair in case.evidence.pairs if pair.base}):
        allowed = licence in limits.licences
        names = [name for name in limits.licences if name != licence] + ([] if allowed else [licence])
        yield _switch(case, old, "licences", allowed, names, f"licences: {licence}")
    yield _switch(case, old, "business_use", limits.business_use, not limits.business_use)
    all_own = limits.ownership == "all"
    yield _switch(case, old, "ownership", all_own, "any" if all_own else "all")
    if case.hardware.place == "cloud":
        yield _switch(case, old, "data_may_leave", limits.data_may_leave, not limits.data_may_leave)
        yield _switch(case, old, "air_gap", limits.air_gap, not limits.air_gap)


def _switch(case: Case, old: Choice, setting: str, now: bool | None, other: object, name: str | None = None) -> Flip:
    """The verdict with `setting` = `other` in the place of what it is now."""
    new = choose(replace(case, constraints=case.constraints.model_copy(update={setting: other})))
    changed = new.outcome != old.outcome
    return Flip(
        constraint=name or setting,
        now=now,
        at=not now if changed else None,
        to_branch=new.verdict.branch if changed else None,
        to_base_model=new.verdict.base_model if changed else None,
        to_status=new.verdict.status if changed else None,
        to_reason=new.verdict.reason if changed else None,
        side="switch",
        note="decided again with the other value" if changed else "no other verdict with the other value",
    )
