"""The constructed pilot tables of the benchmark, a few of each verdict."""

from __future__ import annotations

import pytest

from tests.benchmarks import decisions
from tests.benchmarks.decisions import VERDICTS


@pytest.fixture(scope="module")
def worlds() -> dict[decisions.Verdict, list[decisions.World]]:
    return decisions.clear_worlds(3)


def test_every_verdict_is_the_best_one_in_some_world(worlds: dict[decisions.Verdict, list[decisions.World]]) -> None:
    statuses = {status for status, _ in worlds if worlds[status, _]}
    assert statuses == {"chosen", "keep_baseline", "use_as_is", "label_more", "do_nothing", "no_branch_fits"}
    assert {branch for _, branch in worlds} == {*decisions.BRANCHES, None}


def test_the_engine_finds_what_enumeration_from_the_truth_finds(worlds: dict[decisions.Verdict, list[decisions.World]]) -> None:
    said = [(best, decisions.engine(w, decisions.case_of(w))) for best, group in worlds.items() for w in group]
    assert len(said) == 3 * len(VERDICTS)
    assert sum(best == one for best, one in said) >= 0.85 * len(said)
