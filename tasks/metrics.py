"""How good predictions are, and how sure one may be of a difference: plain numpy.

`labels` are class numbers (n,), `probabilities` (n, k). Nothing here knows about models or files. What answers and texts are
measured by is in `answers.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.records import Quality

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RESAMPLES = 2000


def quality(labels: Ints, probabilities: Floats) -> Quality:
    """Accuracy, macro F1 and log loss (nats; probabilities clipped to 1e-7, so one wrong certainty costs 16)."""
    guesses = probabilities.argmax(1)
    right = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1.0)
    return Quality(
        accuracy=float((guesses == labels).mean()),
        macro_f1=float(macro_f1(labels, guesses, probabilities.shape[1])),
        log_loss=float(-np.log(right).mean()),
    )


def macro_f1(labels: Ints, guesses: Ints, k: int, counts: Floats | None = None) -> Floats:
    """Mean over the classes that occur of 2 tp / (2 tp + fp + fn). With `counts` (b, n), one value a resample (b,)."""
    weights = np.ones((1, len(labels))) if counts is None else counts
    scores, present = np.zeros(len(weights)), np.zeros(len(weights))
    for c in range(k):
        tp = weights @ ((labels == c) & (guesses == c))
        wrong = weights @ ((labels == c) ^ (guesses == c))
        occurs = weights @ (labels == c) > 0
        scores += np.where(occurs, 2 * tp / np.maximum(2 * tp + wrong, 1e-12), 0.0)
        present += occurs
    return (scores / np.maximum(present, 1))[0] if counts is None else scores / np.maximum(present, 1)


def score(metric: str, labels: Ints, guesses: Ints, k: int, counts: Floats) -> Floats:
    """`accuracy` or `macro_f1` of each resample: `counts` (b, n) says how often each row was drawn."""
    if metric == "macro_f1":
        return macro_f1(labels, guesses, k, counts)
    shares: Floats = counts @ (labels == guesses) / counts.sum(1)
    return shares


def resamples(n: int, seed: int = 0) -> Floats:
    """How often each of `n` rows is drawn in each of 2,000 bootstrap resamples, (2000, n)."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def two_sided_p(differences: Floats) -> float:
    """Bootstrap p-value of no difference: twice the smaller share on either side of 0 (Efron and Tibshirani 1993, 15.4).

    Draws equal to 0 count on both sides, so that two equal models give 1.
    """
    n = len(differences)
    return float(min(1.0, 2 * min((np.sum(differences <= 0) + 1) / (n + 1), (np.sum(differences >= 0) + 1) / (n + 1))))
