"""The ranking of base models, and the arithmetic of the benchmark that measures it."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from tasks.bases import NOISE, Screened, ranked, ranking
from tasks.records import Candidate, Cell, Quality
from tasks.records import Measured as Measured_
from tasks.shape import Shape
from tests.benchmarks.bases import Measured, cost_share, regrets, seed_noise

DEEP = Screened("deep", -0.50, 12, 40_000_000, 1.4)
SHALLOW = Screened("shallow", -0.50 + 1.5 * NOISE, 3, 17_000_000, 1.3)
BAD = Screened("bad", -0.60, 24, 99_000_000, 1.2)


def test_a_clearly_better_probe_leads_whatever_the_depth() -> None:
    assert [one.name for one in ranking([BAD, SHALLOW])] == ["shallow", "bad"]


def test_two_doublings_of_the_depth_outweigh_one_and_a_half_standard_errors_and_no_more() -> None:
    assert [one.name for one in ranking([SHALLOW, BAD, DEEP])] == ["deep", "shallow", "bad"]
    assert ranking([replace(SHALLOW, probe=-0.50 + 2.5 * NOISE), DEEP])[0].name == "shallow"


def test_the_ranking_does_not_depend_on_the_order_and_nothing_is_lost() -> None:
    assert ranking([DEEP, SHALLOW, BAD]) == ranking([BAD, DEEP, SHALLOW])
    assert ranking([]) == []


def candidate(name: str, layers: int) -> Candidate:
    shape = asdict(Shape(2e7, layers, 384, 1536, 384, 30000))
    about = {"sha256": "0", "licence": "mit", "source": "-", "parameters": 20_000_000, "bytes": 80_000_000, "max_tokens": 512}
    return Candidate(name=name, fertility=1.3, shape=shape, **about)


def probe(base: str, n: int, log_loss: float) -> Cell:
    took = Measured_(cpu_seconds=1, wall_seconds=1, predict_cpu_seconds=1, peak_gb=1, model_gb=0.1, tokens=1, machine="-")
    quality = Quality(accuracy=0.8, macro_f1=0.8, log_loss=log_loss)
    about = {"recipe": {}, "seed": 0, "n_heldout": 1, "train_sha256": "-", "heldout_sha256": "-", "base_sha256": None}
    return Cell(key="k", branch="probe", base_model=base, n=n, quality=quality, measured=took, **about)


def test_the_screens_cells_rank_the_candidates_on_the_largest_rung_that_all_share() -> None:
    cells = [probe("a", 100, 0.6), probe("a", 100, 0.7), probe("a", 200, 0.1), probe("b", 100, 0.5), probe("unknown", 100, 0.1)]
    first, second = ranked(cells, [candidate("a", 6), candidate("b", 3)])
    assert (first.name, first.probe_log_loss, second.name, second.probe_log_loss) == ("b", 0.5, "a", pytest.approx(0.65))
    assert (first.licence, first.model_gb, second.rank) == ("mit", 0.08, 2)
    assert ranked([], [candidate("a", 6)]) == []


def measured(base: str, seed: int, probe: float, pilot: float, layers: int = 6) -> Measured:
    return Measured("d", base, seed, 10, layers, 1.3, probe, 1.0, pilot, 10.0)


def test_a_choice_is_judged_by_the_seed_that_piloting_all_did_not_see() -> None:
    """Seed 0 pilots say a, which gets .70 in seed 1; the screen says b, which gets .72 there: 2 points won."""
    rows = [
        measured("a", 0, -0.9, 0.80),
        measured("b", 0, -0.5, 0.75),
        measured("a", 1, -0.9, 0.70),
        measured("b", 1, -0.5, 0.72),
    ]
    ours = regrets(rows)[0]
    assert ours.lost == pytest.approx([-2.0, 0.0])
    assert ours.same == 1
    assert ours.pairs == (1, 2)  # b, a against .70 and .72: right; b, a against .80 and .75: wrong


def test_noise_and_cost_are_those_of_the_pilots() -> None:
    rows = [measured("a", 0, -0.9, 0.80), measured("a", 1, -0.9, 0.82)]
    assert seed_noise(rows) == pytest.approx(100 * 0.02 / 2**0.5)
    assert cost_share([replace(row, screen_cpu_s=1.5) for row in rows]) == pytest.approx(0.15)
