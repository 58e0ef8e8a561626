"""Quality against money where no value of a point is declared: the Pareto front, and from which value each option pays.

With a point worth v USD a year, the best option has the greatest v·points − cost. As v grows from 0 that is one option
after the other along the upper hull of (cost, points), from doing nothing to the best: `pays_from_usd` is where an option
takes over, the break-even value of a point against the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.choice import Case, Choice, cheaper
from tasks.first_year import Terms
from tasks.records import Trade


@dataclass(frozen=True)
class _Point:
    terms: Terms | None
    """None: doing nothing."""
    points: float
    """Mean, over guessing."""
    usd: float


def tradeoff(case: Case, chosen: Choice) -> list[Trade]:
    """Undominated options, from the cheapest to the best; means of the draws that the verdict compares."""
    if not chosen.left:
        return []
    gains = case.metric.points(case.evidence.paired(case.n, chosen.left)[1], case.guessing)
    known = [_Point(None, 0.0, -case.nothing_usd())]
    known += [_Point(t, float(g), t.mean_year) for t, g in zip([chosen.terms[i] for i in chosen.left], gains, strict=True)]
    front = _front(known)
    pays = _pays_from(front)
    return [_trade(point, pays[k], case) for k, point in enumerate(front)]


def _front(points: list[_Point]) -> list[_Point]:
    """Those that no other beats or equals in both, by cost; costs of which neither is `cheaper` are equal."""
    front: list[_Point] = []
    for point in sorted(points, key=lambda p: (p.usd, -p.points)):
        if not front or point.points > front[-1].points:
            while front and front[-1].terms and not cheaper(front[-1].usd, point.usd):
                front.pop()
            front.append(point)
    return front


def _pays_from(front: list[_Point]) -> dict[int, float | None]:
    """For each point of the front the slope of the hull before it; None off the hull. The cheapest pays from 0."""
    pays: dict[int, float | None] = dict.fromkeys(range(len(front)))
    at, slope = 0, 0.0
    while True:
        pays[at] = slope
        later = range(at + 1, len(front))
        if not later:
            return pays
        slopes = {k: (front[k].usd - front[at].usd) / (front[k].points - front[at].points) for k in later}
        slope = min(slopes.values())
        at = max(k for k in later if slopes[k] <= slope)


def _trade(point: _Point, pays_from: float | None, case: Case) -> Trade:
    pair = point.terms.outlook.pair if point.terms else None
    sign = 1 if case.metric.higher_is_better else -1
    return Trade(
        branch=pair.branch if pair else None,
        base_model=pair.base_name if pair else None,
        value=case.guessing + sign * point.points / 100,
        cost_usd=point.usd,
        pays_from_usd=pays_from,
    )
