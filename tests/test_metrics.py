"""Quality and its uncertainty, against literals and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tasks import metrics


def test_quality_of_three_rows_by_hand() -> None:
    got = metrics.quality(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]))
    assert got.accuracy == pytest.approx(2 / 3)
    assert got.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert got.log_loss == pytest.approx(-np.log([0.9, 0.8, 0.4]).mean())


def test_macro_f1_equals_scikit_learns_also_on_each_resample() -> None:
    rng = np.random.default_rng(0)
    labels, guesses = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    counts = metrics.resamples(200)[:5]
    expected = [f1_score(np.repeat(labels, c.astype(int)), np.repeat(guesses, c.astype(int)), average="macro") for c in counts]
    assert metrics.macro_f1(labels, guesses, 4, counts) == pytest.approx(expected)
    assert metrics.macro_f1(labels, guesses, 4) == pytest.approx(f1_score(labels, guesses, average="macro"))


def test_the_interval_of_a_mean_is_about_two_standard_errors() -> None:
    right = np.arange(400) % 5 > 0
    draws = metrics.score("accuracy", np.ones(400, int), right.astype(int), 2, metrics.resamples(400))
    low, high = metrics.interval(draws)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 400), rel=0.1)


def test_equal_models_have_p_one_and_a_clear_winner_a_small_p() -> None:
    assert metrics.two_sided_p(np.zeros(2000)) == 1.0
    assert metrics.two_sided_p(np.full(2000, 0.1)) < 0.002
