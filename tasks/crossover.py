"""The crossover: the amount of data from which training from scratch overtakes the best fine-tuning.

And, at the rows at hand, both verdicts on scratch: trained to convergence by its own recipe, and with no more computing
than the fine-tuning takes. A pilot that gave scratch the fine-tuning's schedule would be biased against it; one that
lets it train for as long as it likes hides what that costs.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from tasks.evidence import DRAWS, Array, Evidence, Outlook
from tasks.records import Crossover, Metric, ScratchVerdict

FINE_TUNES = ("probe", "lora", "full", "continued")
LIKELY = 0.5


def crossover(evidence: Evidence) -> Crossover:
    """From the draws, each of which keeps its place in every interval as the rows grow, up to 32 times the largest rung.

    The end `high90` is null where more than one draw in twenty never crosses; `n` where most never do.
    """
    if not {"scratch"} <= {p.branch for p in evidence.pairs} or not any(p.branch in FINE_TUNES for p in evidence.pairs):
        return Crossover(n=None, low90=None, high90=None, status="not measured: needs scratch and a fine-tuned branch")
    if evidence.folds:
        return Crossover(n=None, low90=None, high90=None, status="not measured: one size tells nothing of the slope")
    rows = [n for n in evidence.grid() if n <= evidence.decision_grade_rows]
    ahead = np.stack([_lead(evidence.at(n), evidence.metric) for n in rows])  # (rows, draws)
    from_here_on = np.flip(np.logical_and.accumulate(np.flip(ahead >= 0, 0), 0), 0)
    crossed = from_here_on.any(0)
    first = np.where(crossed, np.array(rows, dtype=float)[from_here_on.argmax(0)], np.inf)
    low, middle, high = (float(q) for q in np.quantile(first, [0.05, 0.5, 0.95], method="inverted_cdf"))
    if crossed.mean() < LIKELY:
        return Crossover(n=None, low90=_finite(low), high90=None, status="not within x32")
    status = "scratch leads already" if middle <= evidence.smallest_rung else "within x32"
    return Crossover(n=middle, low90=_finite(low), high90=_finite(high), status=status)


def _lead(outlooks: list[Outlook], metric: Metric) -> Array:
    """Points of scratch over the best fine-tuning, draw by draw; −1 where either has no prediction."""
    scratch = [o.quality for o in outlooks if o.pair.branch == "scratch" and o.quality is not None]
    tuned = [o.quality for o in outlooks if o.pair.branch in FINE_TUNES and o.quality is not None]
    if not scratch or not tuned:
        return np.full(DRAWS, -1.0)
    best = np.max if metric.higher_is_better else np.min
    return np.asarray(metric.points(best(scratch, 0), best(tuned, 0)))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def scratch_verdicts(evidence: Evidence, n: int) -> list[ScratchVerdict]:
    """With the computing of the best fine-tuning, and to convergence; empty where either was not measured."""
    now = evidence.at(n)
    metric = evidence.metric
    scratch = next((i for i, o in enumerate(now) if o.pair.branch == "scratch" and o.quality is not None), None)
    tuned = [i for i, o in enumerate(now) if o.pair.branch in FINE_TUNES and o.quality is not None]
    if scratch is None or not tuned:
        return []
    best = max(tuned, key=lambda i: metric.points(now[i].predicted.value, 0.0))
    return [_equal_compute(evidence, n, scratch, best), _verdict(evidence, "to convergence", n, n, scratch, best)]


def _equal_compute(evidence: Evidence, n: int, scratch: int, best: int) -> ScratchVerdict:
    """Computing less than its recipe's is spent on fewer rows; more than that would not be used."""
    pair, pays = evidence.pairs[scratch], evidence.at(n)[best].needs.hours
    needed = evidence.at(n)[scratch].needs.hours
    if pays is None or needed is None:
        note = "the hours are not known"
        return ScratchVerdict(terms="equal compute", rows=None, predicted=None, against=None, p_better=None, note=note)
    limit = float(np.median(pays))
    if np.median(needed) <= limit:
        return _verdict(evidence, "equal compute", n, n, scratch, best)
    # from many rows to few: smaller runs may have more epochs, so that the hours are no monotone function of the rows
    tried = [round(n / 2 ** (k / 8)) for k in range(1, 8 * math.ceil(math.log2(n)))]
    hours = ((rows, evidence.needs(pair, rows).hours) for rows in tried if rows > 0)
    fits = next((rows for rows, taken in hours if taken is not None and np.median(taken) <= limit), 1)
    return _verdict(evidence, "equal compute", fits, n, scratch, best)


def _verdict(
    evidence: Evidence, terms: Literal["equal compute", "to convergence"], rows: int, n: int, scratch: int, best: int
) -> ScratchVerdict:
    mine, theirs = evidence.at(rows)[scratch], evidence.at(n)[best]
    against = f"{theirs.pair.branch} of {theirs.pair.base_name}"
    note = "its own recipe" if rows == n else "on fewer rows, so that it costs no more"
    if rows == n and terms == "equal compute":
        note = "its own recipe needs no more computing"
    better = None
    if mine.quality is not None and theirs.quality is not None:
        better = float(np.mean(evidence.metric.points(mine.quality, theirs.quality) > 0))
    return ScratchVerdict(terms=terms, rows=rows, predicted=mine.predicted.value, against=against, p_better=better, note=note)
