"""Constructed pilots in which each verdict is the right one."""

from __future__ import annotations

import re
from dataclasses import replace
from statistics import stdev
from typing import Any

import pytest

from tasks.choice import Case, choose
from tasks.decide import case_of, plan_for
from tasks.evidence import Pair
from tasks.records import Quality
from tests.decide import synthetic
from tests.decide.synthetic import Law

POOR, GOOD = Law(0.1, 0.2, 0.40), Law(0.2, 0.5, 0.05)
L6 = "MiniLM-L6"


def case(laws: dict[tuple[str, str | None], Law], **changes: dict[str, object]) -> Case:
    branches = list(dict.fromkeys(branch for branch, _ in laws))
    settings = synthetic.settings(**(changes | {"pilots": {"branches": branches}}))
    return case_of(synthetic.inputs(settings, laws, stopped=(), noise=0.0))


def laws(**better: Law) -> dict[tuple[str, str | None], Law]:
    """All five branches, poor but for those given; each with its own price."""
    seconds = {"baseline": 0.0004, "probe": 0.008, "lora": 0.03, "full": 0.04, "scratch": 0.05}
    base = {"baseline": None, "probe": L6, "lora": L6, "full": L6, "scratch": None}
    return {(b, base[b]): replace(better.get(b, POOR), seconds=s) for b, s in seconds.items()}


@pytest.mark.parametrize("branch", ["baseline", "probe", "lora", "full", "scratch"])
def test_the_only_branch_that_meets_the_target_is_chosen(branch: str) -> None:
    verdict = choose(case(laws(**{branch: GOOD}), objective={"target": 0.75})).verdict
    assert verdict.branch == branch
    assert verdict.status == ("keep_baseline" if branch == "baseline" else "chosen")


def test_of_two_that_meet_the_target_the_cheaper_is_chosen_though_the_other_is_better() -> None:
    better = Law(0.1, 0.5, 0.01)
    dear: dict[str, object] = {"people_hours": {"full": 60}}
    assert choose(case(laws(lora=GOOD, full=better), objective={"target": 0.75}, team=dear)).verdict.branch == "lora"


def test_without_a_target_the_best_is_chosen() -> None:
    better = Law(0.1, 0.5, 0.01)
    assert choose(case(laws(lora=GOOD, full=better), objective={"target": None})).verdict.branch == "full"


def test_equals_go_to_the_cheapest() -> None:
    verdict = choose(case(laws(lora=GOOD, full=GOOD, scratch=GOOD), objective={"target": None})).verdict
    assert verdict.branch == "lora"
    assert "what ties with it is no cheaper" in verdict.reason


def spoilt(given: Case, **seeds: tuple[float, ...]) -> Case:
    """So much is added to the accuracy of each seed of these branches."""

    def moved(pair: Pair) -> Pair:
        if pair.branch not in seeds:
            return pair
        cells = [
            c.model_copy(update={"quality": Quality(accuracy=(c.quality.accuracy or 0) + seeds[pair.branch][c.seed])})
            for c in pair.cells
        ]
        return replace(pair, cells=tuple(cells))

    evidence = given.evidence
    return replace(given, evidence=replace(evidence, pairs=tuple(map(moved, evidence.pairs)), **fresh()), _terms={}, _worth={})


def fresh() -> dict[str, Any]:
    return {"_kept": {}, "_leading": {}, "_paired": {}, "_curves": []}


def test_a_lead_within_the_noise_of_the_seeds_is_a_tie_and_one_beyond_it_is_not() -> None:
    given = case(laws(probe=replace(GOOD, c=GOOD.c + 0.008), full=GOOD), objective={"target": None})
    assert choose(given).verdict.branch == "full"
    assert choose(spoilt(given, full=(0.0, 0.0), probe=(0.02, -0.02))).verdict.branch == "probe"
    far = case(laws(probe=replace(GOOD, c=GOOD.c + 0.07), full=GOOD), objective={"target": None})
    assert choose(spoilt(far, full=(0.0, 0.0), probe=(0.02, -0.02))).verdict.branch == "full"


def test_over_folds_the_noise_of_a_difference_is_the_standard_error_of_its_mean() -> None:
    evidence = case_of(synthetic.folded()).evidence
    a, b = ([c.quality.accuracy or 0 for c in evidence.pairs[k].cells] for k in (0, 3))
    differences = [x - y for x, y in zip(a, b, strict=True)]
    assert evidence.noise(0, 3) == pytest.approx(100 * stdev(differences) / 5**0.5)


def test_of_two_whose_costs_differ_by_less_than_is_known_the_surer_one_is_taken() -> None:
    """Full costs some thousandths of a cent more in its training, as both need the same people."""
    surer = replace(GOOD, c=GOOD.c - 0.02)
    chosen = choose(case(laws(lora=GOOD, full=surer), objective={"target": 0.75}))
    lora, full = (next(t for t in chosen.terms if t.outlook.pair.branch == name) for name in ("lora", "full"))
    assert lora.mean_year < full.mean_year
    assert chosen.verdict.branch == "full"


