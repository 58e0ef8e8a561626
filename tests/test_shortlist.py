from __future__ import annotations

import pytest

from tasks.params import Pilots
from tasks.records import Pilot, Shortlist
from tasks.shortlist import CONTENDERS, shortlist
from tests.decide import synthetic
from tests.decide.synthetic import LAWS, Law

L6, L3 = "MiniLM-L6", "MiniLM-L3"


def made(laws: dict[tuple[str, str | None], Law] = LAWS, **pilots: object) -> Shortlist:
    given = synthetic.inputs(laws=laws, noise=0.0)
    return shortlist(given.screens, 2400, Pilots.model_validate(pilots), synthetic.TASK)


def test_what_costs_little_is_simply_measured() -> None:
    found = made()
    assert found.continued["baseline"] == ["-"]
    assert found.continued["probe"] == [L6, L3]


def test_the_leader_goes_on_and_at_most_three_dear_pairs_with_it() -> None:
    found = made()
    assert L6 in found.continued["full"] + found.continued["lora"]
    dear = [e for e in found.entries if e.continued and e.branch in ("lora", "full", "scratch")]
    assert 2 <= len(dear) <= CONTENDERS


def test_every_pair_has_a_reason_without_numbers() -> None:
    found = made()
    assert {(e.branch, e.base_model) for e in found.entries} == set(LAWS)
    assert all(e.reason and not any(c.isdigit() for c in e.reason) for e in found.entries)


def test_a_branch_far_behind_with_a_flat_curve_is_dropped() -> None:
    flat = {key: Law(0.12, 0.1, 0.02, 0.04) for key in LAWS if key[0] in ("full", "lora")}
    hopeless = Law(0.48, 0.001, 0.0, 0.03)
    found = made(LAWS | flat | {("scratch", None): hopeless})
    assert found.continued["scratch"] == []


def test_the_weaker_base_of_a_branch_is_set_aside() -> None:
    weaker = LAWS | {("lora", L3): Law(0.3, 0.1, 0.25, 0.02), ("full", L3): Law(0.3, 0.1, 0.25, 0.02)}
    found = made(weaker)
    assert L3 not in found.continued["lora"] + found.continued["full"]


def test_no_money_for_pilots_continues_nothing() -> None:
    assert not any(made(budget_usd=0).continued.values())


def test_more_money_never_continues_fewer_pairs() -> None:
    counts = [sum(map(len, made(budget_usd=usd).continued.values())) for usd in (0, 0.0005, 0.005, 0.05, 5)]
    assert counts == sorted(counts)
    assert counts[-1] == sum(map(len, made().continued.values()))


@pytest.mark.parametrize("value", [1.0, 1e5])
def test_a_value_that_pays_for_computing_leaves_the_ladder_as_it_is(value: float) -> None:
    given = synthetic.inputs(noise=0.0)
    assert shortlist(given.screens, 2400, Pilots(), synthetic.TASK, value) == made()


def test_a_higher_value_of_a_point_never_continues_fewer_pairs_and_none_continues_nothing() -> None:
    screens = synthetic.inputs(noise=0.0).screens
    found = [shortlist(screens, 2400, Pilots(), synthetic.TASK, value) for value in (0, 1e-5, 1e-4, 1e-3, 1)]
    counts = [sum(map(len, one.continued.values())) for one in found]
    assert counts == sorted(counts)
    assert counts[0] == 0 < counts[2] < counts[-1]
    assert {e.reason for e in found[0].entries if e.branch == "probe"} == {
        "its larger pilots cost more than knowing them could be worth"
    }


def test_cross_validation_leaves_nothing_to_continue() -> None:
    found = shortlist(synthetic.folded().screens, 240, Pilots(), synthetic.TASK)
    assert not any(found.continued.values())
    assert {e.reason for e in found.entries} == {"measured in full by cross-validation"}


@pytest.mark.parametrize("branch", ["baseline", "scratch"])
def test_a_single_branch_continues(branch: str) -> None:
    only = {key: law for key, law in LAWS.items() if key[0] == branch}
    screens: dict[str, Pilot] = synthetic.inputs(laws=only, noise=0.0).screens
    assert shortlist(screens, 2400, Pilots(), synthetic.TASK).continued == {branch: ["-"]}
