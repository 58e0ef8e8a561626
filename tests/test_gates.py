"""The gates, from records and predictions given as literals."""

import numpy as np
import pytest

from tasks import gates, metrics
from tasks.params import Gates
from tasks.records import Difference, Evaluation

TRUTH = np.arange(600) % 2
GATES = Gates()


def guesses(right: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Right in the first so many of the 600 rows."""
    return np.where(np.arange(600) < right, TRUTH, 1 - TRUTH)


def evaluation(value: float, p: float, branch: str = "full", baselines: tuple[str, ...] = ("majority", "tfidf")) -> Evaluation:
    return Evaluation(
        status="finished",
        model={"branch": branch},
        baselines={name: {"accuracy": 0.5} for name in baselines},
        metrics={"accuracy": 0.5 + value},
        diff=[Difference(against=name, value=value, low95=value - 0.05, high95=value + 0.05, p=p) for name in baselines],
        slices=[],
        steps_done=10,
        steps_planned=10,
        test_sha256="t",
        rows=600,
    )


@pytest.mark.parametrize(
    ("challenger", "champion", "passed"),
    [(540, 480, True), (480, 480, False), (480, 540, False), (490, 480, True), (483, 480, False), (481, 480, False)],
)
def test_only_a_gain_beyond_chance_replaces_the_champion(challenger: int, champion: int, passed: bool) -> None:
    check = gates.better_than_champion("accuracy", TRUTH, guesses(challenger), guesses(champion), GATES)
    assert check.passed is passed
    assert f"{challenger / 600:.3f} against {champion / 600:.3f} on the same 600 rows" in check.said


def test_equal_models_tie_also_where_they_err_in_different_rows() -> None:
    other = np.where(np.arange(600) >= 120, TRUTH, 1 - TRUTH)
    assert not gates.better_than_champion("accuracy", TRUTH, other, guesses(480), GATES).passed


@pytest.mark.parametrize(("gain", "passed"), [(0.0, True), (0.05, True), (0.099, False), (0.2, False)])
def test_the_gain_must_exceed_what_the_settings_ask_for(gain: float, passed: bool) -> None:
    settings = Gates(min_gain=gain)
    assert gates.better_than_champion("macro_f1", TRUTH, guesses(540), guesses(480), settings).passed is passed


@pytest.mark.parametrize("rows", [1, 3, 6, 12])
def test_for_accuracy_chance_is_the_sign_test(rows: int) -> None:
    seen = gates.by_chance("accuracy", TRUTH, guesses(480 + rows), guesses(480))
    assert seen == pytest.approx(0.5**rows, abs=0.04)


def test_chance_takes_macro_f1_as_the_metrics_do() -> None:
    rng = np.random.default_rng(1)
    truth, ours, theirs = (rng.integers(0, 4, 300) for _ in range(3))
    draws = [gates.by_chance(metric, truth, ours, theirs) for metric in ("accuracy", "macro_f1")]
    assert 0.05 < min(draws) <= max(draws) < 0.95
    gain = metrics.macro_f1(truth, ours, 4) - metrics.macro_f1(truth, theirs, 4)
    swapped = []
    for _ in range(500):
        swap = rng.integers(0, 2, 300).astype(bool)
        a, b = np.where(swap, theirs, ours), np.where(swap, ours, theirs)
        swapped.append(metrics.macro_f1(truth, a, 4) - metrics.macro_f1(truth, b, 4) >= gain)
    assert draws[1] == pytest.approx(np.mean(swapped), abs=0.08)


def test_a_label_that_only_one_of_the_models_knows_is_counted_as_wrong() -> None:
    strange = np.where(np.arange(600) < 480, TRUTH, 2)
    assert gates.better_than_champion("accuracy", TRUTH, guesses(540), strange, GATES).passed


@pytest.mark.parametrize(
    ("value", "p", "passed"),
    [(0.1, 0.001, True), (0.1, 0.09, True), (0.1, 0.11, False), (0.0, 1.0, False), (-0.1, 0.001, False)],
)
def test_each_baseline_must_be_beaten_for_sure(value: float, p: float, passed: bool) -> None:
    checks = gates.better_than_baselines(evaluation(value, p), 0.95)
    assert [(check.gate, check.passed) for check in checks] == [
        ("better than majority", passed),
        ("better than tfidf", passed),
    ]


def test_a_baseline_that_was_not_measured_fails() -> None:
    majority, tfidf = gates.better_than_baselines(evaluation(0.1, 0.001, baselines=("majority",)), 0.95)
    assert (majority.passed, tfidf.passed) == (True, False)
    assert gates.refusal([majority, tfidf]) == "better than tfidf: was not measured against tfidf; run `dvc repro`"


def test_a_tfidf_model_need_not_beat_itself() -> None:
    checks = gates.better_than_baselines(evaluation(0.1, 0.001, branch="baseline"), 0.95)
    assert [check.gate for check in checks] == ["better than majority"]


@pytest.mark.parametrize(("done", "planned", "passed"), [(10, 10, True), (9, 10, False), (0, 0, False)])
def test_a_half_trained_model_fails(done: int, planned: int, passed: bool) -> None:
    record = evaluation(0.1, 0.001).model_copy(update={"steps_done": done, "steps_planned": planned})
    assert gates.finished(record).passed is passed


def test_changed_files_fail_and_the_line_stays_short() -> None:
    check = gates.intact([f"{n} was changed" for n in range(9)])
    assert not check.passed
    assert check.said == "0 was changed; 1 was changed; 2 was changed and 6 more"
    assert gates.intact([]).passed


@pytest.mark.parametrize(
    ("metric", "value", "passed"), [("bits_per_byte", -0.2, True), ("bits_per_byte", 0.2, False), ("chrf", 0.2, True)]
)
def test_generated_text_must_beat_its_one_baseline_in_the_direction_of_its_metric(
    metric: str, value: float, passed: bool
) -> None:
    made = evaluation(value, 0.001, baselines=("baseline",))
    made = made.model_copy(update={"model": {"branch": "scratch", "metric": metric}})
    (check,) = gates.better_than_baselines(made, 0.95)
    assert (check.gate, check.passed) == ("better than baseline", passed)
