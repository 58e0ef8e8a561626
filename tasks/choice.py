"""The verdict: which option to take, with evidence, prices, limits and aims all given. A pure, fast function of a `Case`.

1. Options that break a hard limit are out (`tasks.constraints`). None left: `no_branch_fits`.
2. With a declared value of a point: the least expected regret in USD over quality, cost and delay; `do_nothing` if even
   that one is worth no more than it costs, against always answering the most frequent label.
3. Without: the cheapest option that meets the target with probability MEETS. None does: the best one, and `label_more` if
   the target lies above its 90 % interval while more rows, within 32 times the largest rung, would reach it.
4. The best one is that of `curves.choose`: the leader at the last rung, unless another will probably overtake it. Options
   that it does not end above with probability TIE, and by no more than TIE_POINTS, tie with it: then the cheapest, most
   easily undone one is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import curves, formats
from tasks.constraints import Terms, exclusions
from tasks.evidence import DRAWS, Evidence, Outlook, Pair
from tasks.params import Constraints, Hardware, Objective
from tasks.records import Exclusion, Span, Status, Verdict

Array = NDArray[np.float64]
MEETS = 0.8
BEYOND_REACH = 0.05  # the target lies above the 90 % interval
TIE = 0.7
TIE_POINTS = 0.005
UNDONE = ("baseline", "prompt", "probe", "lora", "full", "continued", "scratch")
"""From the most to the least easily undone."""
HOURS_A_MONTH = 730.0
NAMES = {
    "baseline": "the baseline",
    "prompt": "prompting",
    "probe": "a linear probe",
    "lora": "LoRA fine-tuning",
    "full": "full fine-tuning",
    "continued": "continued pretraining",
    "scratch": "training from scratch",
}


@dataclass(frozen=True)
class Case:
    """All that a verdict rests on."""

    evidence: Evidence
    n: int
    objective: Objective
    constraints: Constraints
    hardware: Hardware
    guessing: float
    """The metric of always answering the most frequent label."""
    _terms: dict[tuple[int, tuple[float, float], int], list[Terms]] = field(default_factory=dict)
    """Shared by all cases that are made from this one with `replace`."""

    def terms(self) -> list[Terms]:
        key = self.n, self.hardware.usd_per_gpu_hour, self.hardware.count
        if key not in self._terms:
            price = prices(self.hardware)
            self._terms[key] = [_terms(outlook, price) for outlook in self.evidence.at(self.n)]
        return self._terms[key]


@dataclass(frozen=True)
class Choice:
    verdict: Verdict
    terms: list[Terms]
    excluded: list[list[Exclusion]]

    @property
    def what(self) -> tuple[Status, str | None]:
        return self.verdict.status, self.verdict.branch

    @property
    def chosen(self) -> Terms | None:
        wanted = self.verdict.branch, self.verdict.base_model or "-"
        return next((t for t in self.terms if t.outlook.pair.key == wanted), None)


def choose(case: Case) -> Choice:
    terms = case.terms()
    excluded = [exclusions(t, case.constraints) for t in terms]
    left = [i for i, why in enumerate(excluded) if not why]
    if not left:
        return Choice(_nothing_fits(terms, excluded), terms, excluded)
    return Choice(_verdict(case, terms, left), terms, excluded)


def meets(outlook: Outlook, target: float | None) -> float | None:
    """Probability that the metric reaches the target."""
    if target is None or outlook.quality is None:
        return None
    return float((outlook.quality >= target).mean())


def within(draws: Array | None, limit: float | None) -> float | None:
    """Probability that money or time stays within its limit; 1 without a limit."""
    if limit is None:
        return 1.0
    return None if draws is None else float((draws <= limit).mean())


def together(terms: Terms, case: Case) -> float | None:
    """Probability of target, budget and deadline at once, of those that are set and known; None without a prediction."""
    quality, limits = terms.outlook.quality, case.constraints
    if quality is None:
        return None
    held = quality >= (case.objective.target or 0.0)
    for draws, limit in ((terms.cost, limits.budget_usd), (terms.outlook.hours, limits.deadline_hours)):
        if draws is not None and limit is not None:
            held = held & (draws <= limit)
    return float(held.mean())


def prices(hardware: Hardware) -> Array:
    """Draws of USD an hour for all of the hardware, log-uniform over the declared range (uniform from 0)."""
    low, high = hardware.usd_per_gpu_hour
    u = (np.random.default_rng(0).permutation(DRAWS) + 0.5) / DRAWS
    drawn = low * (high / low) ** u if low > 0 else low + (high - low) * u
    return np.asarray(drawn * (hardware.count if hardware.gpu else 1), dtype=np.float64)


def span(draws: Array) -> Span:
    low, value, high = np.quantile(draws, [0.05, 0.5, 0.95])
    return Span(value=float(value), low=float(low), high=float(high))


def regrets(case: Case, chosen: Choice) -> list[float | None]:
    """Mean loss against the best of the options left, draw by draw, in points or USD (see `_utility`); None if excluded."""
    terms, left = chosen.terms, [i for i, why in enumerate(chosen.excluded) if not why]
    if not left:
        return [None] * len(terms)
    utility = np.stack([_utility(terms[i], case) for i in left])
    loss = (utility.max(0) - utility).mean(1)
    known = dict(zip(left, loss.tolist(), strict=True))
    return [known.get(i) for i in range(len(terms))]


def _terms(outlook: Outlook, price: Array) -> Terms:
    cost = None if outlook.hours is None else outlook.hours * price
    return Terms(
        outlook,
        cost,
        span(cost) if cost is not None else None,
        span(outlook.hours) if outlook.hours is not None else None,
    )


def _utility(terms: Terms, case: Case) -> Array:
    """Points of the metric; with a value of a point, USD of the first year: worth of the points − training − delay."""
    quality, point = terms.outlook.quality, case.objective.value_per_point_usd
    assert quality is not None  # an option without prediction is excluded
    if point is None:
        return 100 * quality
    worth = 100 * point * (quality - case.guessing)
    delay = (case.objective.month_of_delay_usd or 0.0) / HOURS_A_MONTH
    cost = 0.0 if terms.cost is None else terms.cost
    wait = 0.0 if terms.outlook.hours is None else terms.outlook.hours * delay
    return np.asarray(worth - cost - wait, dtype=np.float64)


def _verdict(case: Case, terms: list[Terms], left: list[int]) -> Verdict:
    if case.objective.value_per_point_usd is not None:
        return _by_worth(case, terms, left)
    target = case.objective.target
    chances = {i: meets(terms[i].outlook, target) or 0.0 for i in left}
    enough = [i for i in left if chances[i] >= MEETS]
    if enough:
        best = min(enough, key=lambda i: _cheap(terms[i]))
        return _take(terms[best], f"the cheapest that meets the target with a chance of at least {MEETS:.0%}")
    best, ties = _best(case, terms, left)
    if target is not None and max(chances.values()) < BEYOND_REACH and (rows := rows_for(case, target)):
        return Verdict(branch=None, base_model=None, status="label_more", reason=_label(case, terms[best], rows))
    reason = "the best of those that no limit excludes" if ties == 1 else _tie(terms[best])
    if target is not None:
        reason += "; no option meets the target with enough certainty"
    return _take(terms[best], reason)


def _by_worth(case: Case, terms: list[Terms], left: list[int]) -> Verdict:
    worth = {i: float(_utility(terms[i], case).mean()) for i in left}
    top = max(worth.values())
    near = 100 * TIE_POINTS * (case.objective.value_per_point_usd or 0.0)
    best = min((i for i in left if top - worth[i] <= near), key=lambda i: _cheap(terms[i]))
    if top <= 0:
        why = f"no option is worth what it costs: the best, {_name(terms[best])}, gains nothing over guessing"
        return Verdict(branch=None, base_model=None, status="do_nothing", reason=why)
    return _take(terms[best], f"least expected regret: worth {formats.money(worth[best])} in the first year, net of training")


def _best(case: Case, terms: list[Terms], left: list[int]) -> tuple[int, int]:
    """The option to take for quality alone, and how many tie for it."""
    found = case.evidence.leading(case.n, tuple(left))
    overtakes = [found.overtakes[found.branch] if k == found.leader else chance for k, chance in enumerate(found.overtakes)]
    rivals = [k for k in range(len(left)) if k != found.branch and _is_close(found, k, overtakes[k])]
    best = left[found.branch]
    ties = [best] + [left[k] for k in rivals if _value(terms[best]) - _value(terms[left[k]]) <= TIE_POINTS]
    return min(ties, key=lambda i: _cheap(terms[i])), len(ties)


def _is_close(found: curves.Choice, k: int, chance: float) -> bool:
    """The choice does not end above pair k with probability TIE. `chance`: that k overtakes the leader, or is overtaken."""
    return chance < TIE if k == found.leader else chance > 1 - TIE


def rows_for(case: Case, target: float) -> int | None:
    """The fewest rows on the evidence's grid, of decision grade, with which an option that no limit excludes reaches it."""
    for n in case.evidence.grid():
        if case.n < n <= case.evidence.decision_grade_rows:
            more = replace(case, n=n).terms()
            if any(_value(t) >= target and not exclusions(t, case.constraints) for t in more):
                return int(float(f"{n:.2g}"))
    return None


