"""Packed rows lose and repeat nothing; rows of documents carry exactly their targets. Pure functions of (seed, step)."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from tasks.trainers import Job
from tasks.trainers.causal.packing import IGNORED, Packed, Rows
from tasks.trainers.causal.tokens import Tokens

DRAW = random.Random(0)
DOCUMENTS = [[0, *(DRAW.randrange(1, 500) for _ in range(DRAW.randrange(1, 60)))] for _ in range(40)]
TOTAL = sum(map(len, DOCUMENTS))


def job(**recipe: Any) -> Job:
    settings = {"max_tokens": 16, "tokens_a_step": 64, "tokens_a_pass": 64, "epochs": 1} | recipe
    return Job("scratch", settings, None, [], [], 3, Path("unused"), task="text-generation")


def split(stream: list[int]) -> list[tuple[int, ...]]:
    starts = [i for i, token in enumerate(stream) if token == 0] + [len(stream)]
    return [tuple(stream[a:b]) for a, b in itertools.pairwise(starts)]


def test_an_epoch_of_packed_rows_is_every_document_once_end_to_end() -> None:
    packed = Packed(Tokens.of(DOCUMENTS), job())
    assert sorted(split(packed.read(0, TOTAL).tolist())) == sorted(map(tuple, DOCUMENTS))
    assert split(packed.read(TOTAL, TOTAL).tolist()) != split(packed.read(0, TOTAL).tolist()), "each epoch has its own order"


def test_steps_cover_the_stream_without_gap_and_targets_are_the_next_tokens() -> None:
    packed = Packed(Tokens.of(DOCUMENTS), job(epochs=2))
    batches = [batch for step in range(packed.steps) for batch in packed(step)]
    given = [token for batch in batches for token in batch.inputs["input_ids"].flatten().tolist()]
    wanted = [token for batch in batches for token in batch.targets.flatten().tolist()]
    stream = packed.read(0, len(given) + 1).tolist()
    assert len(given) >= 2 * TOTAL
    assert (given, wanted) == (stream[:-1], stream[1:])


def test_any_step_is_the_same_whatever_was_asked_before() -> None:
    straight, jumping = Packed(Tokens.of(DOCUMENTS), job(epochs=3)), Packed(Tokens.of(DOCUMENTS), job(epochs=3))
    seen = [straight(step)[0].targets.tolist() for step in range(straight.steps)]
    for step in random.Random(1).sample(range(straight.steps), straight.steps):
        assert jumping(step)[0].targets.tolist() == seen[step]


@pytest.mark.parametrize("pass_tokens", [16, 64])
def test_a_step_in_several_passes_has_the_same_rows(pass_tokens: int) -> None:
    packed = Packed(Tokens.of(DOCUMENTS), job(tokens_a_pass=pass_tokens))
    assert len(packed(0)) == 64 // pass_tokens
    assert sum(batch.weight for batch in packed(0)) == 64


def test_an_epoch_of_rows_foretells_each_token_of_each_document_once() -> None:
    rows = Rows(DOCUMENTS, job())
    pairs = [pair for step in range(rows.steps) for batch in rows(step) for pair in told(batch)]
    expected = [pair for document in DOCUMENTS for pair in itertools.pairwise(document)]
    assert sorted(pairs) == sorted(expected)
    assert all(batch.targets.shape[1] <= 16 for step in range(rows.steps) for batch in rows(step))


def test_only_what_has_a_target_counts() -> None:
    masked = [[IGNORED] * (len(document) // 2) + document[len(document) // 2 :] for document in DOCUMENTS]
    rows = Rows(DOCUMENTS, job(), masked)
    weight = sum(batch.weight for step in range(rows.steps) for batch in rows(step))
    assert weight == sum(token != IGNORED for targets in masked for token in targets[1:])
    assert all(batch.weight > 0 for step in range(rows.steps) for batch in rows(step))


def test_no_step_is_empty_however_uneven_the_documents_are() -> None:
    rows = Rows([[1] * 15, *[[1, 2]] * 3, [1] * 40], job(tokens_a_step=8))
    assert all(rows(step) for step in range(rows.steps))


def told(batch: Any) -> list[tuple[int, int]]:
    given, wanted = batch.inputs["input_ids"].flatten().tolist(), batch.targets.flatten().tolist()
    return [(a, b) for a, b in zip(given, wanted, strict=True) if b != IGNORED]
