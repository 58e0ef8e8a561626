"""Learning curves: what a branch will reach with more rows, with a 90 % interval, from its pilot alone.

Only the end of a curve counts. A score follows the 20 % trimmed mean of six laws, each fitted to the last four, five and
six rungs. A loss goes on along a line in log-log paper; if that line, and more than the laws, misses the pilot's own last
rung, the laws take over. The interval is split-conformal (Lei et al. 2018, arXiv 1604.04173): quantiles of the errors on
published curves (`tables/curve_intervals.json`), times how much the laws disagree and the curve wavers.

No estimate knows a branch by its name. A library of one's own past pilots, where branches recur by name, may change which one
is chosen, and only if that is measured to help (`tasks.habits`). A higher estimate is no reason to choose a branch: see
`choose`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.laws import FLOOR, LARGEST_LOG, TINY, fits, line

Array = NDArray[np.float64]
Grade = Literal["measured", "decision", "not decision grade", "refused"]

TABLE = Path(__file__).with_name("tables") / "curve_intervals.json"
DECISION_RATIO = 32.0
LARGEST_RATIO = 128.0
TRIM = 0.2  # share of the fits left out at either end
LINE_MISS = 0.1  # a line that missed by less (in logarithms) is kept whatever the laws did
LOWEST = -1e6  # of a score
LARGEST = 1e100  # of a loss
NO_HABITS: Mapping[str, float] = MappingProxyType({})
Z90 = 1.6448536269514722  # a normal variable lies within ± this with probability 0.9


@dataclass(frozen=True)
class Curve:
    """The measurements of one branch: `value[i]` was reached with `n[i]` rows and `seed[i]`. Any order, repeats allowed."""

    n: Sequence[float]
    value: Sequence[float]
    seed: Sequence[int] = ()
    """Empty: unknown, and then nothing is paired."""
    higher_is_better: bool = True
    heldout_rows: int | None = None
    """Rows that every value was measured on, the same for all. None: their sampling error is left out of the interval."""
    name: str = ""
    """Of the branch, by which its habits are known; changes no estimate."""


@dataclass(frozen=True)
class Prediction:
    """The value that one full run will reach, in the curve's own units; None where refused."""

    value: float | None
    low90: float | None
    high90: float | None
    ratio: float
    """Rows predicted for over the largest rung measured."""
    grade: Grade
    method: str
    reason: str | None = None
    """Why it is refused, or what was assumed."""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    """Between which the value must lie."""


def predict(curves: Sequence[Curve], to_n: float, test_rows: int | None = None) -> list[Prediction]:
    """What each curve will reach with `to_n` rows, measured on `test_rows` rows (None: on an endless test set).

    Each curve is foretold on its own. Nothing raises: what cannot be foretold is refused with a reason.
    """
    return [end if isinstance(end, Prediction) else _extrapolate(end, test_rows) for end in (end_of(c, to_n) for c in curves)]


# ---- from measurements to the end of a curve of errors ---------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """One curve as errors e ≥ 0 in units of `unit`: losses over the largest, or what scores lack; means of the seeds."""

    n: Array
    e: Array
    seeds: int
    """At the last rung."""
    variance: float
    """Of single runs around the mean of their rung, pooled over rungs; 0 where no rung has two."""
    to_n: float
    is_score: bool
    most: float
    """The largest error there can be: 1, or infinity."""
    unit: float
    """What an error of 1 is in the curve's units: the largest loss, or the ceiling of the score (1, or 100 for percents)."""
    heldout_rows: int | None
    assumed: str | None

    @property
    def repeated(self) -> bool:
        """Whether the spread among seeds is known."""
        return self.variance > 0

    @property
    def ratio(self) -> float:
        return float(self.to_n / self.n[-1])


def _refusal(reason: str, ratio: float = math.nan) -> Prediction:
    return Prediction(None, None, None, ratio, "refused", "none", reason)


