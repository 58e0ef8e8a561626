"""The crossover: the amount of data from which training from scratch overtakes the best fine-tuning."""

from __future__ import annotations

import numpy as np

from tasks.evidence import Array, Evidence, Outlook
from tasks.records import Crossover

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
    ahead = np.stack([_lead(evidence.at(n)) for n in rows])  # (rows, draws)
    from_here_on = np.flip(np.logical_and.accumulate(np.flip(ahead >= 0, 0), 0), 0)
    crossed = from_here_on.any(0)
    first = np.where(crossed, np.array(rows, dtype=float)[from_here_on.argmax(0)], np.inf)
    low, middle, high = (float(q) for q in np.quantile(first, [0.05, 0.5, 0.95], method="inverted_cdf"))
    if crossed.mean() < LIKELY:
        return Crossover(n=None, low90=_finite(low), high90=None, status="not within x32")
    status = "scratch leads already" if middle <= evidence.smallest_rung else "within x32"
    return Crossover(n=middle, low90=_finite(low), high90=_finite(high), status=status)


def _lead(outlooks: list[Outlook]) -> Array:
    """Scratch minus the best fine-tuning, draw by draw; −1 where either has no prediction."""
    scratch = [o.quality for o in outlooks if o.pair.branch == "scratch" and o.quality is not None]
    tuned = [o.quality for o in outlooks if o.pair.branch in FINE_TUNES and o.quality is not None]
    if not scratch or not tuned:
        return np.full_like(next(o.quality for o in outlooks if o.quality is not None), -1.0)
    return np.asarray(np.max(scratch, 0) - np.max(tuned, 0))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
