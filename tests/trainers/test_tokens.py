"""Token ids on disk are those in memory, are written once, and are never read from files that changed."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import trainers
from tasks.stage import Interrupted
from tasks.trainers import Job
from tasks.trainers.causal import tokens
from tasks.trainers.causal.packing import Packed
from tasks.trainers.causal.tokens import Tokens, kept
from tests.trainers.language import make_base, make_job

DRAW = random.Random(0)
DOCUMENTS = [[0, *(DRAW.randrange(1, 1 << 32) for _ in range(DRAW.randrange(30)))] for _ in range(4500)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of checkpoints; shards have some 20,000 ids."""
    monkeypatch.setattr(tokens, "SHARD", 20_000)
    return tmp_path / "checkpoints"


def never() -> Iterator[list[int]]:
    raise AssertionError("asked for documents")
    yield


def equal(one: Tokens, other: Tokens) -> bool:
    return len(one) == len(other) and all(np.array_equal(one.document(i), other.document(i)) for i in range(len(one)))


def test_batches_from_disk_are_those_from_memory(place: Path) -> None:
    recipe = {"max_tokens": 64, "tokens_a_step": 4096, "tokens_a_pass": 2048, "epochs": 2}
    job = Job("scratch", recipe, None, [], [], 3, Path("unused"), task="text-generation")
    disk = kept(place, "these", iter(DOCUMENTS))
    assert len(disk.shards) > 2
    assert all(isinstance(shard, np.memmap) for shard in disk.shards)
    ours, theirs = Packed(disk, job), Packed(Tokens.of(DOCUMENTS), job)
    assert ours.steps == theirs.steps
    for step in range(ours.steps):
        for a, b in zip(ours(step), theirs(step), strict=True):
            assert a.inputs["input_ids"].equal(b.inputs["input_ids"])
            assert a.targets.equal(b.targets)


def test_what_is_whole_and_made_of_the_same_is_not_made_again(place: Path) -> None:
    kept(place, "these", DOCUMENTS)
    assert equal(kept(place, "these", never()), Tokens.of(DOCUMENTS))
    with pytest.raises(AssertionError, match="asked for"):
        kept(place, "others", never())


def changed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [changed, lambda file: os.truncate(file, file.stat().st_size // 2), Path.unlink])
@pytest.mark.parametrize("name", ["000001.ids", "starts.npy", "manifest.json"])
def test_a_torn_changed_or_lost_file_is_made_anew(name: str, harm: Callable[[Path], None], place: Path) -> None:
    kept(place, "these", DOCUMENTS)
    harm(place / "tokens" / name)
    assert equal(kept(place, "these", DOCUMENTS), Tokens.of(DOCUMENTS))
    assert equal(kept(place, "these", never()), Tokens.of(DOCUMENTS))


def test_stopped_while_it_writes_nothing_is_there_and_the_next_begins_anew(place: Path) -> None:
    with pytest.raises(AssertionError, match="asked for"):
        kept(place, "these", (document for part in (DOCUMENTS, never()) for document in part))
    assert not (place / "tokens").exists()
    assert equal(kept(place, "these", DOCUMENTS), Tokens.of(DOCUMENTS))
    assert [path.name for path in place.iterdir()] == ["tokens"]


def tokenized(job: Job) -> int:
    """Train `job`, until it ends or is stopped; how often the tokenizer was called."""
    calls = 0

    def note(_frame: Any, event: str, called: Any) -> None:
        nonlocal calls
        calls += event == "c_call" and called.__name__ == "encode_batch"

    sys.setprofile(note)
    try:
        trainers.train(job)
    except Interrupted:
        pass
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("branch", ["scratch", "continued"])
def test_a_resumed_training_does_not_tokenize_again_and_ends_in_the_same_bits(branch: str, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "llama") if branch == "continued" else None
    straight = make_job(branch, tmp_path / "straight", base, recipe={"epochs": 1})
    job = replace(straight, folder=tmp_path / "model", checkpoints=tmp_path / "checkpoints")

    def stop(done: int, _total: int) -> None:
        if done == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    assert tokenized(replace(job, on_progress=stop)) == 1
    assert not job.folder.exists()
    assert tokenized(job) == 0
    assert tokenized(straight) == 1
    assert (job.folder / "model.safetensors").read_bytes() == (straight.folder / "model.safetensors").read_bytes()
    other = replace(job, documents=job.documents[1:])
    assert tokenized(other) == 1, "of other rows"
