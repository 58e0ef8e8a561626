"""The verdict: which option to take, with evidence, prices, limits and aims all given. A pure, fast function of a `Case`.

1. Options that break a hard limit are out (`tasks.constraints`). None left: `no_branch_fits`.
2. With a declared value of a point: the least expected regret in USD, the worth of a year's points over guessing minus the
   first year's cost (`tasks.first_year`), draw by draw; the target is then reported, not asked for. Doing nothing costs a
   year of delay; labelling more is weighed too where a label has a price.
3. Without: the cheapest option that meets the target with probability MEETS. None does: the best one, and `label_more` if
   the target lies beyond its 90 % interval while more rows, within 32 times the largest rung, would reach it. Where not
   even the best does better than guessing with probability MEETS: `do_nothing`.
4. The best one is that of `curves.choose`: the leader at the last rung, unless another will probably overtake it.
5. Options that the best one beats with less than probability TIE tie with it: by no more than TIE_POINTS where learning
   curves say so, or by what seeds or folds alone make of a difference; then the cheapest in the first year is taken.
6. First years that differ by less than SAME_COST cost the same: of these, the one that is surest to meet the target; where
   none meets it, the best; then the most easily undone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from tasks import curves, formats
from tasks.constraints import exclusions
from tasks.evidence import Array, Evidence, Outlook, Pair
from tasks.first_year import MONTHS, Terms
from tasks.first_year import terms as first_year
from tasks.params import Constraints, Hardware, Objective, Team
from tasks.records import Exclusion, Metric, Status, Verdict

MEETS = 0.8
BEYOND_REACH = 0.05  # the target lies beyond the 90 % interval
LIKELY = 0.5
TIE = 0.7
TIE_POINTS = 0.5
TIE_ERRORS = NormalDist().inv_cdf(TIE)
"""Standard errors within which a measured difference is noise as likely as TIE says."""
SAME_COST = 0.01
"""Share of the first year, or a cent: what three printed digits do not tell apart; prices are not known to that."""
UNDONE = ("baseline", "prompt", "probe", "lora", "full", "continued", "scratch")
"""From the most to the least easily undone."""
KNOWING_NOTHING = {
    "accuracy": "always answering the most frequent label",
    "macro_f1": "always answering the most frequent label",
    "log_loss": "knowing nothing but the labels' shares",
    "bits_per_byte": "guessing every byte",
    "exact_match": "an empty answer",
    "chrf": "an empty answer",
}
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
    team: Team
    guessing: float
    """The metric of knowing nothing: of always answering the most frequent label, say."""
    _terms: dict[tuple[object, ...], list[Terms]] = field(default_factory=dict)
    _worth: dict[tuple[object, ...], float] = field(default_factory=dict)
    """Both are shared by all cases that are made from this one with `replace`."""

    @property
    def metric(self) -> Metric:
        return Metric.of(self.objective.metric, self.objective.target)

    def terms(self) -> list[Terms]:
        key = self._key()
        if key not in self._terms:
            self._terms[key] = [
                first_year(outlook, self.hardware, self.team, self.objective) for outlook in self.evidence.at(self.n)
            ]
        return self._terms[key]

    def excluded(self) -> list[list[Exclusion]]:
        return [exclusions(t, self.constraints, self.hardware, self.team) for t in self.terms()]

    def nothing_usd(self) -> float:
        """Worth of the first year without a model."""
        return -MONTHS * (self.objective.month_of_delay_usd or 0.0)

    def best_worth(self) -> float:
        """USD that the best option, doing nothing among them, is worth on average: the greatest mean of `utilities`."""
        key = *self._key(), self.constraints.model_dump_json(), self.objective.value_per_point_usd
        if key not in self._worth:
            left = tuple(i for i, why in enumerate(self.excluded()) if not why)
            points = self.metric.points(self.evidence.paired(self.n, left)[1], self.guessing) if left else []
            terms = self.terms()
            years = [terms[i].mean_year for i in left]
            value = self.objective.value_per_point_usd or 0.0
            self._worth[key] = max([self.nothing_usd(), *(value * p - year for p, year in zip(points, years, strict=True))])
        return self._worth[key]

    def _key(self) -> tuple[object, ...]:
        """What the terms depend on."""
        aim = self.objective
        money = aim.requests_per_month, aim.updates_per_year, aim.month_of_delay_usd
        return self.n, self.hardware.model_dump_json(), self.team.model_dump_json(), *money


@dataclass(frozen=True)
class Choice:
    verdict: Verdict
    terms: list[Terms]
    excluded: list[list[Exclusion]]

    @property
    def what(self) -> tuple[Status, str | None]:
        return self.verdict.status, self.verdict.branch

    @property
    def outcome(self) -> tuple[Status, str | None, str | None]:
        """All that a verdict can change to: with the base model."""
        return self.verdict.status, self.verdict.branch, self.verdict.base_model

    @property
    def left(self) -> tuple[int, ...]:
        """Positions of the options that no limit excludes."""
        return tuple(i for i, why in enumerate(self.excluded) if not why)

    @property
    def chosen(self) -> Terms | None:
        wanted = self.verdict.branch, self.verdict.base_model or "-"
        return next((t for t in self.terms if t.outlook.pair.key == wanted), None)


def choose(case: Case) -> Choice:
    found = Choice(Verdict(branch=None, base_model=None, status="do_nothing", reason=""), case.terms(), case.excluded())
    return replace(found, verdict=_verdict(case, found.terms, found.left) if found.left else _nothing_fits(case, found))


# ---- chances and regrets -----------------------------------------------------------------------------------------------


def meets(outlook: Outlook, metric: Metric) -> float | None:
    """Probability that the metric reaches the target; None without a target or a prediction."""
    if metric.target is None or outlook.quality is None:
        return None
    return float(np.mean(metric.reached(outlook.quality)))


def within(draws: Array | None, limit: float | None) -> float | None:
    """Probability that money or time stays within its limit; 1 without a limit."""
    if limit is None:
        return 1.0
    return None if draws is None else float((draws <= limit).mean())


def together(terms: Terms, case: Case) -> float | None:
    """Probability of target, budget and deadline at once, of those that are set and known; None without a prediction."""
    outlook, limits = terms.outlook, case.constraints
    if outlook.quality is None:
        return None
    held = case.metric.reached(outlook.quality)
    for draws, limit in ((terms.cost, limits.budget_usd), (outlook.needs.hours, limits.deadline_hours)):
        if draws is not None and limit is not None:
            held = held & (draws <= limit)
    return float(held.mean())


def utilities(case: Case, left: tuple[int, ...]) -> Array:
    """Draws, (len(left), DRAWS): points over guessing; with a value of a point, USD of the first year."""
    points: Array = case.metric.points(case.evidence.paired(case.n, left)[0], case.guessing)
    value = case.objective.value_per_point_usd
    if value is None:
        return points
    terms = case.terms()
    return value * points - np.stack([terms[i].year for i in left])


def regrets(case: Case, chosen: Choice) -> list[float | None]:
    """Mean loss against the best of the options left, draw by draw, in points or USD (see `utilities`); None if excluded."""
    if not chosen.left:
        return [None] * len(chosen.terms)
    utility = utilities(case, chosen.left)
    best = utility.max(0)
    if case.objective.value_per_point_usd is not None:
        best = np.maximum(best, case.nothing_usd())
    known = dict(zip(chosen.left, (best - utility).mean(1).tolist(), strict=True))
    return [known.get(i) for i in range(len(chosen.terms))]


# ---- with a value of a point -------------------------------------------------------------------------------------------


def _verdict(case: Case, terms: list[Terms], left: tuple[int, ...]) -> Verdict:
    if case.objective.value_per_point_usd is not None:
        return _by_worth(case, terms, left, case.objective.value_per_point_usd)
    return _by_target(case, terms, left)


def _by_worth(case: Case, terms: list[Terms], left: tuple[int, ...], value: float) -> Verdict:
    utility = utilities(case, left)
    worth = utility.mean(1)
    top, near = int(worth.argmax()), TIE_POINTS * value
    ties = [k for k in range(len(left)) if _ties(worth[top] - worth[k], utility[top], utility[k], near)]
    best = left.index(_cheapest([left[k] for k in ties], terms, {left[k]: float(worth[k]) for k in ties}))
    more = _more_labels(case)
    if more and more[1] > max(worth[top], case.nothing_usd()) + near:
        return _label_for_money(more[0], more[1] - float(worth[top]), case)
    if worth[top] <= case.nothing_usd():
        why = f"no option is worth what it costs: {_name(terms[left[top]])}, the best, would lose {formats.money(-worth[top])}"
        return Verdict(branch=None, base_model=None, status="do_nothing", reason=why)
    reason = f"least expected regret: worth {_usd(worth[best])} in the first year, all costs taken off"
    return _take(
        terms[left[best]], reason if len(ties) == 1 else f"{reason}; {_tie(left[best], [left[k] for k in ties], case)}"
    )


def _ties(behind: float, best: Array, other: Array, near: float) -> bool:
    return behind <= near and float((best > other).mean()) < TIE


def _more_labels(case: Case) -> tuple[int, float] | None:
    """The number of rows, of decision grade, that is worth most once its labels are paid, and that worth in USD.

    Every second amount of the grid is tried: the worth is flat near its best.
    """
    price = case.team.usd_per_label
    if price is None or case.evidence.folds:
        return None
    rows = [n for n in case.evidence.grid() if case.n < n <= case.evidence.decision_grade_rows]
    worth = [(n, replace(case, n=n).best_worth() - (n - case.n) * price) for n in rows[::2]]
    return max(worth, key=lambda pair: pair[1], default=None)


def _label_for_money(rows: int, gain: float, case: Case) -> Verdict:
    rounded, price = _two_digits(rows), case.team.usd_per_label or 0.0
    why = (
        f"with about {formats.rows(rounded)} rows the first year is worth {_usd(gain)} more, "
        f"the {_usd((rounded - case.n) * price)} for {formats.rows(rounded - case.n)} labels already taken off"
    )
    return Verdict(branch=None, base_model=None, status="label_more", reason=why, rows=rounded)


# ---- without -----------------------------------------------------------------------------------------------------------


def _by_target(case: Case, terms: list[Terms], left: tuple[int, ...]) -> Verdict:
    metric = case.metric
    chances = {i: meets(terms[i].outlook, metric) or 0.0 for i in left}
    enough = [i for i in left if chances[i] >= MEETS]
    if enough:
        best = _cheapest(enough, terms, chances)
        likely = f"meets the target with a chance of at least {MEETS:.0%}"
        return _take(
            terms[best],
            f"{likely}, {_saves(best, enough, case, 'surest')}" if len(enough) > 1 else f"the only one that {likely}",
        )
    best, ties = _best(case, terms, left)
    if metric.target is not None and max(chances.values()) < BEYOND_REACH and (rows := rows_for(case)):
        return Verdict(branch=None, base_model=None, status="label_more", reason=_label(case, terms[best], rows), rows=rows)
    quality = terms[best].outlook.quality
    if quality is not None and float(np.mean(metric.points(quality, case.guessing) > 0)) < MEETS:
        why = f"no option surely beats {KNOWING_NOTHING[metric.name]}; {_name(terms[best])} comes nearest"
        return Verdict(branch=None, base_model=None, status="do_nothing", reason=why)
    reason = "the best of those that no limit excludes" if best == ties[0] else _tie(best, ties, case)
    if best == ties[0] and len(ties) > 1:
        reason += ", and what ties with it is no cheaper"
    if metric.target is not None:
        said = formats.score(metric.target, metric.name)
        reason += f"; none is at least {MEETS:.0%} sure to reach the target, {said}"
    return _take(terms[best], reason)


def _best(case: Case, terms: list[Terms], left: tuple[int, ...]) -> tuple[int, list[int]]:
    """The option to take for quality alone, and those that tie for it."""
    found, metric = case.evidence.leading(case.n, left), case.metric
    overtakes = [found.overtakes[found.branch] if k == found.leader else chance for k, chance in enumerate(found.overtakes)]
    best = left[found.branch]
    rivals = [k for k in range(len(left)) if k != found.branch]
    ties = [best] + [left[k] for k in rivals if _is_tie(case, best, left[k], _is_close(found, k, overtakes[k]))]
    merit = {i: float(metric.points(_value(terms[i]), 0.0)) for i in ties} | {best: math.inf}
    return _cheapest(ties, terms, merit), ties


def _is_tie(case: Case, best: int, other: int, close: bool) -> bool:
    """`close`: what is known of learning curves does not tell them apart. It knows nothing of seeds, folds and few rows."""
    terms = case.terms()
    behind = case.metric.points(_value(terms[best]), _value(terms[other]))
    return bool((close and behind <= TIE_POINTS) or abs(behind) <= TIE_ERRORS * case.evidence.noise(best, other))


def _is_close(found: curves.Choice, k: int, chance: float) -> bool:
    """The choice does not end above pair k with probability TIE. `chance`: that k overtakes the leader, or is overtaken."""
    return chance < TIE if k == found.leader else chance > 1 - TIE


def rows_for(case: Case) -> int | None:
    """The fewest rows on the evidence's grid, of decision grade, with which an option that no limit excludes reaches it."""
    for n in case.evidence.grid():
        if case.n < n <= case.evidence.decision_grade_rows:
            more = replace(case, n=n)
            if any(not why and case.metric.reached(_value(t)) for t, why in zip(more.terms(), more.excluded(), strict=True)):
                return _two_digits(n)
    return None


