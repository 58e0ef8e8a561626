"""The engine alone, on a two-layer net and numbers: deterministic, independent of passes and callbacks, and equal to torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tasks.trainers import Job
from tasks.trainers.fit import Batch, fit, seed, share_of_rate

RECIPE = {
    "learning_rate": 0.01,
    "betas": [0.9, 0.999],
    "weight_decay": 0.01,
    "clip": 1.0,
    "schedule": "cosine",
    "warmup_share": 0.1,
}


class Numbers:
    """Eight rows a step, drawn from (seed, step), cut into `passes`."""

    def __init__(self, steps: int, passes: int = 1) -> None:
        self.steps, self.passes = steps, passes

    def __call__(self, step: int) -> list[Batch]:
        draw = torch.Generator().manual_seed(step)
        rows = torch.randn(8, 5, generator=draw)
        targets = (rows.sum(dim=1) > 0).long()
        parts = zip(
            rows.split([1, 7] if self.passes == 2 else 8), targets.split([1, 7] if self.passes == 2 else 8), strict=True
        )
        return [Batch({"input": x}, y, len(x), len(x)) for x, y in parts]


def net(dropout: float = 0.1) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 2))


def loss(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(model(batch.inputs["input"]), batch.targets, reduction="sum")


def job(**changes: Any) -> Job:
    fields: dict[str, Any] = {
        "branch": "full",
        "recipe": RECIPE,
        "base": None,
        "labels": [],
        "documents": [],
        "seed": 0,
        "folder": Path("unused"),
    }
    return Job(**fields | changes)


def trained(steps: int = 12, passes: int = 1, dropout: float = 0.1, **changes: Any) -> list[Tensor]:
    model = net(dropout)
    fit(model, Numbers(steps, passes), loss, job(**changes), autocast=False)
    return [p.detach() for p in model.parameters()]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    assert equal(trained(), trained())
    assert not equal(trained(), trained(seed=1))


def test_a_callback_that_draws_random_numbers_changes_nothing() -> None:
    assert equal(trained(), trained(on_progress=lambda done, total: torch.rand(done + total)))


def test_cutting_a_step_into_uneven_passes_changes_only_the_rounding() -> None:
    for whole, cut in zip(trained(dropout=0.0), trained(dropout=0.0, passes=2), strict=True):
        torch.testing.assert_close(whole, cut, atol=1e-6, rtol=1e-5)


def test_steps_equal_those_of_a_plain_torch_loop() -> None:
    model, data = net(0.0), Numbers(12)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}], lr=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_rate(step, 12, RECIPE))
    for step in range(12):
        batch = data(step)[0]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch.inputs["input"]), batch.targets).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    for ours, theirs in zip(trained(dropout=0.0), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.detach(), atol=1e-6, rtol=1e-5)


def test_the_learning_rate_warms_up_and_ends_near_zero() -> None:
    cosine = [share_of_rate(step, 100, RECIPE) for step in range(100)]
    assert cosine[:2] == [0.1, 0.2]
    assert max(cosine) == cosine[9] == 1.0
    assert 0 < cosine[-1] < 0.01
    wsd = [share_of_rate(step, 100, RECIPE | {"schedule": "wsd", "decay_share": 0.2}) for step in range(100)]
    assert wsd[10] == wsd[79] == 1.0
    assert wsd[99] == pytest.approx(0.05)


def test_metrics_are_one_json_line_a_step(tmp_path: Path) -> None:
    trained(metrics=tmp_path / "metrics.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert set(lines[0]) == {"step", "loss", "lr", "grad_norm", "tokens_per_s", "peak_gb"}
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_a_step_draws_what_torch_draws_after_the_same_seed() -> None:
    seed(7, torch.device("cpu"))
    ours = torch.rand(5)
    torch.manual_seed(7)
    assert torch.equal(ours, torch.rand(5))
