from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import decide, records
from tasks.crossover import crossover
from tasks.decide import Inputs
from tasks.records import Decision, Plan
from tests.decide import synthetic


@pytest.fixture(scope="module")
def given() -> Inputs:
    return synthetic.inputs()


@pytest.fixture(scope="module")
def decision(given: Inputs) -> Decision:
    return decide.decide(given)[0]


def test_every_pair_is_in_the_record_with_its_prediction_and_cost(decision: Decision) -> None:
    assert {(o.branch, o.base_model) for o in decision.branches} == set(synthetic.LAWS)
    for option in decision.branches:
        p = option.predicted
        assert p.value is not None
        assert p.low90 is not None
        assert p.high90 is not None
        assert p.low90 <= p.value <= p.high90
        assert option.cost_usd
        assert option.hours
        assert 0 < option.cost_usd.low <= option.cost_usd.value <= option.cost_usd.high


def test_time_is_that_of_the_cells_on_one_core_and_may_be_half_of_it_on_two(decision: Decision) -> None:
    """The made-up pilots take 0.04 s a row and epoch and 0.3 s to start; 2,400 rows take three epochs."""
    full = next(o for o in decision.branches if (o.branch, o.base_model) == ("full", "MiniLM-L6"))
    assert full.hours
    one_core = (0.04 * 2400 * 3 + 0.3) / 3600
    assert full.hours.value == pytest.approx(one_core / 2**0.5, rel=0.1)
    assert one_core / 2 * 0.7 < full.hours.low < full.hours.high < one_core * 1.4


def test_the_flat_view_holds_each_branch_once(decision: Decision) -> None:
    assert set(decision.by_branch) == {branch for branch, _ in synthetic.LAWS}
    assert all(set(row) == {"p_target", "cost_usd", "expected_regret"} for row in decision.by_branch.values())


def test_it_expires_ninety_days_after_the_prices(decision: Decision) -> None:
    assert (decision.inputs["prices_as_of"], decision.expires_on) == ("2026-11", "2027-01-30")


def test_equal_inputs_give_equal_bytes() -> None:
    first, second = (
        records.sha256_of([r.model_dump(mode="json") for r in decide.decide(synthetic.inputs())]) for _ in range(2)
    )
    assert first == second


def test_the_rule_of_thumb_is_set_beside_the_measurement(decision: Decision) -> None:
    rule = decision.rule_of_thumb
    assert (rule.branch, rule.says) == ("full", "fine-tune")
    assert rule.agrees == (decision.verdict.branch in ("probe", "lora", "full"))
    assert len(rule.factors) == 6


def test_scratch_that_is_steeper_crosses_within_the_range_and_a_flat_one_does_not() -> None:
    steep = synthetic.LAWS | {("scratch", None): synthetic.Law(0.42, 0.7, 0.02, 0.012)}
    flat = synthetic.LAWS | {("scratch", None): synthetic.Law(0.30, 0.05, 0.1, 0.012)}
    crossed = crossover(decide.case_of(synthetic.inputs(laws=steep, stopped=(), noise=0.0)).evidence)
    assert crossed.status == "within x32"
    assert crossed.n is not None
    assert 240 < crossed.n < 3000
    assert crossover(decide.case_of(synthetic.inputs(laws=flat, stopped=(), noise=0.0)).evidence).n is None


@pytest.mark.parametrize(("cut_rows", "said"), [(None, False), (0, False), (70, False), (240, True)])
def test_rows_of_the_choice_that_were_too_long_are_told_where_they_are_many(cut_rows: int | None, said: bool) -> None:
    plain = synthetic.inputs()
    branch = str(decide.decide(plain)[0].verdict.branch)
    lost = {"cut_rows": cut_rows, "cut_tokens": 12_345 if cut_rows else cut_rows}
    pilot = plain.pilots[branch]
    cut = pilot.model_copy(update={"cells": [cell.model_copy(update=lost) for cell in pilot.cells]})
    found, _ = decide.decide(replace(plain, pilots=plain.pilots | {branch: cut}))
    largest = max(option.largest_rung for option in found.branches if option.status == "chosen")
    line = f"Length: in the largest pilot 240 of {largest:,} rows are longer than 128 tokens"
    assert any(one.startswith(line) and "12,345 tokens were cut off" in one for one in found.uncertain) == said
    assert any(one.startswith("Length:") for one in found.uncertain) == said


def test_folds_are_decided_from_one_size_and_say_nothing_of_other_sizes() -> None:
    found, plan = decide.decide(synthetic.folded())
    assert plan.branch == found.verdict.branch
    assert found.crossover.status.startswith("not measured")
    assert "rows" not in {flip.constraint for flip in found.flips}
    assert not any(option.status == "not_continued" for option in found.branches)


def test_the_stage_reads_the_named_branches_only(tmp_path: Path, given: Inputs) -> None:
    results = tmp_path / "results"
    synthetic.write(given, results)
    (results / "screen" / "prompt.json").write_text("left behind, and no record")
    (results / "pilot" / "prompt.json").write_text("left behind, and no record")
    shutil.copy("params.yaml", tmp_path)
    stage = [
        "audit.json",
        "candidates.json",
        "look.json",
        "shortlist.json",
        "screen",
        "pilot",
        "library.json",
        "decision.json",
        "plan.json",
    ]
    command = [sys.executable, "-m", "tasks.decide", *(f"results/{name}" for name in stage)]
    subprocess.run(command, cwd=tmp_path, check=True, env={"PYTHONPATH": str(Path.cwd()), "OMP_WAIT_POLICY": "PASSIVE"})
    written = records.read(Decision, results / "decision.json")
    assert {o.branch for o in written.branches} == {"baseline", "probe", "lora", "full", "scratch"}
    assert records.read(Plan, results / "plan.json").branch == written.verdict.branch


def test_deciding_and_reporting_start_without_torch() -> None:
    code = "import sys, tasks.decide, tasks.shortlist, tasks.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