def end_of(curve: Curve, to_n: float) -> End | Prediction:
    n, value = np.asarray(curve.n, float), np.asarray(curve.value, float)
    if n.shape != value.shape or n.ndim != 1 or (curve.seed and len(curve.seed) != len(n)):
        return _refusal("n, value and seed differ in length")
    if not (np.isfinite(n).all() and np.isfinite(value).all()):
        return _refusal("a measurement is not a finite number")
    if not (math.isfinite(to_n) and to_n > 0):
        return _refusal("to_n must be a positive number of rows")
    if (n < 0).any():
        return _refusal("a number of rows is negative")
    n, value = n[n > 0], value[n > 0]
    if not n.size:
        return _refusal("no measurement with any training rows")
    ratio = float(to_n / n.max())
    if ratio > LARGEST_RATIO:
        return _refusal(f"more than {LARGEST_RATIO:.0f} times the largest rung measured", ratio)
    unit, assumed = _unit(value, curve.higher_is_better)
    if not unit:
        return _refusal(assumed, ratio)
    error = 1 - value / unit if curve.higher_is_better else value / unit
    rungs, at = np.unique(n, return_inverse=True)
    seeds = np.bincount(at)
    mean = np.bincount(at, error) / seeds
    repeats = len(n) - len(rungs)
    variance = float(((error - mean[at]) ** 2).sum() / repeats) if repeats else 0.0
    most = 1.0 if curve.higher_is_better and value.min() >= 0 else math.inf
    rows = curve.heldout_rows
    return End(rungs, mean, int(seeds[-1]), variance, to_n, curve.higher_is_better, most, unit, rows, assumed or None)


def _unit(value: Array, higher_is_better: bool) -> tuple[float, str]:
    """The largest loss, or the ceiling of a score, with what was assumed; 0 and the reason where the laws do not apply."""
    low, high = float(value.min()), float(value.max())
    if not higher_is_better and high > LARGEST:
        return 0.0, f"a loss above {LARGEST:g} is none of the losses known here"
    if not higher_is_better:
        return (high or 1.0, "") if low >= 0 else (0.0, "a loss below 0 has no logarithm")
    if low < LOWEST:
        return 0.0, f"a score below {LOWEST:g} is none of the scores known here"
    if high <= 1:
        return 1.0, "" if low >= 0 else "a score that can fall below 0 is taken to have 1 as its ceiling"
    if low >= 0 and high <= 100:
        return 100.0, "values above 1 are taken as percents"
    return 0.0, "a score outside 0 to 100 has no known ceiling"


# ---- the estimate and how sure it is ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """An error and the scale of its interval: what the conformal table is calibrated on."""

    e: float
    scale: float
    """Of the error itself for a score, of its logarithm for a loss."""
    method: str
    """Which quantiles hold: score, or, of a loss, line or laws."""


def _trimmed(estimates: Array) -> float:
    cut = int(TRIM * len(estimates))
    return float(np.sort(estimates)[cut : len(estimates) - cut].mean())


def _miss(foretell: Callable[[Array, Array, float], float], n: Array, e: Array) -> float:
    """Mean |log error| in foretelling the last rung from one and from two octaves before it; 0 with too few rungs."""
    missed = []
    for octaves in (1, 2):
        seen = n * 2**octaves <= n[-1] * 1.001
        if seen.sum() >= 3:
            missed.append(abs(math.log(max(foretell(n[seen], e[seen], n[-1]), TINY) / max(e[-1], TINY))))
    return sum(missed) / len(missed) if missed else 0.0


def estimate(n: Array, e: Array, to_n: float, is_score: bool) -> Estimate:
    """The error at `to_n`, beyond the last rung. `n` ascending, `e` the mean error of each rung."""
    return _score(n, e, to_n) if is_score else _loss(n, e, to_n)


def _score(n: Array, e: Array, to_n: float) -> Estimate:
    by_law = fits(n, e, to_n)
    value = _trimmed(by_law)
    scale = FLOOR + by_law.std() + 0.3 * abs(value - e[-1]) + _wavering(e) + 0.03 * value
    return Estimate(value, float(scale), "score")


def _loss(n: Array, e: Array, to_n: float) -> Estimate:
    by_law = np.maximum(fits(n, e, to_n), TINY)
    by_line, by_laws = max(line(n, e, to_n), TINY), _trimmed(by_law)
    value, method, missed = by_line, "line", _miss(line, n, e)
    if missed > LINE_MISS:
        missed_laws = _miss(lambda *pilot: _trimmed(fits(*pilot)), n, e)
        if missed_laws < missed:
            value, method, missed = by_laws, "laws", missed_laws
    last = np.log(np.maximum(e, TINY))
    scale = 0.01 + 0.15 * abs(math.log(value) - last[-1]) + 0.5 * np.log(by_law).std() + _wavering(last)
    return Estimate(value, float(scale + 0.5 * missed + 0.5 * abs(math.log(by_line / by_laws))), method)