def _value(terms: Terms) -> float:
    value = terms.outlook.predicted.value
    return -1.0 if value is None else value


def _cheap(terms: Terms) -> tuple[float, int, str]:
    pair = terms.outlook.pair
    return (terms.cost_usd.value if terms.cost_usd else 0.0, UNDONE.index(pair.branch), pair.base_name or "")


def _take(terms: Terms, reason: str) -> Verdict:
    pair = terms.outlook.pair
    status: dict[str, Status] = {"baseline": "keep_baseline", "prompt": "use_as_is"}
    return Verdict(branch=pair.branch, base_model=pair.base_name, status=status.get(pair.branch, "chosen"), reason=reason)


def _name(terms: Terms) -> str:
    return name_of(terms.outlook.pair)


def name_of(pair: Pair) -> str:
    return NAMES[pair.branch] + (f" of {pair.base_name}" if pair.base_name else "")


def _tie(terms: Terms) -> str:
    return f"as good as the best within the noise; {_name(terms)} is the cheapest of those"


def _label(case: Case, best: Terms, rows: int) -> str:
    return (
        f"with {formats.rows(case.n)} rows even {_name(best)} would stay below the target; "
        f"about {formats.rows(rows)} rows would reach it"
    )


def _nothing_fits(terms: list[Terms], excluded: list[list[Exclusion]]) -> Verdict:
    """Name the limits that bind and the cheapest way out: the option that breaks the fewest limits, then the cheapest."""
    way = min(range(len(terms)), key=lambda i: (len(excluded[i]), _cheap(terms[i])))
    binding = ", ".join(f"constraints.{e.constraint} = {_shown(e.limit)}" for e in excluded[way])
    lifts = " and ".join(e.lifted_by for e in excluded[way])
    value = terms[way].outlook.predicted.value
    worth = "" if value is None else f" ({formats.percent(value)} predicted)"
    reason = f"no branch fits {binding}; the cheapest way out: {lifts}, for {_name(terms[way])}{worth}"
    return Verdict(branch=None, base_model=None, status="no_branch_fits", reason=reason)


def _shown(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)
