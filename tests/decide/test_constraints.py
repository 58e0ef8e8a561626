"""Each hard limit excludes what breaks it, names itself, and lets it back in when it is lifted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.choice import Case, choose
from tasks.constraints import exclusions, provider_share
from tasks.decide import case_of
from tasks.records import Candidate
from tests.decide import synthetic

CLOUD = {"gpu": "A100", "place": "cloud"}


def case(**changes: dict[str, object]) -> Case:
    return case_of(synthetic.inputs(synthetic.settings(**changes), noise=0.0))


def broken(case: Case, branch: str) -> set[str]:
    return {
        e.constraint
        for t, why in zip(case.terms(), case.excluded(), strict=True)
        for e in why
        if t.outlook.pair.branch == branch
    }


def licensed(case: Case, licence: str) -> Case:
    """The same with base models of that licence, which the user allows."""
    pairs = tuple(replace(p, base=p.base.model_copy(update={"licence": licence})) if p.base else p for p in case.evidence.pairs)
    limits = case.constraints.model_copy(update={"licences": [licence]})
    evidence = replace(case.evidence, pairs=pairs, _kept={}, _leading={}, _paired={}, _curves=[])
    return replace(case, evidence=evidence, constraints=limits, _terms={}, _worth={})


@pytest.mark.parametrize(
    ("changes", "lifted", "name"),
    [
        ({"hardware": CLOUD}, {"hardware": CLOUD, "constraints": {"data_may_leave": True}}, "data_may_leave"),
        (
            {"hardware": CLOUD, "constraints": {"data_may_leave": True, "air_gap": True}},
            {"hardware": CLOUD | {"place": "own"}, "constraints": {"air_gap": True}},
            "air_gap",
        ),
        (
            {"hardware": CLOUD | {"region": "US"}, "constraints": {"data_may_leave": True, "regions": ["EU"]}},
            {"hardware": CLOUD | {"region": "EU"}, "constraints": {"data_may_leave": True, "regions": ["EU"]}},
            "regions",
        ),
        ({"constraints": {"months_until_use": 0.1}}, {"constraints": {"months_until_use": 0.26}}, "months_until_use"),
        (
            {"constraints": {"months_until_use": 0.1}},
            {"constraints": {"months_until_use": 0.1}, "team": {"engineers": 3}},
            "months_until_use",
        ),
        ({"team": {"engineers": 0}}, {"team": {"engineers": 1}}, "engineers"),
        ({"hardware": {"memory_gb": 1.0}}, {"hardware": {"memory_gb": 1.4}}, "memory_gb"),
        ({"constraints": {"ownership": "all"}}, {"constraints": {"ownership": "free"}}, "ownership"),
    ],
)
def test_a_limit_excludes_full_fine_tuning_until_it_is_lifted(
    changes: dict[str, dict[str, object]], lifted: dict[str, dict[str, object]], name: str
) -> None:
    assert broken(case(**changes), "full") == {name}
    assert broken(case(**lifted), "full") == set()


@pytest.mark.parametrize(
    ("licence", "limits", "name"),
    [
        ("cc-by-nc-4.0", {"business_use": True}, "business_use"),
        ("llama3", {"ownership": "free"}, "ownership"),
        ("cc-by-sa-4.0", {"ownership": "free"}, "ownership"),
    ],
)
def test_a_licence_that_is_allowed_can_still_forbid_the_use(licence: str, limits: dict[str, object], name: str) -> None:
    assert broken(licensed(case(constraints=limits), licence), "full") == {name}
    assert broken(licensed(case(), licence), "full") == set()
    assert broken(licensed(case(constraints=limits), "mit"), "full") == set()


def test_ownership_of_all_leaves_what_starts_from_nothing() -> None:
    owned = case(constraints={"ownership": "all"})
    assert broken(owned, "scratch") == broken(owned, "baseline") == set()


def test_computing_above_a_third_of_the_bases_makes_a_provider() -> None:
    base = Candidate(
        name="b", sha256="", licence="mit", source="", parameters=1000, bytes=1, max_tokens=1, fertility=1.0, training_flops=6e6
    )
    assert provider_share(base, tokens=500) == 0.5  # 6 x 1,000 x 500 of 6e6
    assert provider_share(base.model_copy(update={"training_flops": None}), tokens=500) == 3e6 / 1e23


def test_who_must_not_become_a_provider_loses_the_large_fine_tuning_alone() -> None:
    given = case(constraints={"may_become_provider": False})
    full = next(t for t in given.terms() if t.outlook.pair.key == ("full", "MiniLM-L6"))
    assert full.outlook.pair.base
    small = full.outlook.pair.base.model_copy(update={"training_flops": 1.0})
    heavy = replace(full, outlook=replace(full.outlook, pair=replace(full.outlook.pair, base=small)))
    rules = given.constraints, given.hardware, given.team
    assert [e.constraint for e in exclusions(heavy, *rules)] == ["may_become_provider"]
    assert exclusions(full, *rules) == []


def test_the_easiest_way_out_is_the_option_that_meets_the_target_not_the_cheapest_thing() -> None:
    """Nothing may cost anything. The baseline would need the least money, but it misses the target by far."""
    verdict = choose(case(constraints={"budget_usd": 0}, objective={"target": 0.8})).verdict
    assert verdict.status == "no_branch_fits"
    assert "fine-tuning of MiniLM-L6" in verdict.reason
    assert "raise constraints.budget_usd to 0.01," in verdict.reason
