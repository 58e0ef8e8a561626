"""Habits of branches: learned from past pilots by name, and used only where leaving each use case out says that they help."""

from __future__ import annotations

from typing import Any

import pytest

from tasks import habits
from tasks.curves import Curve, choose
from tasks.decide import case_of, decide
from tasks.habits import Seen
from tasks.records import Library, Metric, PastCurve, PastPilot
from tests.decide import synthetic

RUNGS = [100, 200, 400, 800]
ACCURACY = Metric.of("accuracy", None)


def past(use_case: str, turn: float = 0.0, **values: list[float]) -> PastPilot:
    """Branches with these accuracies at the rungs, moved by a little that is this use case's own."""
    moved = {name: [round(v + turn, 4) for v in mine] for name, mine in values.items()}
    about: dict[str, Any] = {"base_model": None, "n": RUNGS, "seed": [0] * 4}
    curves = [PastCurve(branch=name, quality={"accuracy": mine}, **about) for name, mine in moved.items()]
    return PastPilot(use_case=use_case, ledger_sha="-", curves=curves)


def library(n: int, late: str = "scratch") -> Library:
    """One branch is always behind on half the rows, with no sign of it in its curve, and ends above."""
    early = "lora" if late == "scratch" else "scratch"
    shapes = {late: [0.60, 0.65, 0.69, 0.84], early: [0.62, 0.67, 0.71, 0.74]}
    return Library(pilots=[past(f"case-{i}", i / 500, **shapes) for i in range(n)])


def test_a_branch_that_overtakes_unforeseen_is_chosen_once_enough_past_use_cases_say_so() -> None:
    found, why = habits.usable(library(20), ACCURACY)
    assert found["scratch"] > 0 > found["lora"]
    assert "; used: with each left out in turn, choices lost" in (why or "")
    n, known = RUNGS[:3], {"lora": [0.62, 0.67, 0.71], "scratch": [0.60, 0.65, 0.69]}
    pilot = [Curve(n, values, name=name) for name, values in known.items()]
    assert (choose(pilot, 800).branch, choose(pilot, 800, found).branch) == (0, 1)


def test_fewer_than_ten_change_nothing_and_it_is_said() -> None:
    found, why = habits.usable(library(9), ACCURACY)
    assert not found
    assert (why or "").startswith("Own past use cases by accuracy: 9 in library.json; not used")
    assert habits.usable(Library(pilots=[]), ACCURACY) == ({}, None)


def test_a_past_that_tells_nothing_is_not_used() -> None:
    """Who ends above changes from case to case."""
    mixed = [library(20, late).pilots[i] for i, late in enumerate(["scratch", "lora"] * 10)]
    found, why = habits.usable(Library(pilots=mixed), ACCURACY)
    assert not found
    assert "; not used: with each left out in turn" in (why or "")


def test_what_another_metric_measured_is_no_past_of_this_one() -> None:
    used, why = habits.usable(library(12), Metric.of("bits_per_byte", None))
    assert used == {}
    assert why == (
        "Own past use cases by bits_per_byte: 0 in library.json; "
        "not used, for fewer than 10 told next to nothing on public curves."
    )


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_habits_of_a_loss_are_those_of_the_score_that_it_mirrors(higher_is_better: bool) -> None:
    def seen(name: str, values: list[float], reached: float) -> Seen:
        sign = (lambda v: v) if higher_is_better else (lambda v: 1 - v)
        return Seen(Curve(RUNGS[:3], [sign(v) for v in values], (), higher_is_better, name=name), 800, sign(reached))

    pilot = [seen("late", [0.60, 0.65, 0.69], 0.8), seen("early", [0.62, 0.67, 0.71], 0.74)]
    found = habits.learn([habits.over(pilot)] * 10)
    assert found["late"] == pytest.approx(-found["early"])
    assert found["late"] > 0.5


def test_habits_change_the_choice_and_no_estimate() -> None:
    given = synthetic.inputs()
    cold = case_of(given)
    own = case_of(type(given)(**{**vars(given), "library": library(12)}))
    assert own.evidence.habits["scratch"] > 0
    assert [o.predicted for o in own.evidence.at(2400)] == [o.predicted for o in cold.evidence.at(2400)]
    left = tuple(range(len(cold.evidence.pairs)))
    scratch = next(i for i, pair in enumerate(cold.evidence.pairs) if pair.branch == "scratch")
    before, after = (case.evidence.leading(2400, left).overtakes[scratch] for case in (cold, own))
    assert after > before
    assert any(
        line.startswith("Own past use cases")
        for line in decide(type(given)(**{**vars(given), "library": library(12)}))[0].assumed
    )