def _wavering(e: Array) -> float:
    """How little smooth the last five rungs are: mean second difference, and half the largest rise."""
    end = e[-5:]
    bend = np.abs(np.diff(end, 2)).mean() if len(end) > 2 else 0.0
    return float(bend + 0.5 * max(0.0, np.diff(end).max(initial=0.0)))


def _inside(end: End) -> Estimate:
    """Between two rungs on a straight line over ln n; below the first, the first two rungs' line goes on."""
    n, e = end.n, end.e
    x, at = np.log(n), math.log(end.to_n)
    value = float(np.interp(at, x, e))
    if at < x[0] and len(n) > 1:
        value = max(0.0, float(e[0] + (e[1] - e[0]) / (x[1] - x[0]) * (at - x[0])))
        value = min(value, 1.0) if end.is_score else value
    doubt = abs(value - e[0]) if at < x[0] else 0.0
    if end.is_score:
        return Estimate(value, FLOOR + doubt + _wavering(e) + 0.03 * value, "score")
    relative = doubt / max(value, TINY)
    return Estimate(max(value, TINY), 0.01 + relative + _wavering(np.log(np.maximum(e, TINY))), "line")


def _extrapolate(end: End, test_rows: int | None) -> Prediction:
    found = find(end)
    reach = quantiles(found.method, end.repeated, len(end.n), end.ratio)
    low, high = interval(end, found, reach, test_rows)
    errors = [low, min(max(found.e, 0.0), end.most), high]
    bounds = (0.0, end.most)
    if end.is_score:
        errors, bounds = [1 - e for e in reversed(errors)], (1 - end.most, 1.0)
    low, value, high = (end.unit * e for e in errors)
    bounds = end.unit * bounds[0], end.unit * bounds[1]
    return Prediction(value, low, high, end.ratio, _grade(end), found.method, _remark(end), bounds)


def interval(end: End, found: Estimate, reach: tuple[float, float], test_rows: int | None = None) -> tuple[float, float]:
    """The ends of the 90 % interval of the error, reaching so many scales below and above the estimate."""
    noise = Z90 * math.sqrt(_noise(end, found.e, test_rows))
    below, above = (q * found.scale for q in reach)
    if end.is_score:
        low, high = found.e - math.hypot(below, noise), found.e + math.hypot(above, noise)
    else:
        low = found.e * math.exp(-math.hypot(below, noise / found.e))
        high = found.e * math.exp(min(math.hypot(above, noise / found.e), LARGEST_LOG))
    return min(max(low, 0.0), end.most), min(max(high, 0.0), end.most)


def find(end: End) -> Estimate:
    return _inside(end) if end.ratio <= 1 else estimate(end.n, end.e, end.to_n, end.is_score)


def _noise(end: End, e: float, test_rows: int | None) -> float:
    """Variance of one full run around the law: its seed, the pilot's seeds, and the draws of held-out and test rows.

    The last two are binomial, which is exact for accuracy, near for other scores and left out for losses.
    """
    rows = sum(1 / n for n in (end.heldout_rows, test_rows) if n)
    sampling = e * (1 - e) * rows if end.is_score and 0 < e < 1 else 0.0
    return end.variance * (1 + 1 / end.seeds) + sampling


def _grade(end: End) -> Grade:
    if end.ratio <= 1:
        return "measured"
    return "decision" if end.ratio <= DECISION_RATIO and len(end.n) > 1 else "not decision grade"


def _remark(end: End) -> str | None:
    remarks = [end.assumed]
    if end.ratio < 1:
        remarks.append("below the smallest rung measured" if end.to_n < end.n[0] else "read off between the rungs measured")
    if end.ratio > 1 and len(end.n) == 1:
        remarks.append("one rung tells nothing of the slope")
    if end.ratio > DECISION_RATIO:
        remarks.append(f"more than {DECISION_RATIO:.0f} times the largest rung measured: not decision grade")
    return "; ".join(filter(None, remarks)) or None


# ---- the conformal table ---------------------------------------------------------------------------------------------


@cache
def table() -> dict[str, Any]:
    return json.loads(TABLE.read_text())  # type: ignore[no-any-return]


