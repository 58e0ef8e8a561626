"""What each option would reach, take and cost with any number of rows: the extrapolation, done once and kept.

An option is a branch with its base model, a *pair*. `Evidence.at(n)` gives one `Outlook` a pair: the metric with its
90 % interval, draws of the metric for Monte Carlo, and what one run *needs*: draws of its hours, and its memory. What it
needs comes from a function of pair and n, `Evidence.needs`: `measured_here` for this machine, another for a target that
the pilots did not run on. Prices, budgets and targets come later (`tasks.choice`), so that a changed constraint costs no
new extrapolation.

A pair of which all cells have n = 0 (a base model used as it is) learns nothing from rows: its curve is flat.

Draws are common random numbers: a pair has one fixed deviate each for quality and for time, whatever n and whatever is
asked, so that two decisions differ by their inputs alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tasks import curves
from tasks.curves import NO_HABITS, Curve, Prediction
from tasks.recipes import recipe
from tasks.records import Candidate, Candidates, Cell, Metric, Peak, Pilot, Shortlist

Array = NDArray[np.float64]
DRAWS = 2000
COLUMNS = 24
TIME_SPREAD = 0.15
"""Least relative standard deviation of a run's time: pilots last seconds, and a machine is never as idle twice."""
PEAK_MARGIN = 1.2
"""Upper end of the memory: a longer run meets longer texts than a pilot of few rows."""
SAME_NETWORK = ("lora", "full", "continued")
"""All leave the base model with the same head, once LoRA's additions are merged: what serving takes is measured together, so
that noise of the clock alone never tells them apart."""


@dataclass(frozen=True)
class Pair:
    """One branch with one base model (None: it starts from nothing) and all that was measured of it."""

    branch: str
    base: Candidate | None
    cells: tuple[Cell, ...]
    stopped: str | None
    """Why it was not continued after the screen; None if it was."""
    ended_early: str | None = None
    """Why the last rungs of its pilot were not measured; None if they were."""
    alike: tuple[Cell, ...] = ()
    """The cells of all pairs that serve the very same network, its own among them (see SAME_NETWORK); empty: its own."""

    @property
    def base_name(self) -> str | None:
        return self.base.name if self.base else None

    @property
    def key(self) -> tuple[str, str]:
        return self.branch, self.base_name or "-"

    @property
    def largest_rung(self) -> int:
        """0: it learns nothing from rows."""
        return max(cell.n for cell in self.cells)

    @property
    def served(self) -> tuple[Cell, ...]:
        """The cells that tell how large the served model is, and how fast."""
        return self.alike or self.cells

    @property
    def repeats(self) -> int:
        """Cells at the largest rung."""
        return sum(cell.n == self.largest_rung for cell in self.cells)


@dataclass(frozen=True, eq=False)
class Needs:
    """What one run takes on the hardware that the decision is for; None where not known, and `reason` says why."""

    hours: Array | None
    """Draws, (DRAWS,), of all of the hardware."""
    peak_gb: Peak | None
    """Of one of its GPUs; of the machine, if there is none."""
    request_seconds: float | None
    """Of one GPU, or of the machine, to answer one request."""
    tokens: float = 0.0
    """Trained on, all epochs; 0 where a branch has none."""
    reason: str | None = None
    rests_on: str | None = None
    """Of an estimate that was not measured: what it stands on, and where that is outside what was published."""


@dataclass(frozen=True)
class Outlook:
    """One pair with n rows."""

    pair: Pair
    predicted: Prediction
    quality: Array | None
    """Draws of the metric, (DRAWS,); None where the prediction was refused."""
    needs: Needs
    model_gb: float
    latency_ms: float | None


