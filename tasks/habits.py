"""Habits: which branches, known by name, have overtaken others more often than their curves said, in one's own past pilots.

A past pilot is cut where it could have been decided, at a half, a quarter and an eighth of its largest rung; what came of each
branch is measured there. Habits are log-odds by name beside those of `curves.chance`, whose weights stay those of the public
curves: offset logistic regression, shrunk to 0 by RIDGE, so that few pilots change little. They change which branch is chosen,
never an estimate. On public curves that recur by name they help (`make validate`); whether they do on one's own
is asked of one's own: each use case left out in turn. They are used from PILOTS past use cases on, and only if the choices lose
less that way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks import curves
from tasks.curves import NO_HABITS, Curve
from tasks.laws import TINY
from tasks.records import Library, Metric

Array = NDArray[np.float64]
PILOTS = 10
"""Past use cases: with five, names told next to nothing in the public curves."""
RIDGE = 3.0
"""With 1, a library of 10 public data sets chose worse than none at x32 and one of all better; with 3 none chose worse."""
RATIOS = (2, 4, 8)
APART = 0.02
"""Branches that ended this far apart, of the error or of its logarithm, or farther, weigh fully."""


@dataclass(frozen=True)
class Seen:
    """One branch of a pilot that is over: what was known, and the mean that was reached with `to_n` rows."""

    curve: Curve
    to_n: float
    reached: float

    @property
    def worth(self) -> float:
        """More is better: the score, or minus the logarithm of the loss."""
        return self.reached if self.curve.higher_is_better else -math.log(max(self.reached, TINY))


@dataclass(frozen=True)
class Meeting:
    """Two branches of a past pilot, by their names; `behind` stood below `leader` at the last rung that was known."""

    behind: str
    leader: str
    log_odds: float
    """That `behind` ends above, without habits."""
    gain: float
    """By how much it did."""
    rivals: int

    @property
    def weight(self) -> float:
        return min(abs(self.gain), APART) / APART / self.rivals


@dataclass(frozen=True)
class Over:
    """A pilot that is over: every two of its branches, and those among them where one is the leader of all."""

    meetings: list[Meeting]
    with_leader: list[Meeting]


def usable(library: Library, metric: Metric) -> tuple[Mapping[str, float], str | None]:
    """The habits of the library's pilots by this metric, or none, and why; no reason where the library is empty."""
    if not library.pilots:
        return NO_HABITS, None
    past = {name: [over(pilot) for pilot in pilots] for name, pilots in _past(library, metric).items() if pilots}
    start = f"Own past use cases by {metric.name}: {len(past)} in library.json"
    if len(past) < PILOTS:
        return NO_HABITS, f"{start}; not used, for fewer than {PILOTS} told next to nothing on public curves."
    cold, own = backtest(past)
    compared = f"with each left out in turn, choices lost {own:.3g} with them and {cold:.3g} without."
    if own >= cold:
        return NO_HABITS, f"{start}; not used: {compared}"
    return learn(one for pilots in past.values() for one in pilots), f"{start}; used: {compared}"


def learn(past: Iterable[Over]) -> dict[str, float]:
    """By name, the log-odds of ending above others; Newton's method."""
    meetings = [meeting for one in past for meeting in one.meetings]
    at = {name: k for k, name in enumerate(sorted({name for one in meetings for name in (one.behind, one.leader)}))}
    x = np.zeros((len(meetings), len(at)))
    for k, one in enumerate(meetings):
        x[k, at[one.behind]] += 1
        x[k, at[one.leader]] -= 1
    offset = np.array([one.log_odds for one in meetings])
    won, weight = np.array([one.gain > 0 for one in meetings], float), np.array([one.weight for one in meetings])
    habits = np.zeros(len(at))
    for _ in range(25 if meetings else 0):
        p = 1 / (1 + np.exp(-(offset + x @ habits)))
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(len(at))
        habits += np.linalg.solve(hessian, x.T @ (weight * (won - p)) - RIDGE * habits)
    return dict(zip(at, habits.tolist(), strict=True))


