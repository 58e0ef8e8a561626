"""What `make examples` makes of pilots and full runs."""

from __future__ import annotations

import pytest

from tasks.records import Cell, Measured, Metric, Quality
from tests.benchmarks import examples


def cell(branch: str, n: int, seed: int, value: float) -> Cell:
    took = Measured(
        cpu_seconds=1, wall_seconds=1, predict_cpu_seconds=1, peak_gb=1, model_gb=1, tokens=0, machine="any", cores=1
    )
    return Cell(
        key="", branch=branch, base_model=None, base_sha256=None, recipe={}, seed=seed, n=n, n_heldout=10, train_sha256="",
        heldout_sha256="", quality=Quality(bits_per_byte=value), measured=took,
    )  # fmt: skip


def measured(verdict: str, noise: float | None) -> examples.Measured:
    return examples.Measured(
        example="proofs", commit="abc", metric=Metric.of("bits_per_byte", 2.5), rows=100, verdict=verdict,
        predicted=(2.1, 2.0, 2.2), in_full={"lora SmolLM2": 2.1, "scratch": 2.0}, noise=noise, wall_seconds=1, cpu_seconds=2,
    )  # fmt: skip


def test_noise_is_that_of_the_largest_rung_that_was_repeated() -> None:
    cells = [cell("lora", 50, 0, 1.0), cell("lora", 50, 1, 9.0), cell("scratch", 200, 0, 7.0)]
    assert examples.noise(cells[2:], "bits_per_byte") is None
    for branch, values in {"lora": (2.0, 2.2), "scratch": (3.0, 3.4)}.items():
        cells += [cell(branch, 100, seed, value) for seed, value in enumerate(values)]
    pooled = (0.02 + 0.08) / 2
    assert examples.noise(cells, "bits_per_byte") == pytest.approx(1.645 * (2 * pooled) ** 0.5)


def test_regret_counts_in_the_direction_of_the_metric_and_is_within_noise_up_to_it() -> None:
    assert measured("scratch", None).regret == 0
    assert measured("scratch", None).within
    assert measured("lora SmolLM2", 0.2).regret == pytest.approx(0.1)
    assert measured("lora SmolLM2", 0.2).within
    assert not measured("lora SmolLM2", 0.09).within
    assert not measured("lora SmolLM2", None).within


def test_a_verdict_for_no_branch_is_not_counted_as_right() -> None:
    one = measured("no_branch_fits", 0.2)
    assert one.regret is None
    assert examples.table([one, measured("scratch", 0.2)]).endswith("1 of 2 within seed noise")
