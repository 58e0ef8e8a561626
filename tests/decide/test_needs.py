"""A decision for a GPU that nothing was measured on: hours, memory and cost are foretold, and say what they rest on."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from tasks import decide
from tasks.decide import Inputs
from tasks.records import Candidates, Decision, Option
from tasks.shape import Shape
from tests.decide import synthetic

SHAPE = asdict(Shape(22.7e6, 6, 384, 1536, 384, 30522, tied=True, glu=False, rms=False))


def inputs(gpu: str, **hardware: object) -> Inputs:
    settings = synthetic.settings(hardware={"gpu": gpu, "usd_per_gpu_hour": [2.0, 4.0], **hardware})
    given = replace(synthetic.inputs(), settings=settings)
    known = [one.model_copy(update={"shape": SHAPE}) for one in given.candidates.candidates]
    return replace(given, candidates=Candidates(candidates=known))


@pytest.fixture(scope="module")
def decision() -> Decision:
    return decide.decide(inputs("H100"))[0]


def option(decision: Decision, branch: str) -> Option:
    return next(o for o in decision.branches if (o.branch, o.base_model or "MiniLM-L6") == (branch, "MiniLM-L6"))


def test_hours_and_cost_on_a_gpu_are_intervals_with_what_they_rest_on(decision: Decision) -> None:
    full = option(decision, "full")
    assert full.hours
    assert full.cost_usd
    assert 0 < full.hours.low < full.hours.value < full.hours.high
    assert full.hours.high / full.hours.value == pytest.approx(3, rel=0.15)
    assert full.rests_on
    assert "bound by the time in which its host issues them" in full.rests_on
    assert full.p_deadline is not None


def test_a_baseline_keeps_the_time_measured_here(decision: Decision) -> None:
    here = decide.decide(synthetic.inputs())[0]
    assert option(decision, "baseline").hours == option(here, "baseline").hours


def test_a_model_that_the_gpu_does_not_hold_is_excluded() -> None:
    large = inputs("T4")
    shape = asdict(Shape(8e9, 32, 4096, 14336, 1024, 128256))
    known = [one.model_copy(update={"shape": shape}) for one in large.candidates.candidates]
    found = option(decide.decide(replace(large, candidates=Candidates(candidates=known)))[0], "full")
    assert "memory_gb" in {why.constraint for why in found.excluded_by}


def test_an_unknown_gpu_leaves_hours_null_with_a_reason() -> None:
    full = option(decide.decide(inputs("quantum"))[0], "full")
    assert (full.hours, full.cost_usd) == (None, None)
    assert full.note
    assert "no such GPU" in full.note


def test_a_price_that_nobody_asks_is_named(decision: Decision) -> None:
    assert decision.doubts == []
    cheap = decide.decide(inputs("H100", usd_per_gpu_hour=[0.05, 0.15]))[0]
    assert "public pages asked $1.99 to $7.20" in cheap.doubts[0]


def test_text_and_budget_are_held_against_what_scratch_wants(decision: Decision) -> None:
    found = decision.scratch_feasible
    assert found
    assert found.favours == "transfer"
    assert found.enough_text is False
    assert found.affordable
    assert found.planned.params == 2 * (4 * 128**2 + 2 * 128 * 512)


def test_the_bases_stand_in_the_order_of_the_screen(decision: Decision) -> None:
    assert [one.rank for one in decision.bases] == [1, 2]
    assert {one.name for one in decision.bases} == {"MiniLM-L6", "MiniLM-L3"}


def test_without_a_price_the_shipped_range_is_taken_and_said_and_ages_and_the_break_even_is_still_sought() -> None:
    found = decide.decide(inputs("H100", usd_per_gpu_hour=None))[0]
    assert found.usd_per_hour
    assert (found.usd_per_hour.low, found.usd_per_hour.high) == (1.99, 7.2)
    (said,) = [line for line in found.assumed if "usd_per_gpu_hour" in line]
    assert "$1.99 to $7.20 an hour is taken, the shipped range of 2026-03 to 2026-05" in said
    assert (found.inputs["prices_as_of"], found.expires_on) == ("2026-05", "2026-07-30")
    assert {flip.now for flip in found.flips if flip.constraint == "usd_per_gpu_hour"} == {7.2}
    assert not any("usd_per_gpu_hour" in line for line in decide.decide(inputs("H100"))[0].assumed)
