"""Language models: each branch on each family learns and comes back as it was; killed, a training ends in the same bits."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks import trainers
from tasks.serving.causal import Causal
from tasks.stage import Interrupted
from tasks.trainers import Job
from tasks.trainers.causal import bases
from tasks.trainers.causal.packing import Rows
from tasks.trainers.fit import Batch
from tests.trainers.language import FAMILIES, make_base, make_job, sentences

HELD = [row.text for row in sentences(40, seed=1)]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("families")
    return {family: make_base(place / family, family) for family in FAMILIES}


def bits_per_byte(folder: Path, texts: list[str]) -> float:
    about = json.loads((folder / "serving.json").read_text())
    nats = Causal(folder, about).nats(texts)
    return sum(nats) / math.log(2) / sum(len(text.encode()) for text in texts)


def losses(job: Job) -> list[float]:
    assert job.metrics is not None
    return [json.loads(line)["loss"] for line in job.metrics.read_text().splitlines()]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("branch", ["lora", "full", "continued"])
def test_fifty_steps_lower_the_loss_and_the_folder_gives_what_was_trained(
    branch: str, family: str, shelf: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    kept: list[Any] = []
    save = bases.save
    monkeypatch.setattr(bases, "save", lambda model, *rest: (kept.append(model), save(model, *rest)))
    job = make_job(branch, tmp_path, shelf[family], metrics=tmp_path / "metrics.jsonl")
    trained = trainers.train(job)
    seen = losses(job)
    assert trained.steps_done == trained.steps_planned >= 40
    assert np.mean(seen[-5:]) < 0.9 * np.mean(seen[:5])
    loaded = AutoModelForCausalLM.from_pretrained(job.folder)
    ids = torch.arange(40).reshape(2, 20)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(ids).logits, kept[0].eval()(ids).logits, atol=1e-5, rtol=1e-4)


def test_from_scratch_learns_the_language_and_its_folder_reads_and_writes_it(tmp_path: Path) -> None:
    job = make_job("scratch", tmp_path, None, documents=sentences(400))
    trainers.train(job)
    entropy = math.log2(4 * 4 * 4) / np.mean([len(text.encode()) for text in HELD])
    assert entropy < bits_per_byte(job.folder, HELD) < 2 * entropy
    model = Causal(job.folder, json.loads((job.folder / "serving.json").read_text()))
    assert model.answers(["the cat"])[0].strip().split()[0] in ("sees", "likes", "hears", "finds")


@pytest.mark.parametrize("branch", ["lora", "full", "continued", "scratch"])
def test_the_same_rows_in_another_order_give_the_same_bytes(branch: str, shelf: dict[str, Path], tmp_path: Path) -> None:
    base = None if branch == "scratch" else shelf["llama"]
    job = make_job(branch, tmp_path, base, recipe={"epochs": 1})
    trainers.train(job)
    again = replace(job, documents=job.documents[::-1], folder=tmp_path / "again")
    trainers.train(again)
    assert {p.name: p.read_bytes() for p in job.folder.iterdir()} == {p.name: p.read_bytes() for p in again.folder.iterdir()}


@pytest.mark.parametrize(
    ("branch", "optimizer"), [("scratch", "adamw"), ("scratch", "muon"), ("lora", "adamw"), ("continued", "muon")]
)
def test_stopped_in_the_middle_of_a_document_a_training_ends_in_the_same_bits(
    branch: str, optimizer: str, shelf: dict[str, Path], tmp_path: Path
) -> None:
    base = None if branch == "scratch" else shelf["llama"]
    recipe = {"optimizer": optimizer, "epochs": 2}
    straight = make_job(branch, tmp_path / "straight", base, recipe=recipe)
    trainers.train(straight)

    def stop(done: int, _total: int) -> None:
        if done == 11:
            os.kill(os.getpid(), signal.SIGTERM)

    job = replace(straight, folder=tmp_path / "model", checkpoints=tmp_path / "checkpoints")
    with pytest.raises(Interrupted, match="step 11 of"):
        trainers.train(replace(job, on_progress=stop))
    seen = list[int]()
    trainers.train(replace(job, on_progress=lambda done, _total: seen.append(done)))
    assert seen[0] == 12
    assert (job.folder / "model.safetensors").read_bytes() == (straight.folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_of_padded_rows_is_transformers_own(family: str, shelf: dict[str, Path], tmp_path: Path) -> None:
    """One row at a time, no padding, labels to transformers: the sums agree."""
    job = make_job("full", tmp_path, shelf[family], documents=sentences(24))
    documents = list(bases.documents(job, shelf[family]))
    model = bases.load(shelf[family], 32).eval()
    rows = Rows(documents, job)
    theirs = bases.load(shelf[family], 10_000).eval()
    with torch.no_grad():
        ours = sum(float(bases.next_token(model, batch)) for step in range(rows.a_epoch) for batch in rows(step))
        alone = [(len(d) - 1, theirs(input_ids=torch.tensor([d]), labels=torch.tensor([d])).loss) for d in documents]
    expected = sum(count * float(loss) for count, loss in alone)
    assert ours == pytest.approx(expected, rel=1e-5)


def test_gradients_of_what_has_a_target_alone_are_transformers_own(shelf: dict[str, Path]) -> None:
    given = torch.arange(60).reshape(3, 20)
    labels = given.clone()
    labels[:, :9] = -100
    ours, theirs = bases.load(shelf["llama"], 32), bases.load(shelf["llama"], 10_000)
    batch = Batch({"input_ids": given[:, :-1]}, labels[:, 1:], int((labels[:, 1:] != -100).sum()), given.numel())
    (bases.next_token(ours, batch) / batch.weight).backward()
    theirs(input_ids=given, labels=labels).loss.backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-6, rtol=1e-4, msg=name)


def test_replay_is_text_that_the_base_writes_and_a_function_of_the_seed(shelf: dict[str, Path]) -> None:
    from tasks.trainers.causal.continued import replay

    model = bases.load(shelf["llama"], 32)
    texts = replay(model, (0, 0), 100, 32, seed=5)
    assert sum(map(len, texts)) >= 100
    assert all(ids[0] == 0 and 0 not in ids[1:] and len(ids) <= 32 for ids in texts)
    assert texts == replay(model, (0, 0), 100, 32, seed=5) != replay(model, (0, 0), 100, 32, seed=6)