def _value(terms: Terms) -> float:
    """Of an option that no limit excludes, and that therefore has a prediction."""
    value = terms.outlook.predicted.value
    return math.nan if value is None else value


def _cheapest(options: list[int], terms: list[Terms], merit: dict[int, float]) -> int:
    """Of those that cost as little as the cheapest, as far as is known, the one with the greatest merit."""
    least = min(options, key=lambda i: _cheap(terms[i]))
    same = [i for i in options if not cheaper(terms[least].mean_year, terms[i].mean_year)]
    return min(same, key=lambda i: (-round(merit[i], 6), UNDONE.index(terms[i].outlook.pair.branch), _cheap(terms[i])))


def cheaper(usd: float, other_usd: float) -> bool:
    """The first is less than the other, by more than SAME_COST."""
    return other_usd - usd > max(0.01, SAME_COST * other_usd)


def _cheap(terms: Terms) -> tuple[float, int, str]:
    pair = terms.outlook.pair
    return terms.mean_year, UNDONE.index(pair.branch), pair.base_name or ""


# ---- in words ----------------------------------------------------------------------------------------------------------


def _take(terms: Terms, reason: str) -> Verdict:
    pair = terms.outlook.pair
    status: dict[str, Status] = {"baseline": "keep_baseline", "prompt": "use_as_is"}
    return Verdict(branch=pair.branch, base_model=pair.base_name, status=status.get(pair.branch, "chosen"), reason=reason)