def quantiles(method: str, repeated: bool, rungs: int, ratio: float) -> tuple[float, float]:
    """How many scales the interval reaches below and above the estimated error; linear between the ratios, in log₂.

    Scores of several seeds have quantiles of their own, because the spread among the seeds is added to the interval.
    """
    of = table()["quantiles"]["score of several seeds" if repeated and method == "score" else method]
    row = of[str(min(rungs, max(map(int, of))))]
    octaves = math.log2(max(ratio, 1.0))
    below, above = (float(np.interp(octaves, np.log2(table()["ratios"]), row[side])) for side in ("below", "above"))
    return below, above


def at(prediction: Prediction, z: float | Array) -> Array:
    """The value `z` standard deviations up, were it normal: z = 0 the estimate, z = ±1.645 the ends of the interval.

    In between and beyond as the errors on the published curves lie, which have longer tails than a normal variable.
    """
    if prediction.value is None or prediction.low90 is None or prediction.high90 is None:
        return np.full(np.shape(z), math.nan)
    z = np.asarray(z, float)
    reach = np.interp(np.abs(z), table()["shape"]["z"], table()["shape"]["reach"])
    half = np.where(z > 0, prediction.high90 - prediction.value, prediction.value - prediction.low90)
    reached: Array = np.clip(prediction.value + np.sign(z) * reach * half, *prediction.bounds)
    return reached


def draw(predictions: Sequence[Prediction], samples: int, seed: int) -> Array:
    """Joint draws of what the branches of one pilot will reach, shape (samples, branches); NaN where refused.

    The errors of branches on the same data go together: their normal scores share the correlation of the table.
    """
    random = np.random.default_rng(seed)
    shared = table()["correlation"]
    z = math.sqrt(shared) * random.standard_normal((samples, 1))
    z = z + math.sqrt(1 - shared) * random.standard_normal((samples, len(predictions)))
    return np.column_stack([at(p, z[:, k]) for k, p in enumerate(predictions)]) if predictions else z


# ---- choosing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    branch: int
    """Index of the curve to choose."""
    leader: int
    """Index of the curve that leads at the last rung measured."""
    overtakes: list[float]
    """For each curve, the probability that it ends above the leader; nan for the leader and for refused curves."""


def probability_better(curve: Curve, leader: Curve, to_n: float, habits: Mapping[str, float] = NO_HABITS) -> float:
    """The probability that `curve`, which stands behind `leader` at the last rung, ends above it; nan if one is refused.

    Logistic in the last paired difference (the same rung and, where known, the same seeds) and in the difference of the
    estimates, each over the joint scale of both; errors for scores, their logarithms for losses. Weights: the table's.
    `habits`: by name of a branch, log-odds that it ends above others more often than that says.
    """
    ends = end_of(curve, to_n), end_of(leader, to_n)
    if isinstance(ends[0], Prediction) or isinstance(ends[1], Prediction):
        return math.nan
    apart = differences(curve, leader, ends[0], find(ends[0]), find(ends[1]))
    habit = habits.get(curve.name, 0.0) - habits.get(leader.name, 0.0)
    return math.nan if apart is None else chance(*apart, table()["choice"]["weights"], habit)


def differences(curve: Curve, leader: Curve, end: End, mine: Estimate, theirs: Estimate) -> tuple[float, float] | None:
    """How far `curve` is ahead at the last rung that both have, and will be by the estimates, in joint scales."""
    last, scale = _last_pair(curve, leader), math.hypot(mine.scale, theirs.scale)
    return None if last is None else (_ahead(*last, end) / scale, _ahead(mine.e, theirs.e, end) / scale)


def chance(ahead: float, will_be: float, weights: Sequence[float], habit: float = 0.0) -> float:
    """Of ending above, with these differences in scales (positive: the challenger is the better one)."""
    features = math.tanh(3 * ahead), math.tanh(will_be), 1.0
    return 1 / (1 + math.exp(-habit - sum(w * x for w, x in zip(weights, features, strict=True))))


def _ahead(mine: float, theirs: float, end: End) -> float:
    return theirs - mine if end.is_score else math.log(max(theirs, TINY) / max(mine, TINY))


