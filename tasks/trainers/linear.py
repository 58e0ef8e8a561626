"""A regularised logistic model, its strength chosen by cross-validation on the rows it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tasks.serving import Floats, softmax

NEVER_SEEN = -20.0  # logit of a label that no training row has


@dataclass(frozen=True)
class Choice:
    score: float
    """Mean log-likelihood of a row that was held out, natural logarithm."""
    strength: float
    """scikit-learn's C, the inverse of the L2 penalty."""


def choose(features: Any, targets: NDArray[np.int64], k: int, strengths: Sequence[float], folds: int, seed: int) -> Choice:
    """The strength with the best cross-validated log-likelihood. `features` is (n, d), dense or sparse."""
    fold = np.random.default_rng(seed).permutation(len(targets)) % min(folds, len(targets))
    if len(set(targets.tolist())) < 2 or len(targets) < 2:
        return Choice(-np.inf, strengths[0])
    return max((Choice(_score(features, targets, k, c, fold), c) for c in strengths), key=lambda choice: choice.score)


def _score(features: Any, targets: NDArray[np.int64], k: int, strength: float, fold: NDArray[np.int64]) -> float:
    likelihoods = []
    for held in set(fold.tolist()):
        rest, out = fold != held, fold == held
        weight, bias = fit(features[rest], targets[rest], k, strength)
        shares = softmax(np.asarray(features[out] @ weight.T + bias))
        likelihoods.append(np.log(np.maximum(shares[np.arange(out.sum()), targets[out]], 1e-6)))
    return float(np.concatenate(likelihoods).mean())


def fit(features: Any, targets: NDArray[np.int64], k: int, strength: float) -> tuple[Floats, Floats]:
    """Weight (k, d) and bias (k,) of softmax(features @ weight.T + bias)."""
    seen = np.unique(targets)
    weight, bias = np.zeros((k, features.shape[1]), np.float32), np.full(k, NEVER_SEEN, np.float32)
    if len(seen) == 1:
        bias[seen] = 0.0
        return weight, bias
    model = LogisticRegression(C=strength, max_iter=2000).fit(features, targets)
    if len(seen) == 2:  # scikit-learn keeps one row for two labels: its half for one, minus its half for the other
        weight[seen], bias[seen] = np.array([[-0.5], [0.5]]) * model.coef_, np.array([-0.5, 0.5]) * model.intercept_[0]
    else:
        weight[seen], bias[seen] = model.coef_, model.intercept_
    return weight, bias
