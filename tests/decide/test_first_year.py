"""What an option costs in its first year, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.choice import Case
from tasks.decide import case_of
from tasks.first_year import PEOPLE_HOURS, Terms, prior, success
from tasks.params import Team
from tests.decide import synthetic

ARTICLES_MEAN_TRIES = (8 + 2 - 1) / (8 - 1)  # the mean of 1/p for p from Beta(8, 2)


def terms(branch: str, **changes: dict[str, object]) -> Terms:
    return next(t for t in case(**changes).terms() if t.outlook.pair.branch == branch)


def case(**changes: dict[str, object]) -> Case:
    return case_of(synthetic.inputs(synthetic.settings(**changes), noise=0.0))


def mean(terms: Terms, part: str) -> float:
    return float(terms.parts[part].mean())


def test_people_cost_the_hours_of_the_table_or_your_own() -> None:
    assert mean(terms("full"), "people") == PEOPLE_HOURS["full"] * 80
    assert mean(terms("full", team={"people_hours": {"full": 10}, "usd_per_hour": 50}), "people") == 500


def test_the_first_model_from_scratch_takes_a_team_twice_as_long() -> None:
    assert terms("scratch").people_hours == 2 * terms("scratch", team={"has_trained_from_scratch": True}).people_hours


def test_failed_attempts_cost_their_people_and_their_training_again() -> None:
    found = terms("full")
    once = mean(found, "people") + mean(found, "training")
    assert mean(found, "failed_attempts") == pytest.approx((ARTICLES_MEAN_TRIES - 1) * once, rel=0.1)


def test_what_the_pilots_have_carried_out_does_not_fail() -> None:
    assert "failed_attempts" not in terms("baseline").parts
    assert success("probe", Team()) is None


def test_own_projects_take_the_place_of_the_articles() -> None:
    assert prior("lora", Team()) == pytest.approx((8, 2))
    seen = success("lora", Team(fine_tunings=(12, 88)))
    assert seen
    assert seen.value == pytest.approx(20 / 110)
    articles = success("lora", Team())
    assert articles
    assert seen.high - seen.low < articles.high - articles.low


@pytest.mark.parametrize(("engineers", "share"), [(4, 0.4), (5, 0.5), (15, 0.5), (16, 0.6)])
def test_the_size_of_the_team_places_scratch_in_the_articles_range(engineers: int, share: float) -> None:
    found = success("scratch", Team(engineers=engineers))
    assert found
    assert found.value == pytest.approx(share)


def test_serving_is_requests_times_seconds_times_the_price() -> None:
    """Synthetic pilots of LoRA, the same network as full, score a row in 0.035 / 3 CPU-seconds on one of two cores."""
    asked: dict[str, object] = {"requests_per_month": 1e6}
    found = terms("full", objective=asked, hardware={"usd_per_gpu_hour": [2, 2]})
    assert mean(found, "serving") == pytest.approx(12e6 * 0.035 / 3 / 2 / 3600 * 2, rel=0.05)
    assert "serving" not in terms("full").parts


def test_each_update_trains_again_and_takes_a_quarter_of_the_people() -> None:
    found = terms("baseline", objective={"updates_per_year": 2})
    assert mean(found, "updates") == pytest.approx(2 * (mean(found, "training") + 0.25 * mean(found, "people")))


def test_delay_costs_its_months_but_never_more_than_the_year() -> None:
    month: dict[str, object] = {"month_of_delay_usd": 1000}
    assert mean(terms("baseline", objective=month), "delay") == pytest.approx(1000 * 8 / 160, rel=0.01)
    slow = terms("full", objective=month, team={"people_hours": {"full": 1e6}})
    assert np.all(slow.parts["delay"] <= 12_000)
    assert mean(slow, "delay") == pytest.approx(12_000)


def test_electricity_counts_where_its_price_and_power_are_known() -> None:
    found = terms("baseline", hardware={"usd_per_kwh": 0.5, "watts": 1000})
    assert found.hours
    assert mean(found, "electricity") == pytest.approx(0.5 * found.hours.value, rel=0.1)
    assert "electricity" not in terms("baseline", hardware={"usd_per_kwh": 0.5}).parts


def test_two_branches_of_equal_effort_fail_alike_in_every_draw() -> None:
    free: dict[str, object] = {"usd_per_gpu_hour": [0, 0]}
    full, lora = terms("full", hardware=free), terms("lora", hardware=free)
    assert np.array_equal(full.parts["failed_attempts"], lora.parts["failed_attempts"])
