"""Batches: each row once an epoch, a pure function of the step, little padding."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.recipes import recipe
from tasks.trainers import BRANCHES, Job, text
from tasks.trainers.fit import fit
from tasks.trainers.text import Batches
from tests.trainers.conftest import make_rows


@pytest.fixture
def made(make_job: Callable[..., Job]) -> Callable[..., Batches]:
    def make(n: int, seed: int = 0, **recipe: object) -> Batches:
        draw = np.random.default_rng(1)
        ids = [list(range(1, int(length) + 1)) for length in draw.integers(4, 60, n)]
        return Batches(ids, list(range(n)), make_job("full", seed=seed, recipe={"epochs": 3} | recipe), 0)

    return make


def rows_of(batches: Batches, step: int) -> list[int]:
    return [int(row) for batch in batches(step) for row in batch.targets]


@pytest.mark.parametrize("n", [1, 15, 16, 17, 100, 3000])
def test_each_epoch_sees_each_row_once_in_steps_of_nearly_equal_size(n: int, made: Callable[..., Batches]) -> None:
    batches = made(n)
    steps = [rows_of(batches, step) for step in range(batches.a_epoch)]
    assert sorted(row for step in steps for row in step) == list(range(n))
    assert max(map(len, steps)) - min(map(len, steps)) <= 1
    assert batches.steps == 3 * batches.a_epoch


def test_a_step_is_the_same_asked_in_any_order_and_by_a_new_object(made: Callable[..., Batches]) -> None:
    batches = made(100)
    forward = [rows_of(batches, step) for step in range(batches.steps)]
    backward = [rows_of(made(100), step) for step in reversed(range(batches.steps))]
    assert forward == backward[::-1]


def test_epochs_and_seeds_differ(made: Callable[..., Batches]) -> None:
    batches = made(100)
    assert batches.order(0) != batches.order(1)
    assert batches.order(0) != made(100, seed=1).order(0)


def test_padding_is_below_a_tenth_of_the_tokens(made: Callable[..., Batches]) -> None:
    batches = made(960)
    passes = [batch for step in range(batches.a_epoch) for batch in batches(step)]
    padded = sum(batch.inputs["input_ids"].numel() for batch in passes)
    assert padded / sum(batch.tokens for batch in passes) < 1.1


def test_no_pass_is_longer_than_the_budget_and_no_row_is_lost(made: Callable[..., Batches]) -> None:
    batches = made(100, tokens_a_pass=128)
    passes = [batches(step) for step in range(batches.a_epoch)]
    assert max(len(parts) for parts in passes) > 1
    assert all(batch.inputs["input_ids"].numel() <= 128 for parts in passes for batch in parts)
    assert sorted(int(row) for parts in passes for batch in parts for row in batch.targets) == list(range(100))


def test_recipes_are_json_and_equal_for_equal_arguments() -> None:
    for branch in BRANCHES["text-classification"]:
        made = recipe(branch, "text-classification", 240)
        assert json.loads(json.dumps(made)) == made == recipe(branch, "text-classification", 240)


def test_a_word_table_cut_to_the_rows_trains_like_the_whole_one(make_job: Callable[..., Job], base: Path) -> None:
    job = make_job("full", documents=make_rows(40, ["negative", "positive"]), recipe={"weight_decay": 0.0, "epochs": 2})
    cut, whole = text.classifier(base, job), text.classifier(base, job)
    before = whole.get_input_embeddings().weight.detach().clone()
    data = text.batches(job, base, 0)
    with text.only_seen_words(cut, data):
        assert len(cut.get_input_embeddings().weight) < len(before)
        fit(cut, data, text.cross_entropy, job)
    fit(whole, text.batches(job, base, 0), text.cross_entropy, job)
    assert not torch.equal(before, whole.get_input_embeddings().weight)
    for (name, ours), theirs in zip(cut.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4, msg=name)


def test_loss_and_gradients_equal_those_of_transformers_for_the_same_batch(make_job: Callable[..., Job], base: Path) -> None:
    job = make_job("full")
    ours, theirs = text.classifier(base, job), text.classifier(base, job)
    batch = text.batches(job, base, 0)(0)[0]
    loss = text.cross_entropy(ours, batch) / batch.weight
    reference = theirs(**batch.inputs, labels=batch.targets).loss
    loss.backward()
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), abs=1e-6)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-6, rtol=1e-5)