@dataclass
class Evidence:
    pairs: tuple[Pair, ...]
    metric: Metric
    """Its target is not read."""
    folds: bool
    """Cross-validation took the place of the ladder."""
    test_rows: int
    """The interval is for the value measured on so many rows."""
    needs: Callable[[Pair, int], Needs]
    habits: Mapping[str, float] = field(default_factory=lambda: NO_HABITS)
    """Of branches by name (`tasks.habits`), for the choice alone."""
    about_habits: str | None = None
    """Why they are used, or are not."""
    _kept: dict[int, list[Outlook]] = field(default_factory=dict)
    _leading: dict[tuple[int, tuple[int, ...]], curves.Choice] = field(default_factory=dict)
    _paired: dict[tuple[int, tuple[int, ...]], tuple[Array, Array]] = field(default_factory=dict)
    _curves: list[Curve] = field(default_factory=list)

    @property
    def largest_rung(self) -> int:
        return max(pair.largest_rung for pair in self.pairs)

    @property
    def smallest_rung(self) -> int:
        return min(cell.n for pair in self.pairs for cell in pair.cells if cell.n)

    @property
    def decision_grade_rows(self) -> int:
        return round(curves.DECISION_RATIO * self.largest_rung)

    def grid(self) -> list[int]:
        """COLUMNS amounts of data, equal steps in log n, from the smallest rung to twice the decision-grade limit."""
        low, high = self.smallest_rung, 2 * self.decision_grade_rows
        return [round(low * (high / low) ** (i / (COLUMNS - 1))) for i in range(COLUMNS)]

    def known(self) -> list[Curve]:
        if not self._curves:
            rungs = sorted({cell.n for pair in self.pairs for cell in pair.cells if cell.n})
            self._curves = [
                curve_of(pair.cells if pair.largest_rung else _flat(pair.cells, rungs), self.metric, self.folds)
                for pair in self.pairs
            ]
        return self._curves

    def at(self, n: int) -> list[Outlook]:
        if n not in self._kept:
            predictions = curves.predict(self.known(), n, self.test_rows)
            self._kept[n] = [self._outlook(p, q, n) for p, q in zip(self.pairs, predictions, strict=True)]
        return self._kept[n]

    def leading(self, n: int, left: tuple[int, ...]) -> curves.Choice:
        """Which of the pairs `left` (positions, as are those in the answer's lists) to choose for quality alone."""
        if (n, left) not in self._leading:
            self._leading[n, left] = curves.choose([self.known()[i] for i in left], n, self.habits)
        return self._leading[n, left]

    def paired(self, n: int, left: tuple[int, ...]) -> tuple[Array, Array]:
        """Draws of the pairs `left`, (len(left), DRAWS), to be compared with each other, and their means, (len(left),).

        The highest of many extrapolations is mostly the luckiest one. So an extrapolated lead over the leader at the last
        rung that the backtested rule (`curves.choose`) does not believe counts as none: the pair's draws are shifted until
        their mean is the leader's. Raises ValueError if a prediction was refused.
        """
        if (n, left) not in self._paired:
            draws = [self.at(n)[i].quality for i in left]
            found, sign = self.leading(n, left), 1 if self.metric.higher_is_better else -1
            leader = _known(draws[found.leader])
            shifted = [
                leader + sign * _believed(sign * (_known(own) - leader), chance)
                for own, chance in zip(draws, found.overtakes, strict=True)
            ]
            self._paired[n, left] = np.stack(shifted), np.mean(shifted, 1)
        return self._paired[n, left]

    def noise(self, i: int, j: int) -> float:
        """Standard error of the last measured difference of pairs i and j, in points: how it varies among seeds (or folds).

        From the differences at the same rung and seed, their spread pooled over the rungs. 0 where nothing was repeated for
        both. What the held-out rows of a ladder, the same for all seeds, make of it is not in it.
        """
        a, b = (
            {(c.n, c.seed): float(getattr(c.quality, self.metric.name)) for c in self.pairs[k].cells if c.n} for k in (i, j)
        )
        runs: dict[int, list[float]] = {}
        for n, seed in sorted(a.keys() & b.keys()):
            runs.setdefault(0 if self.folds else n, []).append(a[n, seed] - b[n, seed])
        repeats = sum(len(run) - 1 for run in runs.values())
        if not repeats:
            return 0.0
        variance = sum(float(np.var(run)) * len(run) for run in runs.values()) / repeats
        return 100 * math.sqrt(variance / len(runs[max(runs)]))

    def _outlook(self, pair: Pair, predicted: Prediction, n: int) -> Outlook:
        return Outlook(
            pair=pair,
            predicted=predicted,
            quality=quality_draws(predicted, pair.key),
            needs=self.needs(pair, n),
            model_gb=max(cell.measured.model_gb for cell in pair.served),
            latency_ms=latency_ms(pair),
        )


def _known(draws: Array | None) -> Array:
    if draws is None:
        raise ValueError("an option without a prediction cannot be compared")
    return draws


def _believed(ahead: Array, chance: float) -> Array:
    """Draws of a lead, not above 0 on average unless that is believed; nan: the leader's own."""
    if math.isnan(chance) or chance > curves.table()["choice"]["threshold"]:
        return ahead
    return ahead - max(0.0, float(ahead.mean()))


def pairs(
    screens: dict[str, Pilot], pilots: dict[str, Pilot], shortlist: Shortlist, candidates: Candidates
) -> tuple[Pair, ...]:
    """Every pair that was screened, in the order of the branches given, with its cells of screen and pilot."""
    stopped = {(e.branch, e.base_model): e.reason for e in shortlist.entries if not e.continued}
    bases = {candidate.name: candidate for candidate in candidates.candidates}
    cells = [cell for branch, screen in screens.items() for cell in (*screen.cells, *pilots[branch].cells)]
    folds = any(screen.regime == "cross-validation" for screen in screens.values())
    return tuple(
        Pair(
            branch,
            bases[name] if name else None,
            tuple(mine),
            None if folds else stopped.get((branch, name)),
            pilots[branch].ended_early.get(name or "-"),
            tuple(c for c in cells if c.branch in SAME_NETWORK and c.base_model == name) if branch in SAME_NETWORK else (),
        )
        for (branch, name), mine in by_pair(cells).items()
    )


