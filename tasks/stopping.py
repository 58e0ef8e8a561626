"""When a larger rung cannot pay, whatever is decided later: the most that knowing it could be worth, against its cost.

What the options cost, which limits hold and what is aimed at may change without a new measurement, so none of that is asked
here. Only the declared value of a point is. A rung is worth something where it changes the choice. However far the options
lie apart in cost, that is at most E[max(δ, 0)] points, δ being the deviation that the rung resolves: the expected value of
sample information between two options of equal worth, where it is largest. A pair stops before a rung that costs more than
that, if no still larger one pays either. `next_rung` weighs what a rung is worth once all costs are known, which is less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks import curves, evidence
from tasks.curves import Prediction
from tasks.records import Cell, Metric

CPU_USD_PER_HOUR = 0.05
"""USD a core-hour: a general-purpose cloud machine of 2 virtual cores lists at about 0.10 USD an hour (2026)."""
METRICS = tuple(Metric.of(name, None) for name in ("accuracy", "macro_f1", "bits_per_byte", "exact_match", "chrf"))


@dataclass(frozen=True)
class Rung:
    """What measuring a pair up to `rows` rows would take, and the most that knowing it could be worth, in USD."""

    rows: int
    cost_usd: float
    worth_at_most_usd: float

    @property
    def pays(self) -> bool:
        return self.worth_at_most_usd > self.cost_usd


def best_rung(cells: Sequence[Cell], task: str, left: Sequence[int], n: int, seeds: int, value_per_point_usd: float) -> Rung:
    """Of the rungs `left` (ascending, not empty) of the pair that `cells` measured, the one up to which it pays most.

    `n`: all training rows, for which the choice is made.
    """
    spent, found = 0.0, []
    for rows in left:
        spent += seeds * evidence.seconds_at(cells, cells[0].branch, task, rows)[0] / 3600 * CPU_USD_PER_HOUR
        found.append(Rung(rows, spent, value_per_point_usd * points_at_most(cells, n, rows)))
    return max(found, key=lambda rung: rung.worth_at_most_usd - rung.cost_usd)


def points_at_most(cells: Sequence[Cell], n: int, rows: int) -> float:
    """E[max(δ, 0)] of a rung of `rows` rows, by the metric that has most of it; infinite where nothing can be foretold."""
    return max(_points(evidence.curve_of(cells, metric, folds=False), metric, n, rows) for metric in known(cells))


def known(cells: Sequence[Cell]) -> list[Metric]:
    """The metrics that all cells have."""
    return [metric for metric in METRICS if all(getattr(cell.quality, metric.name) is not None for cell in cells)]


def _points(curve: curves.Curve, metric: Metric, n: int, rows: int) -> float:
    now, then = (curves.predict([curve], to_n)[0] for to_n in (n, nearer(n, max(curve.n), rows)))
    draws = evidence.quality_draws(now, ("", ""))
    if draws is None:
        return float("inf")
    return told(now, then) * float(np.maximum(metric.points(draws, draws.mean()), 0).mean())


def nearer(n: int, largest_rung: float, rows: int) -> int:
    """As far ahead of the largest rung measured as n rows will be of a rung of `rows`."""
    return max(round(n * largest_rung / rows), 1)


def told(now: Prediction, then: Prediction) -> float:
    """Share of the standard deviation that a rung resolves: √(1 − (width then / width now)²)."""
    wide = _width(now)
    return float(np.sqrt(max(0.0, 1 - (_width(then) / wide) ** 2))) if wide > 0 else 0.0


def _width(predicted: Prediction) -> float:
    return 0.0 if predicted.low90 is None or predicted.high90 is None else predicted.high90 - predicted.low90
