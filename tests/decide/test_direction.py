"""A loss, of which less is better, is decided like the score that it mirrors."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tasks import formats
from tasks.choice import Case, choose, meets, regrets
from tasks.crossover import crossover
from tasks.decide import case_of, decide
from tasks.flips import flips
from tasks.params import Params
from tasks.records import Metric, Pilot, Quality
from tests.decide import synthetic
from tests.decide.synthetic import LAWS, Law


def settings(**objective: object) -> Params:
    """The synthetic log loss is 1.6 x (1 - accuracy). (No task that the settings know yet aims at it.)"""
    given = synthetic.settings()
    return given.model_copy(update={"objective": given.objective.model_copy(update={"metric": "log_loss"} | objective)})


def case(laws: dict[tuple[str, str | None], Law] = LAWS, **objective: object) -> Case:
    return case_of(synthetic.inputs(settings(**objective), laws, noise=0.0))


def test_the_lowest_loss_is_best() -> None:
    best = choose(case(target=None))
    lowest = min(best.terms, key=lambda t: t.outlook.predicted.value or 9.9)
    assert best.chosen
    assert best.chosen.outlook.pair.branch == lowest.outlook.pair.branch == "full"


def test_a_target_is_met_from_above() -> None:
    metric = Metric.of("log_loss", 0.3)
    outlook = next(o for o in case().evidence.at(2400) if o.pair.key == ("full", "MiniLM-L6"))
    assert meets(outlook, metric) == pytest.approx(float((outlook.quality <= 0.3).mean()))  # type: ignore[operator]
    easy, hard = (meets(outlook, Metric.of("log_loss", target)) or 0.0 for target in (0.5, 0.05))
    assert easy > 0.95 > 0.05 > hard


def test_points_count_what_is_better() -> None:
    assert Metric.of("log_loss", None).points(0.2, 0.3) == pytest.approx(10)
    assert Metric.of("accuracy", None).points(0.2, 0.3) == pytest.approx(-10)
    assert Metric.of("bits_per_byte", None).reached(9.0)


def test_regret_is_least_for_the_lowest_loss_and_never_negative() -> None:
    given = case(target=None, value_per_point_usd=1e6)
    chosen = choose(given)
    lost = [r for r in regrets(given, chosen) if r is not None]
    assert min(lost) >= 0
    best = min(range(len(lost)), key=lambda i: lost[i])
    assert chosen.terms[best].outlook.pair.branch == "full"


def test_labels_are_asked_for_where_more_rows_reach_the_loss_aimed_at() -> None:
    slow = LAWS | {("full", "MiniLM-L6"): Law(0.45, 0.35, 0.0)}
    assert choose(case(slow, target=0.12)).verdict.status == "label_more"


def test_a_stricter_target_flips_below_and_the_record_and_its_neighbours_hold() -> None:
    given = case(target=0.35)
    old = choose(given).what
    strict = [f for f in flips(given) if f.constraint == "target" and f.side == "below"]
    assert strict
    at = float(strict[0].at or 0)
    aim = given.objective.model_copy(update={"target": at})
    assert at < 0.35
    assert choose(replace(given, objective=aim)).what != old


def test_scratch_crosses_where_its_loss_falls_below() -> None:
    steep = LAWS | {("scratch", None): Law(0.42, 0.7, 0.02, 0.012)}
    by_loss, by_score = (
        crossover(case_of(synthetic.inputs(s, steep, stopped=(), noise=0.0)).evidence)
        for s in (settings(), synthetic.settings())
    )
    assert by_loss.status == by_score.status == "within x32"
    assert by_loss.n == pytest.approx(by_score.n, rel=1.0)


@pytest.mark.parametrize("metric", ["chrf", "exact_match", "bits_per_byte"])
def test_a_model_that_writes_is_weighed_against_knowing_nothing(metric: str) -> None:
    given = synthetic.inputs(settings(metric=metric, target=None), noise=0.0)

    def written(pilot: Pilot) -> Pilot:
        qualities = [Quality(**{metric: c.quality.accuracy}) for c in pilot.cells]
        cells = [c.model_copy(update={"quality": q}) for c, q in zip(pilot.cells, qualities, strict=True)]
        return pilot.model_copy(update={"cells": cells})

    as_written = {part: {b: written(p) for b, p in getattr(given, part).items()} for part in ("screens", "pilots")}
    verdict = choose(case_of(replace(given, **as_written, audit=given.audit.model_copy(update={"labels": {}})))).verdict
    assert verdict.status == "chosen" or verdict.branch == "baseline"


def test_the_whole_record_is_written() -> None:
    decision, _ = decide(synthetic.inputs(settings(target=0.3)))
    assert decision.metric.higher_is_better is False
    assert decision.tradeoff[-1].value < decision.tradeoff[0].value


def test_what_is_uncertain_has_the_unit_of_the_metric() -> None:
    assert formats.apart(4.2, "accuracy") == "4.2 points"
    assert formats.apart(4.2, "bits_per_byte") == "0.0420 bits per byte"
    quality = decide(synthetic.inputs(settings(target=0.3)))[0].uncertain[0]
    assert re.match(r"Quality: ±0\.\d+ of log_loss ", quality)