def by_pair(cells: Iterable[Cell]) -> dict[tuple[str, str | None], list[Cell]]:
    """Cells by branch and base model, each from few rows to many."""
    found: dict[tuple[str, str | None], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.branch, cell.base_model), []).append(cell)
    return {key: sorted(mine, key=lambda cell: (cell.n, cell.seed)) for key, mine in found.items()}


def curve_of(cells: Sequence[Cell], metric: Metric, folds: bool) -> Curve:
    """`folds`: the cells are one rung of cross-validation, and what they hold out adds up."""
    n = [cell.n for cell in cells]
    held = [cell.n_heldout for cell in cells]
    return Curve(
        n=[round(sum(n) / len(n))] * len(n) if folds else n,
        value=[float(getattr(cell.quality, metric.name)) for cell in cells],
        seed=[cell.seed for cell in cells],
        higher_is_better=metric.higher_is_better,
        heldout_rows=sum(held) if folds else held[0],
        name=cells[0].branch,
    )


def _flat(cells: Sequence[Cell], rungs: Sequence[int]) -> list[Cell]:
    """What learns nothing would have been as good on every rung."""
    return [cell.model_copy(update={"n": n}) for n in rungs for cell in cells]


def deviates(*words: str) -> Array:
    """DRAWS standard normal numbers that are a fixed function of `words`."""
    seed = int.from_bytes(hashlib.sha256("\x1f".join(words).encode()).digest()[:8])
    return np.random.default_rng(seed).standard_normal(DRAWS)


def quality_draws(predicted: Prediction, key: tuple[str, str]) -> Array | None:
    """The errors of pairs that were measured on the same data go together: they share the correlation of the curves' table."""
    if predicted.value is None:
        return None
    shared = curves.table()["correlation"]
    z = math.sqrt(shared) * deviates("quality") + math.sqrt(1 - shared) * deviates("quality", *key)
    return curves.at(predicted, z)


def measured_here(pair: Pair, task: str, n: int) -> Needs:
    """What one run on n rows takes where the pilots ran.

    The pilots had one core each, a run has all of them. How well it spreads over them was not measured: anything from not at
    all to evenly, the same for all pairs.
    """
    peak = max(cell.measured.peak_gb for cell in pair.cells)
    cores = max(cell.measured.cores for cell in pair.cells)
    latency = latency_ms(pair)
    hours, tokens = np.zeros(DRAWS), 0.0
    if pair.largest_rung:
        seconds, spread = seconds_at(pair.cells, pair.branch, task, n)
        uniform = np.vectorize(NormalDist().cdf)(deviates("cores"))
        hours = np.asarray(seconds / cores**uniform / 3600 * np.exp(spread * deviates("hours", *pair.key)), dtype=np.float64)
        tokens = tokens_at(pair, task, n)
    return Needs(
        hours=hours,
        peak_gb=Peak(value=peak, high=peak * PEAK_MARGIN),
        request_seconds=None if latency is None else latency / 1000 / cores,
        tokens=tokens,
        reason="how long one answer takes was not measured" if latency is None else None,
    )


def tokens_at(pair: Pair, task: str, n: int) -> float:
    """Tokens that a run on n rows trains on, by the pilots' tokens a row and epoch."""
    a_row = [cell.measured.tokens / (cell.n * _epochs(cell.recipe)) for cell in pair.cells]
    return sum(a_row) / len(a_row) * n * _epochs(recipe(pair.branch, task, n))


def seconds_at(cells: Sequence[Cell], branch: str, task: str, n: int) -> tuple[float, float]:
    """CPU-seconds of one run on n rows, on a line through the cells in rows × epochs, and the relative spread about it.

    The line has no negative start and no negative slope; with one rung it goes through 0.
    """
    seen = np.array([cell.n * _epochs(cell.recipe) for cell in cells], dtype=float)
    took = np.array([max(cell.measured.cpu_seconds, 1e-3) for cell in cells])
    start, slope = _line(seen, took)
    residual = took / np.maximum(start + slope * seen, 1e-3) - 1
    spread = math.hypot(TIME_SPREAD, float(np.sqrt((residual**2).mean())))
    return max(start + slope * n * _epochs(recipe(branch, task, n)), 1e-3), spread


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Start and slope by least squares of relative errors, both ≥ 0."""
    if len(set(x.tolist())) > 1:
        slope, start = np.polyfit(x, y, 1, w=1 / y)
        if slope >= 0 and start >= 0:
            return float(start), float(slope)
    return 0.0, float((x / y).sum() / ((x / y) ** 2).sum())


def _epochs(recipe: dict[str, object]) -> float:
    epochs = recipe.get("epochs", 1)
    return float(epochs) if isinstance(epochs, int | float) else 1.0


def latency_ms(pair: Pair) -> float | None:
    """CPU-milliseconds to score one row, in batches, loading included: the fastest cell, which was disturbed least.

    Of pairs with the same network (`SAME_NETWORK`) the fastest cell of them all.
    """
    known = [c.measured.predict_cpu_seconds / c.n_heldout for c in pair.served if c.measured.predict_cpu_seconds is not None]
    return 1000 * min(known) if known else None
