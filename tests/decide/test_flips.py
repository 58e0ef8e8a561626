from __future__ import annotations

from dataclasses import replace

import pytest

from tasks import cost
from tasks.choice import Case, choose
from tasks.decide import case_of
from tasks.decision_map import decision_map
from tasks.flips import _index, _number, flips
from tasks.records import Flip
from tests.decide import synthetic


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(synthetic.inputs(synthetic.settings(constraints={"budget_usd": 0.01, "deadline_hours": 0.1})))


@pytest.fixture(scope="module")
def valued() -> Case:
    """The same with a value for everything."""
    aim: dict[str, object] = {
        "value_per_point_usd": 500,
        "month_of_delay_usd": 1000,
        "requests_per_month": 1e5,
        "updates_per_year": 2,
    }
    return case_of(synthetic.inputs(synthetic.settings(objective=aim, team={"usd_per_label": 0.5})))


def moved(case: Case, name: str, value: float) -> Case:
    if name == "rows":
        return replace(case, n=round(value))
    if name == "usd_per_gpu_hour":
        price = cost.price_of_hour(case.hardware)
        low, high = price.low, price.high
        return replace(case, hardware=case.hardware.model_copy(update={name: (low * value / high, value)}))
    section = next(s for s in ("constraints", "objective", "team") if name in type(getattr(case, s)).model_fields)
    return replace(case, **{section: getattr(case, section).model_copy(update={name: value})})


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ("case", {"budget_usd", "deadline_hours", "rows", "target", "max_latency_ms", "months_until_use"}),
        ("valued", {"value_per_point_usd", "usd_per_hour", "usd_per_label", "month_of_delay_usd", "updates_per_year", "rows"}),
    ],
)
def test_deciding_at_each_flip_gives_its_verdict_and_its_neighbour_keeps_the_old_one(
    request: pytest.FixtureRequest, which: str, names: set[str]
) -> None:
    case: Case = request.getfixturevalue(which)
    old = choose(case).outcome
    numbers = [flip for flip in flips(case) if flip.at is not None and flip.side != "switch"]
    assert names <= {flip.constraint for flip in numbers}
    for flip in numbers:
        new = choose(moved(case, flip.constraint, float(flip.at or 0)))
        assert new.outcome == (flip.to_status, flip.to_branch, flip.to_base_model) != old, flip
        assert new.verdict.reason == flip.to_reason
        assert choose(moved(case, flip.constraint, beside(flip))).outcome == old, flip


def test_a_limit_that_changes_the_base_model_alone_is_a_flip() -> None:
    good = synthetic.Law(0.2, 0.5, 0.05)
    laws = {
        ("full", "MiniLM-L6"): replace(good, model_gb=0.09),
        ("full", "MiniLM-L3"): replace(good, c=0.12, model_gb=0.07),
        ("baseline", None): synthetic.Law(0.1, 0.2, 0.4),
    }
    given = case_of(synthetic.inputs(synthetic.settings(objective={"target": None}), laws, stopped=(), noise=0.0))
    assert choose(given).outcome == ("chosen", "full", "MiniLM-L6")
    found = [flip for flip in flips(given) if flip.constraint == "max_model_gb" and flip.at is not None]
    assert [(flip.at, flip.to_branch, flip.to_base_model) for flip in found] == [(0.0899, "full", "MiniLM-L3")]


def test_a_change_at_the_first_value_tried_says_that_it_is_that() -> None:
    aim: dict[str, object] = {"value_per_point_usd": 500, "month_of_delay_usd": 1000}
    given = case_of(synthetic.inputs(synthetic.settings(objective=aim)))
    (found,) = (flip for flip in flips(given) if flip.constraint == "usd_per_label")
    assert (found.to_status, found.at, found.at_end) == ("label_more", 0.001, True)
    assert found.note == "decided again at 0.001, the lowest value tried"


def beside(flip: Flip) -> float:
    assert flip.at is not None
    return _number(_index(float(flip.at), floor=True) + (1 if flip.side == "below" else -1))


def test_forbidding_the_weights_of_others_is_among_the_switches(case: Case) -> None:
    switch = next(flip for flip in flips(case) if flip.constraint == "third_party_weights")
    assert (switch.now, switch.at) == (True, False)
    assert switch.to_branch in ("baseline", "scratch")


@pytest.mark.parametrize("value", [0.00123, 0.5, 1.0, 9.99, 10, 458, 99900])
def test_numbers_of_three_digits_are_counted_in_order(value: float) -> None:
    assert _number(_index(value, floor=True)) == pytest.approx(value)
    assert _number(_index(value, floor=True) + 1) > value > _number(_index(value, floor=True) - 1)


def test_the_map_has_the_verdict_of_today_where_we_are(case: Case) -> None:
    drawn = decision_map(case)
    assert len(drawn.rows) >= 20
    assert len(drawn.verdicts) == len(drawn.budget_usd) >= 20
    assert {len(line) for line in drawn.verdicts} == {len(drawn.rows)}
    i, j = 12, 20
    limits = case.constraints.model_copy(update={"budget_usd": drawn.budget_usd[j]})
    verdict = choose(replace(case, n=drawn.rows[i], constraints=limits)).verdict
    assert drawn.key[drawn.verdicts[j][i]] == (verdict.branch or verdict.status)
