"""Larger rungs stop where nothing that they could tell is worth their computing, and only there."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from tasks import stopping
from tasks.choice import choose
from tasks.decide import case_of
from tasks.ladder import Step
from tasks.next_rung import next_rung
from tasks.pilot import climb, why_not
from tasks.records import Cell
from tests.decide import synthetic
from tests.decide.synthetic import LAWS

L6 = "MiniLM-L6"
SCREEN = [synthetic.cell("full", L6, LAWS["full", L6], n, seed) for n in (100, 200) for seed in (0, 1)]


def measured(steps: dict[str, list[Step]]) -> list[Cell]:
    return [
        synthetic.cell("full", name, LAWS["full", name], step.n, step.seed) for name, mine in steps.items() for step in mine
    ]


def climbed(value: float) -> tuple[list[int], dict[str, str]]:
    """Rows of the cells that two rungs of two seeds give with that value of a point, and why it ended."""
    steps = [Step(n, seed, (), ()) for n in (400, 800) for seed in (0, 1)]
    cells, ended = climb({L6: steps}, measured, partial(why_not, SCREEN, synthetic.TASK, 2400, 2, value))
    return [cell.n for cell in cells], ended


def test_each_rung_is_bought_before_the_next_is_weighed_until_one_cannot_pay() -> None:
    assert climbed(1000.0) == ([400, 400, 800, 800], {})
    rows, ended = climbed(1e-6)
    assert rows == [400, 400]
    assert ended[L6].startswith("stopped before 800 rows: measuring costs ")


def test_a_rung_is_worth_more_with_a_larger_value_and_costs_the_same() -> None:
    low, high = (stopping.best_rung(SCREEN, synthetic.TASK, [400], 2400, 2, value) for value in (1.0, 10.0))
    assert high.worth_at_most_usd == pytest.approx(10 * low.worth_at_most_usd)
    seconds = (0.04 * 400 * 3 + 0.3) * 2
    assert low.cost_usd == high.cost_usd == pytest.approx(seconds / 3600 * stopping.CPU_USD_PER_HOUR, rel=0.1)


def test_the_bound_holds_whatever_the_options_cost() -> None:
    """Prices, limits and aims move what a rung is worth (`next_rung`), never above the bound."""
    worth: dict[str, object] = {"value_per_point_usd": 100.0}
    for price in (0.1, 30.0, 3000.0):
        for people in (0.0, 80.0, 800.0):
            settings = synthetic.settings(
                objective=worth,
                constraints={"budget_usd": None},
                hardware={"usd_per_gpu_hour": [price, price]},
                team={"usd_per_hour": people},
            )
            case = case_of(replace(synthetic.inputs(stopped=()), settings=settings))
            cells = {pair.key: pair.cells for pair in case.evidence.pairs}
            for offer in next_rung(case, choose(case)).offers:
                most = 100 * stopping.points_at_most(cells[offer.branch, offer.base_model or "-"], case.n, offer.rows)
                assert offer.gain <= 1.35 * most + 1e-9


def test_what_ended_early_says_so_in_the_record() -> None:
    given = synthetic.inputs()
    ended = given.pilots["full"].model_copy(update={"ended_early": {L6: "stopped before 960 rows"}})
    case = case_of(replace(given, pilots={**given.pilots, "full": ended}))
    assert next(p for p in case.evidence.pairs if p.key == ("full", L6)).ended_early == "stopped before 960 rows"
