"""Quality against money: the Pareto front, the value of a point, the price of labels, the next rung."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.choice import Case, choose, regrets, utilities
from tasks.crossover import scratch_verdicts
from tasks.decide import case_of, decide, plan_for
from tasks.evidence import quality_draws
from tasks.next_rung import next_rung
from tasks.records import Cell
from tasks.tradeoff import _front, _pays_from, _Point, tradeoff
from tests.decide import synthetic
from tests.decide.synthetic import LAWS, Law


def case(laws: dict[tuple[str, str | None], Law] = LAWS, rows: int = 2400, **changes: dict[str, object]) -> Case:
    return case_of(synthetic.inputs(synthetic.settings(**changes), laws, rows=rows, stopped=()))


# ---- the front ---------------------------------------------------------------------------------------------------------


def test_each_point_of_the_hull_pays_from_the_slope_before_it() -> None:
    """Doing nothing; 10 points for 100 USD; 15 points for 400 (off the hull); 30 points for 500; 25 for 600 (beaten)."""
    points = [_Point(None, p, usd) for p, usd in ((0, 0), (10, 100), (15, 400), (30, 500), (25, 600))]
    front = _front(points)
    assert [p.usd for p in front] == [0, 100, 400, 500]
    assert _pays_from(front) == {0: 0.0, 1: 10.0, 2: None, 3: 20.0}


def test_just_above_its_value_of_a_point_an_option_is_worth_most() -> None:
    given = case()
    trades = tradeoff(given, choose(given))
    pays = [t for t in trades if t.pays_from_usd]
    assert len(pays) >= 2
    for trade in pays:
        value = 1.001 * (trade.pays_from_usd or 0)
        aim = given.objective.model_copy(update={"value_per_point_usd": value})
        valued = replace(given, objective=aim)
        left = choose(valued).left
        best = valued.terms()[left[int(utilities(valued, left).mean(1).argmax())]].outlook.pair
        assert (best.branch, best.base_name) == (trade.branch, trade.base_model)


def test_without_a_value_no_worth_is_invented_and_the_break_even_is_recorded() -> None:
    decision, _ = decide(synthetic.inputs())
    assert decision.regret_unit == "points"
    assert any("value_per_point_usd is empty" in line for line in decision.assumed)
    assert decision.break_even["value_per_point_usd"]


# ---- regret ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [30.0, 1e3, 1e5])
def test_the_choice_has_the_least_regret_but_for_ties(value: float) -> None:
    given = case(objective={"value_per_point_usd": value})
    chosen = choose(given)
    lost = dict(zip([t.outlook.pair.key for t in chosen.terms], regrets(given, chosen), strict=True))
    assert chosen.chosen
    assert (lost[chosen.chosen.outlook.pair.key] or 0) <= min(r for r in lost.values() if r is not None) + 0.5 * value


def test_an_extrapolated_lead_that_backtests_do_not_believe_counts_as_none() -> None:
    """Scratch is behind at every rung measured, and so steep that its law overtakes."""
    given = case(LAWS | {("scratch", None): Law(0.6, 0.46, 0.0, 0.012)}, rows=15_000)
    evidence, left = given.evidence, tuple(range(len(given.evidence.pairs)))
    found, (draws, means) = evidence.leading(given.n, left), evidence.paired(given.n, left)
    own = [quality_draws(o.predicted, o.pair.key) for o in evidence.at(given.n)]
    doubted = [k for k, chance in enumerate(found.overtakes) if chance <= 0.7]
    ahead = [k for k in doubted if float(np.mean(own[k])) > float(np.mean(own[found.leader]))]  # type: ignore[arg-type]
    assert ahead
    for k in doubted:
        assert means[k] <= means[found.leader] + 1e-9
        assert np.allclose(draws[k], own[k]) == (k not in ahead)  # type: ignore[arg-type]


def test_a_delay_that_costs_much_prefers_what_serves_sooner() -> None:
    worth: dict[str, object] = {"value_per_point_usd": 1000.0}
    hours: dict[str, object] = {"people_hours": {"full": 400, "lora": 400, "probe": 4}}
    assert choose(case(objective=worth, team=hours | {"usd_per_hour": 0})).verdict.branch in ("full", "lora")
    assert choose(case(objective=worth | {"month_of_delay_usd": 1e5}, team=hours | {"usd_per_hour": 0})).verdict.branch in (
        "probe",
        "baseline",
    )


# ---- labels, and a base model as it is ---------------------------------------------------------------------------------


def test_cheap_labels_are_bought_and_dear_ones_are_not() -> None:
    steep = LAWS | {("full", "MiniLM-L6"): Law(0.35, 0.5, 0.01)}
    worth: dict[str, object] = {"value_per_point_usd": 2000.0}
    cheap = choose(case(steep, objective=worth, team={"usd_per_label": 0.001})).verdict
    assert (cheap.status, cheap.branch) == ("label_more", None)
    assert cheap.rows
    assert cheap.rows > 2400
    assert choose(case(steep, objective=worth, team={"usd_per_label": 1000})).verdict.status == "chosen"


def test_a_base_model_used_as_it_is_costs_no_training_and_has_a_flat_curve() -> None:
    given = case(LAWS)
    cells = tuple(_as_it_is(cell) for cell in given.evidence.pairs[0].cells[:2])
    prompt = replace(given.evidence.pairs[1], branch="prompt", cells=cells)
    evidence = replace(given.evidence, pairs=(*given.evidence.pairs, prompt), _kept={}, _leading={}, _paired={}, _curves=[])
    free = replace(given, evidence=evidence, _terms={}, _worth={})
    outlook = evidence.at(2400)[-1]
    assert outlook.predicted.value == pytest.approx(0.95, abs=0.005)
    assert evidence.at(30_000)[-1].predicted.value == pytest.approx(0.95, abs=0.01)
    assert float(np.max(free.terms()[-1].cost)) == 0.0  # type: ignore[arg-type]
    assert choose(free).what == ("use_as_is", "prompt")
    assert plan_for(choose(free), synthetic.TASK, 2400).branch == "prompt"


def _as_it_is(cell: Cell) -> Cell:
    quality = cell.quality.model_copy(update={"accuracy": 0.95})
    return cell.model_copy(update={"n": 0, "branch": "prompt", "base_model": "MiniLM-L6", "quality": quality, "recipe": {}})


# ---- what could be measured next ---------------------------------------------------------------------------------------


def test_a_close_race_worth_much_buys_the_next_rung_and_a_clear_one_does_not() -> None:
    money: dict[str, object] = {"value_per_point_usd": 1e5}
    close = LAWS | {("lora", "MiniLM-L6"): Law(0.22, 0.44, 0.11, 0.035)}
    given = case(close, objective=money)
    found = next_rung(given, choose(given))
    assert found.buy is True
    assert found.offer
    assert found.offer.rows in (1920, 2400)
    clear = {key: law if key == ("full", "MiniLM-L6") else Law(0.1, 0.2, 0.45) for key, law in LAWS.items()}
    given = case(clear, objective=money, hardware={"usd_per_gpu_hour": [1000, 1000]}, constraints={"budget_usd": None})
    assert next_rung(given, choose(given)).buy is False


def test_knowing_more_is_worth_at_most_the_regret_that_is_left() -> None:
    given = case(objective={"value_per_point_usd": 1000.0})
    chosen = choose(given)
    least = min(r for r in regrets(given, chosen) if r is not None)
    offers = next_rung(given, chosen).offers
    assert offers
    assert all(0 <= offer.gain <= least for offer in offers)


def test_without_a_value_the_offer_says_from_which_value_it_pays() -> None:
    given = case(LAWS | {("lora", "MiniLM-L6"): Law(0.22, 0.44, 0.11, 0.035)}, objective={"target": None})
    found = next_rung(given, choose(given))
    assert found.buy is None
    assert found.offer
    assert found.pays_from_usd == pytest.approx((found.offer.cost_usd or 0) / found.offer.gain)


def test_nothing_is_left_to_buy_once_the_pilots_had_all_rows() -> None:
    given = case(rows=960, objective={"value_per_point_usd": 1000.0})
    assert next_rung(given, choose(given)).offer is None
    folded = case_of(synthetic.folded())
    assert "cross-validation" in next_rung(folded, choose(folded)).reason


def test_scratch_has_a_verdict_for_equal_computing_and_one_for_convergence() -> None:
    """It takes 1.5 times the fine-tuning's seconds a row and epoch, and 10 epochs instead of 3."""
    dear = LAWS | {("scratch", None): Law(0.36, 0.3, 0.05, 0.06)}
    equal, converged = scratch_verdicts(case(dear).evidence, 2400)
    assert (equal.terms, converged.terms) == ("equal compute", "to convergence")
    assert equal.rows == pytest.approx(2400 * 0.04 * 3 / (0.06 * 10), rel=0.2)
    assert converged.rows == 2400
    assert (equal.predicted or 1) < (converged.predicted or 0)