def choose(curves: Sequence[Curve], to_n: float, habits: Mapping[str, float] = NO_HABITS) -> Choice:
    """The leader of the last rung, unless another ends above it with more than the probability that backtests ask for.

    The last measurements lead because the highest of many extrapolations is mostly the luckiest one. The leader is
    sought among the curves measured on the largest rung. Raises ValueError if every curve is refused.
    """
    sign = 1 if curves and curves[0].higher_is_better else -1
    usable = [k for k, p in enumerate(predict(curves, to_n)) if p.value is not None]
    if not usable:
        raise ValueError("no curve can be predicted")
    largest = max(max(curves[k].n) for k in usable)
    last = {k: np.mean(list(_runs(curves[k])[largest].values())) for k in usable if max(curves[k].n) == largest}
    leader = max(last, key=lambda k: (sign * last[k], -k))
    overtakes = [
        math.nan if k == leader or k not in usable else probability_better(c, curves[leader], to_n, habits)
        for k, c in enumerate(curves)
    ]
    best = max(usable, key=lambda k: (0 if math.isnan(overtakes[k]) else overtakes[k], -k))
    flips = overtakes[best] > table()["choice"]["threshold"]
    return Choice(best if flips else leader, leader, overtakes)


def _last_pair(curve: Curve, other: Curve) -> tuple[float, float] | None:
    """Mean errors on the largest rung that both have, over the seeds that both have there if they share any."""
    mine, theirs = _runs(curve), _runs(other)
    shared = mine.keys() & theirs.keys()
    if not shared:
        return None
    a, b = mine[max(shared)], theirs[max(shared)]
    seeds = sorted(a.keys() & b.keys()) if curve.seed and other.seed else []
    means = [float(np.mean([x[s] for s in seeds] if seeds else list(x.values()))) for x in (a, b)]
    unit = _unit(np.asarray([*curve.value, *other.value]), curve.higher_is_better)[0] or 1.0
    return (1 - means[0] / unit, 1 - means[1] / unit) if curve.higher_is_better else (means[0], means[1])


def _runs(curve: Curve) -> dict[float, dict[int, float]]:
    """Rung to seed to value; unknown seeds are numbered."""
    runs: dict[float, dict[int, float]] = {}
    for k, (n, value) in enumerate(zip(curve.n, curve.value, strict=True)):
        runs.setdefault(n, {})[curve.seed[k] if curve.seed else k] = value
    return runs


# ---- the same for a table ------------------------------------------------------------------------------------------------


def predict_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str | float]]:
    """Rows {curve, n, value, seed, to_n, higher_is_better} to one row {id, estimate, low90, high90, flag} a curve.

    A refusal is an empty estimate with a filled flag. A row with a bad number refuses its curve. `learner` is not used.
    """
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        curves.setdefault(str(row.get("curve") or "").strip(), []).append(row)
    return [{"id": name, **_predicted_row(group)} for name, group in curves.items()]


def _predicted_row(rows: list[Mapping[str, Any]]) -> dict[str, str | float]:
    try:
        curve, to_n = _parsed(rows)
    except ValueError as error:
        return {"estimate": "", "low90": "", "high90": "", "flag": str(error)}
    p = predict([curve], to_n)[0]
    if p.value is None or p.low90 is None or p.high90 is None:
        return {"estimate": "", "low90": "", "high90": "", "flag": p.reason or "refused"}
    return {"estimate": p.value, "low90": p.low90, "high90": p.high90, "flag": p.reason or ""}


def _parsed(rows: list[Mapping[str, Any]]) -> tuple[Curve, float]:
    """Raises ValueError with the column at fault."""
    n = [_number(row, "n") for row in rows]
    value = [_number(row, "value") for row in rows]
    to_n = {_number(row, "to_n") for row in rows}
    better = {_number(row, "higher_is_better") for row in rows}
    if len(to_n) > 1:
        raise ValueError("to_n differs between the rows of one curve")
    if len(better) > 1 or not better <= {0.0, 1.0}:
        raise ValueError("higher_is_better must be 0 or 1, the same in all rows of a curve")
    return Curve(n, value, higher_is_better=better == {1.0}), to_n.pop()


def _number(row: Mapping[str, Any], column: str) -> float:
    text = str(row.get(column, "") if row.get(column) is not None else "").strip()
    try:
        number = float({"true": "1", "false": "0"}.get(text.lower(), text))
    except ValueError:
        raise ValueError(f"{column} is {text!r}, not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{column} is {text!r}, not a finite number")
    return number
