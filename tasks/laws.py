"""Six laws of learning curves, each fitted to the end of a curve of errors: pure functions of arrays.

An error is a loss, or what a score lacks to its ceiling; `n` ascends, `e` has the mean error of each rung, and both are
in units in which errors of about .01 to 1 are usual.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WINDOWS = (4, 5, 6)  # rungs that the laws are fitted to, counted from the last
LINE_SPAN = 4.0  # the line of a loss sees the rungs from a quarter of the last on
FLOOR = 0.005  # smaller errors weigh no more than half a point
TINY = 1e-6  # stands for 0 in logarithms
NARROWEST = 1e-15  # rungs smaller than so much of the last count as so much
LARGEST_LOG = 50.0  # of an estimate: steeper lines end there

STEADY = np.array([0.12, 0.16, *np.arange(4, 13) / 20, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.7, 2])[:, None, None]
EXPONENTS = np.append([0.02, 0.05, 0.08], STEADY)[:, None, None]
STEEP = np.append(STEADY, [2.5, 3])[:, None, None]


def fits(n: Array, e: Array, to_n: float) -> Array:
    """The error at `to_n` by each law fitted to each window of last rungs, unsorted.

    pow2 a·n^−b, pow3 a·n^−b + c, pow4 a(n+d)^−b + c, rect a/(x^b + n^b) + c, loglin a + b·ln n, last. Least squares with
    weights 1/max(e, .005)², a and c ≥ 0, the other parameters by grid (Mohr et al. 2022, LCDB; for rect Lin et al. 2024,
    arXiv 2402.02314). Four rungs carry all six; three all but pow4 and rect; two last, loglin and pow2; one `last` alone.
    """
    n, e = n[-max(WINDOWS) :], e[-max(WINDOWS) :]
    windows = [w for w in WINDOWS if w <= len(n)] or [len(n)]
    x, to = np.maximum(n / n[-1], NARROWEST), to_n / n[-1]
    found = [np.full(len(windows), e[-1])]
    for w in windows if len(n) > 1 else []:
        log_x, log_e = np.log(x[-w:]), np.log(np.maximum(e[-w:], TINY))
        found.append(np.array([max(0.0, _line(log_x, e[-w:], math.log(to))), math.exp(_line(log_x, log_e, math.log(to)))]))
    inside = np.array([np.arange(len(n)) >= len(n) - w for w in windows])
    weights = inside / np.maximum(e, FLOOR) ** 2
    if len(n) > 2:
        found.append(_best(x**-EXPONENTS, to**-EXPONENTS, e, weights))
    if len(n) > 3:
        d = _shifts(x[0], 3.0)
        found.append(_best((x + d) ** -STEEP, (to + d) ** -STEEP, e, weights))
        d = _shifts(x[0], 10.0)
        found.append(_best(1 / (x**STEADY + d**STEADY), 1 / (to**STEADY + d**STEADY), e, weights))
    return np.concatenate(found)


def _shifts(first: float, most: float) -> Array:
    """0 and twelve values from .3 of the first rung to `most` times the last, in units of the last; shape (1, 13, 1)."""
    return np.append(0, np.geomspace(0.3 * first, most, 12))[None, :, None]


def _line(x: Array, y: Array, at: float) -> float:
    """Least squares, never rising."""
    return float(y.mean() + min(0.0, _slope(x, y)) * (at - x.mean()))


def _slope(x: Array, y: Array) -> float:
    centred = x - x.mean()
    return float(centred @ y / (centred @ centred))


def _best(shapes: Array, at: Array, e: Array, weights: Array) -> Array:
    """a·shape + c at the target for each row of weights, with the shape and a, c ≥ 0 of the least weighted squares.

    `shapes` has rungs as its last axis, `at` is 1 there; `weights` is (windows, rungs).
    """
    g, at = shapes.reshape(-1, len(e)).T, at.ravel()
    s0, sy = weights.sum(1)[:, None], (weights @ e)[:, None]
    sg, sgg, sgy = weights @ g, weights @ g**2, (weights * e) @ g
    det = s0 * sgg - sg**2
    det = np.where(det > 1e-12 * s0 * sgg, det, np.inf)
    a = (s0 * sgy - sg * sy) / det
    c = (sy - a * sg) / s0
    power_only = sgy**2 / sgg > sy**2 / s0  # of the two borders, c = 0 and a = 0, the one nearer to the data
    inside = (a >= 0) & (c >= 0)
    a = np.where(inside, a, np.where(power_only, sgy / sgg, 0))
    c = np.where(inside, c, np.where(power_only, 0, sy / s0))
    k = np.argmin(a * (a * sgg + 2 * c * sg - 2 * sgy) + c * (c * s0 - 2 * sy), axis=1)
    row = np.arange(len(k))
    chosen: Array = a[row, k] * at[k] + c[row, k]
    return chosen


def line(n: Array, e: Array, to_n: float) -> float:
    """L(to_n) = L(n_R)·(to_n/n_R)^s, s the least-squares slope of ln L on ln n over the rungs from n_R/4 on."""
    near = n * LINE_SPAN >= n[-1] * 0.999
    if near.sum() < 2:
        return float(e[-1])
    slope = _slope(np.log(n[near]), np.log(np.maximum(e[near], TINY)))
    return math.exp(min(math.log(max(e[-1], TINY)) + slope * math.log(to_n / n[-1]), LARGEST_LOG))