def test_merged_lora_and_full_of_one_base_take_the_same_to_serve() -> None:
    given = case_of(synthetic.inputs())
    found = {
        pair.key: (o.latency_ms, o.model_gb) for pair, o in zip(given.evidence.pairs, given.evidence.at(given.n), strict=True)
    }
    for base in ("MiniLM-L6", "MiniLM-L3"):
        assert found["lora", base] == found["full", base]
    assert found["probe", "MiniLM-L6"] != found["full", "MiniLM-L6"]


def test_a_target_that_none_surely_meets_is_named_with_the_chance_that_is_asked() -> None:
    reason = choose(case(laws(full=GOOD), objective={"target": 0.91})).verdict.reason
    assert "91.0%" in reason
    assert "80%" in reason


def test_a_target_above_every_interval_asks_for_labels_if_more_rows_reach_it() -> None:
    slow = Law(0.45, 0.35, 0.0)
    chosen = choose(case(laws(full=slow), objective={"target": 0.925}))
    assert chosen.verdict.status == "label_more"
    assert chosen.verdict.branch is None
    assert re.search(r"about [\d,]+ rows would reach it", chosen.verdict.reason)


def test_forbidden_weights_of_others_leave_scratch_and_baseline() -> None:
    given = case(laws(full=GOOD, scratch=Law(0.2, 0.4, 0.15)), constraints={"third_party_weights": False})
    chosen = choose(given)
    assert chosen.verdict.branch == "scratch"
    out = [t.outlook.pair.branch for t, why in zip(chosen.terms, chosen.excluded, strict=True) if why]
    assert sorted(out) == ["full", "lora", "probe"]


def test_a_licence_that_is_not_allowed_excludes_its_models_and_says_what_lifts_it() -> None:
    chosen = choose(case(laws(full=GOOD), constraints={"licences": ["mit"]}))
    assert chosen.verdict.branch in ("baseline", "scratch")
    lifts = {e.lifted_by for why in chosen.excluded for e in why}
    assert lifts == {"add apache-2.0 to constraints.licences, if its terms suit your use"}


def test_a_point_worth_much_buys_the_dearer_and_better_branch() -> None:
    better = Law(0.1, 0.5, 0.01)
    worth: dict[str, object] = {"value_per_point_usd": 1000.0}
    assert choose(case(laws(lora=GOOD, full=better), objective=worth)).verdict.branch == "full"


def test_nothing_is_done_when_no_option_is_worth_its_cost() -> None:
    given = case(
        laws(),
        objective={"value_per_point_usd": 1e-9},
        hardware={"usd_per_gpu_hour": [10, 20]},
        constraints={"budget_usd": None},
    )
    assert choose(given).verdict.status == "do_nothing"


def test_an_impossible_budget_names_itself_and_the_cheapest_way_out_works() -> None:
    given = case(laws(full=GOOD), constraints={"budget_usd": 0})
    verdict = choose(given).verdict
    assert verdict.status == "no_branch_fits"
    assert "constraints.budget_usd = 0" in verdict.reason
    enough = float(re.findall(r"raise constraints.budget_usd to ([\d.]+)", verdict.reason)[0])
    lifted = replace(given, constraints=given.constraints.model_copy(update={"budget_usd": enough}))
    chosen = choose(lifted)
    assert chosen.verdict.branch is not None
    assert [] in [why for t, why in zip(chosen.terms, chosen.excluded, strict=True) if t.outlook.pair.branch == "baseline"]


@pytest.mark.parametrize(("limit", "value"), [("max_model_gb", 0.01), ("max_latency_ms", 5.0), ("deadline_hours", 0.01)])
def test_each_limit_excludes_what_breaks_it(limit: str, value: float) -> None:
    chosen = choose(case(laws(full=GOOD), constraints={limit: value}))
    assert chosen.verdict.branch != "full"
    broken = {
        e.constraint
        for t, why in zip(chosen.terms, chosen.excluded, strict=True)
        for e in why
        if t.outlook.pair.branch == "full"
    }
    assert limit in broken


def test_an_unknown_speed_leaves_cost_unknown_and_excludes_nobody() -> None:
    chosen = choose(case(laws(full=GOOD), hardware={"gpu": "quantum"}, objective={"target": 0.75}))
    assert chosen.verdict.branch == "full"
    trained = [t for t in chosen.terms if t.outlook.pair.branch != "baseline"]  # which needs no GPU
    assert all(t.cost_usd is None and t.outlook.needs.reason for t in trained)


def test_no_plan_trains_where_the_verdict_has_no_branch() -> None:
    chosen = choose(case(laws(full=GOOD), constraints={"budget_usd": 0}))
    plan = plan_for(chosen, synthetic.TASK, 2400)
    assert (plan.branch, plan.base_model, plan.recipe) == (None, None, {})


def test_a_kept_baseline_is_planned_as_such() -> None:
    plan = plan_for(choose(case(laws(baseline=GOOD), objective={"target": 0.75})), synthetic.TASK, 2400)
    assert plan.branch == "baseline"
    assert plan.base_model is None
    assert plan.recipe