def backtest(past: Mapping[str, Sequence[Over]]) -> tuple[float, float]:
    """Mean loss of the choices in all pilots without habits, and with those of the other use cases."""
    cold = [lost(one) for pilots in past.values() for one in pilots]
    own: list[float] = []
    for name, pilots in past.items():
        habits = learn(one for other, theirs in past.items() if other != name for one in theirs)
        own += [lost(one, habits) for one in pilots]
    return float(np.mean(cold)), float(np.mean(own))


def lost(past: Over, habits: Mapping[str, float] = NO_HABITS) -> float:
    """What the choice (as `curves.choose` makes it) loses against the best end, of the score or the loss's logarithm."""
    chances = [_logistic(m.log_odds + habits.get(m.behind, 0.0) - habits.get(m.leader, 0.0)) for m in past.with_leader]
    best = int(np.argmax(chances))
    gained = past.with_leader[best].gain if chances[best] > curves.table()["choice"]["threshold"] else 0.0
    return max(0.0, *(meeting.gain for meeting in past.with_leader)) - gained


def over(pilot: Sequence[Seen], weights: Sequence[float] | None = None) -> Over:
    """`weights`: of `curves.chance`; None: the table's. All curves of the pilot share their last rung."""
    ends = [curves.end_of(one.curve, one.to_n) for one in pilot]
    known = [(one, end, curves.find(end)) for one, end in zip(pilot, ends, strict=True) if isinstance(end, curves.End)]
    known.sort(key=lambda branch: float(branch[1].e[-1] * branch[1].unit))
    meetings = [
        (leader, _meeting(known[behind], known[leader], len(known), weights))
        for behind in range(len(known))
        for leader in range(behind)
    ]
    return Over([m for _, m in meetings if m], [m for leader, m in meetings if m and leader == 0])


def _meeting(
    behind: tuple[Seen, curves.End, curves.Estimate],
    leader: tuple[Seen, curves.End, curves.Estimate],
    rivals: int,
    weights: Sequence[float] | None,
) -> Meeting | None:
    apart = curves.differences(behind[0].curve, leader[0].curve, behind[1], behind[2], leader[2])
    if apart is None:
        return None
    p = curves.chance(*apart, weights or curves.table()["choice"]["weights"])
    gain = behind[0].worth - leader[0].worth
    return Meeting(behind[0].curve.name, leader[0].curve.name, math.log(p / (1 - p)), gain, rivals)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _past(library: Library, metric: Metric) -> dict[str, list[list[Seen]]]:
    """The library's pilots, each cut at RATIOS of its largest rung where two rungs are left, by use case."""
    found: dict[str, list[list[Seen]]] = {}
    for pilot in library.pilots:
        known = [one for one in pilot.curves if metric.name in one.quality]
        largest = max((max(one.n) for one in known), default=0)
        whole = [
            Curve(one.n, one.quality[metric.name], one.seed, metric.higher_is_better, name=one.branch)
            for one in known
            if max(one.n) == largest
        ]
        cuts = [[seen for curve in whole if (seen := _cut(curve, largest / ratio))] for ratio in RATIOS]
        found.setdefault(pilot.use_case, []).extend(cut for cut in cuts if len(cut) > 1)
    return found


def _cut(curve: Curve, largest: float) -> Seen | None:
    """None with fewer than two rungs up to `largest`: they tell of no slope."""
    rows = list(zip(curve.n, curve.value, curve.seed, strict=True))
    below, top = [row for row in rows if row[0] <= largest], max(curve.n)
    if len({n for n, *_ in below}) < 2:
        return None
    n, value, seed = zip(*below, strict=True)
    reached = float(np.mean([value for n, value, _ in rows if n == top]))
    return Seen(Curve(n, value, seed, curve.higher_is_better, name=curve.name), top, reached)