def _name(terms: Terms) -> str:
    return name_of(terms.outlook.pair)


def name_of(pair: Pair) -> str:
    return NAMES[pair.branch] + (f" of {pair.base_name}" if pair.base_name else "")


def _usd(value: float) -> str:
    return formats.money(value) if value >= 0 else f"−{formats.money(-value)}"


def _two_digits(rows: float) -> int:
    return int(float(f"{rows:.2g}"))


def _tie(best: int, ties: list[int], case: Case) -> str:
    return f"as good as the best within the noise, and {_saves(best, ties, case, 'best')}"


def _saves(best: int, others: list[int], case: Case, merit: str) -> str:
    """What sets the option apart from the others that would do."""
    terms = case.terms()
    if all(cheaper(terms[best].mean_year, terms[i].mean_year) for i in others if i != best):
        return "the cheapest of those"
    return f"the {merit} of the cheapest of those"


def _label(case: Case, best: Terms, rows: int) -> str:
    price = case.team.usd_per_label
    paid = "" if price is None else f", for {_usd((rows - case.n) * price)} of labels"
    return (
        f"with {formats.rows(case.n)} rows even {_name(best)} would miss the target; "
        f"about {formats.rows(rows)} rows would reach it{paid}"
    )


def _nothing_fits(case: Case, found: Choice) -> Verdict:
    """Name the limits that bind and the easiest way out."""
    way = min(range(len(found.terms)), key=lambda i: _ease(found.terms[i], found.excluded[i], case.metric))
    terms, why = found.terms[way], found.excluded[way]
    binding = ", ".join(f"{_setting(e)} = {_shown(e.limit)}" for e in why)
    lifts = " and ".join(e.lifted_by for e in why)
    value = terms.outlook.predicted.value
    worth = "" if value is None else f" ({formats.score(value, case.metric.name)} predicted)"
    reason = f"no branch fits {binding}; the easiest way out: {lifts}, for {_name(terms)}{worth}"
    return Verdict(branch=None, base_model=None, status="no_branch_fits", reason=reason)


def _ease(terms: Terms, why: list[Exclusion], metric: Metric) -> tuple[int, bool, bool, float, tuple[float, int, str]]:
    """Few limits to lift; then an option that meets the target, and one that was piloted to the end; then the least raise."""
    likely = (meets(terms.outlook, metric) or 0.0) >= LIKELY
    raises = [
        math.log(e.value / (e.limit or 1.0)) for e in why if isinstance(e.value, float) and e.value > 0 and not _is_text(e)
    ]
    return len(why), not likely, terms.outlook.pair.stopped is not None, sum(raises), _cheap(terms)


def _is_text(exclusion: Exclusion) -> bool:
    return not isinstance(exclusion.limit, int | float) or isinstance(exclusion.limit, bool)


def _setting(exclusion: Exclusion) -> str:
    section = {"engineers": "team", "memory_gb": "hardware"}.get(exclusion.constraint, "constraints")
    return f"{section}.{exclusion.constraint}" if exclusion.constraint != "evidence" else "the evidence"


def _shown(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)
