"""Learning curves: what the extrapolation, its intervals and the choice hold for every input."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tasks import curves
from tasks.curves import Curve, Prediction, choose, draw, predict, predict_rows, probability_better
from tests.benchmarks import curves as benchmark

OCTAVES = [100.0 * 2**k for k in range(6)]
RISING = [0.60, 0.68, 0.74, 0.785, 0.82, 0.85]


def one(curve: Curve, to_n: float, test_rows: int | None = None) -> Prediction:
    return predict([curve], to_n, test_rows)[0]


def ends(p: Prediction) -> tuple[float, float, float]:
    assert p.value is not None
    assert p.low90 is not None
    assert p.high90 is not None
    return p.low90, p.value, p.high90


def width(p: Prediction) -> float:
    low, _, high = ends(p)
    return high - low


def losses(a: float, b: float) -> Curve:
    return Curve(OCTAVES, [a * n**-b for n in OCTAVES], higher_is_better=False)


@pytest.mark.parametrize("ratio", [2, 8, 32])
def test_a_noiseless_power_law_of_the_loss_is_recovered(ratio: int) -> None:
    to_n = OCTAVES[-1] * ratio
    low, value, high = ends(one(losses(5, 0.1), to_n))
    assert value == pytest.approx(5 * to_n**-0.1, rel=1e-9)
    assert low < value < high


def test_a_noiseless_score_with_a_floor_is_recovered_within_a_point() -> None:
    curve = Curve(OCTAVES, [0.9 - 2.0 * n**-0.5 for n in OCTAVES])
    assert ends(one(curve, 25600))[1] == pytest.approx(0.9 - 2.0 * 25600**-0.5, abs=0.01)


def test_a_loss_that_has_met_its_floor_is_not_drawn_on_as_a_line() -> None:
    found = one(Curve(OCTAVES, [0.3 + 40 * n**-0.9 for n in OCTAVES], higher_is_better=False), 25600)
    assert found.method == "laws"
    assert ends(found)[1] == pytest.approx(0.304, abs=0.04)


def test_losses_scale_with_their_unit() -> None:
    small = one(losses(5, 0.2), 25600)
    large = one(losses(5e6, 0.2), 25600)
    assert [x * 1e6 for x in ends(small)] == pytest.approx(ends(large), rel=1e-9)


def test_percents_give_what_fractions_give_and_say_so() -> None:
    fractions, percents = one(Curve(OCTAVES, RISING), 25600), one(Curve(OCTAVES, [100 * v for v in RISING]), 25600)
    assert [100 * x for x in ends(fractions)] == pytest.approx(ends(percents), rel=1e-9)
    assert percents.reason == "values above 1 are taken as percents"
    assert fractions.reason is None


def test_order_of_the_measurements_does_not_matter() -> None:
    forward = Curve(OCTAVES * 2, RISING + [v + 0.01 for v in RISING], [0] * 6 + [1] * 6)
    backward = Curve(forward.n[::-1], forward.value[::-1], forward.seed[::-1])
    assert ends(one(forward, 25600, 500)) == pytest.approx(ends(one(backward, 25600, 500)), rel=1e-12)


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_interval_widens_with_the_ratio(higher_is_better: bool) -> None:
    values = RISING if higher_is_better else [1 - v for v in RISING]
    curve = Curve(OCTAVES, values, higher_is_better=higher_is_better)
    # a loss falls by a power of the ratio, so that its interval is compared in shares of it
    shares = [width(p) / (1 if higher_is_better else ends(p)[1]) for p in (one(curve, 3200 * r) for r in (1, 2, 8, 32))]
    assert shares == sorted(shares)
    assert shares[-1] > 2 * shares[0]


def test_more_seeds_with_the_same_spread_narrow_the_interval() -> None:
    def seeds(k: int) -> Curve:
        off = [0.02 if s % 2 else -0.02 for s in range(k)]
        # the same variance among seeds whatever their number
        off = [x * math.sqrt((k - 1) / k) for x in off]
        return Curve(
            [n for n in OCTAVES for _ in range(k)], [v + x for v in RISING for x in off], [s for _ in OCTAVES for s in range(k)]
        )

    widths = [width(one(seeds(k), 12800)) for k in (2, 4, 16)]
    assert widths[0] > widths[1] > widths[2]


def test_few_held_out_and_few_test_rows_widen_the_interval() -> None:
    endless, pilot = Curve(OCTAVES, RISING), Curve(OCTAVES, RISING, heldout_rows=200)
    assert width(one(endless, 12800)) < width(one(pilot, 12800)) < width(one(pilot, 12800, test_rows=200))


def test_a_measured_score_keeps_the_sampling_error_of_its_held_out_rows() -> None:
    low, value, high = ends(one(Curve(OCTAVES, RISING, heldout_rows=400), 3200, test_rows=400))
    assert value == pytest.approx(0.85)
    assert high - low > 2 * 1.645 * math.sqrt(2 * 0.85 * 0.15 / 400)


@pytest.mark.parametrize(
    ("to_n", "grade"),
    [
        (50, "measured"),
        (150, "measured"),
        (3200, "measured"),
        (3300, "decision"),
        (102400, "decision"),
        (110000, "not decision grade"),
    ],
)
def test_the_grade_follows_the_ratio(to_n: float, grade: str) -> None:
    assert one(Curve(OCTAVES, RISING), to_n).grade == grade


def test_what_is_read_off_between_two_rungs_lies_between_them_and_says_so() -> None:
    found = one(Curve(OCTAVES, RISING), 1000)
    assert RISING[3] < ends(found)[1] < RISING[4]
    assert found.reason == "read off between the rungs measured"


def test_one_rung_is_no_ground_for_a_decision() -> None:
    one_rung, six = one(Curve([3200], [0.85]), 12800), one(Curve(OCTAVES, RISING), 12800)
    assert one_rung.grade == "not decision grade"
    assert one_rung.reason == "one rung tells nothing of the slope"
    assert width(one_rung) > width(six)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rungs", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_constant_curve_stays_where_it_is(value: float, rungs: int, higher_is_better: bool) -> None:
    low, found, high = ends(one(Curve(OCTAVES[-rungs:], [value] * rungs, higher_is_better=higher_is_better), 25600))
    assert found == pytest.approx(value, abs=2e-6)
    assert low <= found <= high


@pytest.mark.parametrize("seed", range(40))
def test_a_score_and_its_interval_stay_inside_0_to_1_on_any_curve(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = random.choice(OCTAVES, 8)
    curve = Curve(n.tolist(), random.choice([0, 1, *random.random(3)], 8).tolist(), random.integers(0, 3, 8).tolist())
    for to_n in (60, 700, 3200, 30000, 90000):
        low, value, high = ends(one(curve, to_n, 50))
        assert 0 <= low <= value <= high <= 1


@pytest.mark.parametrize("seed", range(40))
def test_any_loss_gives_an_ordered_finite_interval(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = random.choice([1, 10, 11, 1000, 1001, 10**9], 6)
    value = 10.0 ** random.integers(-300, 99, 6) * (random.random(6) < 0.8)
    low, found, high = ends(one(Curve(n.tolist(), value.tolist(), higher_is_better=False), 2 * n.max()))
    assert 0 <= low <= found <= high < math.inf


@pytest.mark.parametrize(
    ("curve", "to_n", "reason"),
    [
        (Curve([], []), 100, "no measurement"),
        (Curve([0], [0.5]), 100, "no measurement"),
        (Curve([100, 200], [0.5, math.nan]), 400, "not a finite number"),
        (Curve([100, -200], [0.5, 0.6]), 400, "negative"),
        (Curve([100, 200], [0.5]), 400, "differ in length"),
        (Curve([100, 200], [0.5, 0.6]), math.inf, "positive number"),
        (Curve([100, 200], [0.5, 0.6]), 0, "positive number"),
        (Curve([100, 200], [0.5, 0.6]), 200 * 129, "more than 128 times"),
        (Curve([100, 200], [150, 160]), 400, "no known ceiling"),
        (Curve([100, 200], [-1e9, 0]), 400, "below -1e+06"),
        (Curve([100, 200], [-1, -2], higher_is_better=False), 400, "below 0"),
        (Curve([100, 200], [1e101, 1], higher_is_better=False), 400, "above 1e+100"),
    ],
)
def test_what_cannot_be_foretold_is_refused_with_a_reason(curve: Curve, to_n: float, reason: str) -> None:
    found = one(curve, to_n)
    assert found.grade == "refused"
    assert found.value is None
    assert reason in (found.reason or "")


def test_a_run_without_training_rows_is_left_out() -> None:
    assert one(Curve([0, *OCTAVES], [0.1, *RISING]), 25600) == one(Curve(OCTAVES, RISING), 25600)


def test_nine_draws_in_ten_lie_in_the_interval_and_none_beyond_the_ceiling() -> None:
    predictions = predict([Curve(OCTAVES, RISING), losses(5, 0.1)], 25600)
    values = draw(predictions, 4000, seed=1)
    for k, p in enumerate(predictions):
        low, value, high = ends(p)
        assert np.mean((values[:, k] >= low) & (values[:, k] <= high)) == pytest.approx(0.9, abs=0.02)
        assert np.median(values[:, k]) == pytest.approx(value, rel=0.01)
    assert values[:, 0].max() <= 1
    assert (values == draw(predictions, 4000, seed=1)).all()


def test_a_refused_curve_draws_nan() -> None:
    assert np.isnan(draw(predict([Curve([], [])], 100), 10, seed=0)).all()


def test_the_last_value_leads_when_no_crossing_is_probable() -> None:
    near = Curve(OCTAVES, [v - 0.01 for v in RISING])
    found = choose([near, Curve(OCTAVES, RISING)], 25600)
    assert (found.branch, found.leader) == (1, 1)
    assert found.overtakes[0] < 0.5
    assert math.isnan(found.overtakes[1])


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_steep_challenger_overrules_a_leader_that_has_stopped(higher_is_better: bool) -> None:
    flat, steep = [0.70, 0.70, 0.70, 0.70, 0.70, 0.70], [0.30, 0.42, 0.52, 0.60, 0.66, 0.695]
    pair = [
        Curve(OCTAVES, v if higher_is_better else [1 - x for x in v], higher_is_better=higher_is_better) for v in (flat, steep)
    ]
    found = choose(pair, 25600)
    assert (found.branch, found.leader) == (1, 0)
    assert found.overtakes[1] > 0.7


def test_shared_seeds_are_paired() -> None:
    n, seed = [v for v in OCTAVES for _ in (0, 1)], [0, 1] * 6
    noise = [0.03 if s else -0.03 for s in seed]
    leader = Curve(n, [RISING[k // 2] + noise[k] for k in range(12)], seed)
    whole = Curve(n, [RISING[k // 2] - 0.01 + noise[k] for k in range(12)], seed)
    only_bad_seed = Curve(n[::2], [RISING[k] - 0.04 for k in range(6)], [0] * 6)
    assert curves._last_pair(whole, leader) == pytest.approx((0.16, 0.15))
    assert curves._last_pair(only_bad_seed, leader) == pytest.approx((0.19, 0.18))


def test_no_probability_without_a_common_rung() -> None:
    assert math.isnan(probability_better(Curve([100, 200], [0.5, 0.6]), Curve([150, 300], [0.5, 0.6]), 800))


def test_choosing_among_nothing_but_refused_curves_says_so() -> None:
    with pytest.raises(ValueError, match="no curve can be predicted"):
        choose([Curve([], [])], 100)


ROW: dict[str, Any] = {
    "curve": "a",
    "learner": "",
    "n": "100",
    "value": "0.5",
    "seed": "",
    "to_n": "800",
    "higher_is_better": "1",
}


@pytest.mark.parametrize(
    "bad",
    [{"n": "many"}, {"value": ""}, {"value": "nan"}, {"value": None}, {"to_n": "900"}, {"higher_is_better": "2"}, {"n": "-5"}],
)
def test_a_bad_row_refuses_its_curve_and_no_other(bad: dict[str, str | None]) -> None:
    rows: list[dict[str, Any]] = [ROW, {**ROW, "n": "200", "value": "0.6"}, {**ROW, "curve": "b"}, {**ROW, "curve": "b", **bad}]
    good, refused = predict_rows(rows)
    assert good["id"] == "a"
    assert good["flag"] == ""
    assert 0.6 <= float(good["estimate"]) <= 1
    assert (refused["id"], refused["estimate"], refused["low90"], refused["high90"]) == ("b", "", "", "")
    assert refused["flag"]


def test_rows_of_a_table_give_what_a_curve_gives() -> None:
    rows = [{**ROW, "n": str(n), "value": str(v), "to_n": "25600"} for n, v in zip(OCTAVES, RISING, strict=True)]
    (found,) = predict_rows(rows)
    assert [found["low90"], found["estimate"], found["high90"]] == pytest.approx(ends(one(Curve(OCTAVES, RISING), 25600)))


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, tasks.curves; print([m for m in ('torch', 'scipy', 'pandas', 'sklearn', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_part_of_the_table_covers_every_ratio_and_gives_no_negative_reach() -> None:
    table = json.loads(curves.TABLE.read_text())
    assert set(table["quantiles"]) == {"score", "score of several seeds", "line", "laws"}
    for of in table["quantiles"].values():
        for row in of.values():
            assert len(row["below"]) == len(row["above"]) == len(table["ratios"])
            assert min(row["below"] + row["above"]) >= 0


def test_published_curves_of_models_are_foretold_as_well_as_the_table_of_validation_says() -> None:
    off = benchmark._off(benchmark.lin_cases(8))
    assert len(off) == 60
    assert np.median(off) < 1.8


def test_data_sets_of_one_group_never_meet_across_folds() -> None:
    for group in benchmark.GROUPS:
        assert len({benchmark.fold(benchmark.group_of(dataset)) for dataset in group}) == 1
