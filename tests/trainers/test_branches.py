"""Every branch: learns, leaves a folder that loads and scores, and says what it took."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import serving, trainers
from tasks.stage import UserError
from tasks.trainers import Job
from tests.trainers.conftest import SMALL, make_rows

MakeJob = Callable[..., Job]


def accuracy(folder: Path, labels: list[str]) -> float:
    rows = make_rows(90, labels, seed=1)
    model = serving.load(folder)
    guesses = model.probabilities([row.text for row in rows]).argmax(axis=1)
    return float(np.mean([model.labels[guess] == row.label for guess, row in zip(guesses, rows, strict=True)]))


@pytest.mark.parametrize("branch", SMALL)
def test_a_branch_learns_what_can_be_learnt_and_its_folder_serves(branch: str, make_job: MakeJob) -> None:
    job = make_job(branch)
    trained = trainers.train(job)
    assert accuracy(job.folder, job.labels) >= 0.9
    assert trained.steps_done == trained.steps_planned > 0
    assert trained.cpu_seconds > 0
    assert 0.01 < trained.peak_gb < 20
    assert {path.suffix for path in job.folder.rglob("*") if path.is_file()} <= {".json", ".safetensors"}


@pytest.mark.parametrize("branch", ["baseline", "probe", "full"])
def test_three_labels_are_learnt_as_well(branch: str, make_job: MakeJob) -> None:
    labels = ["negative", "neutral", "positive"]
    job = make_job(branch, documents=make_rows(120, labels), recipe={"epochs": 16})
    trainers.train(job)
    assert accuracy(job.folder, labels) >= 0.85


@pytest.mark.parametrize("branch", ["baseline", "probe", "full"])
def test_a_label_without_training_rows_gets_next_to_no_probability(branch: str, make_job: MakeJob) -> None:
    job = make_job(branch, labels=["negative", "neutral", "positive"], recipe={"epochs": 12})
    trainers.train(job)
    shares = serving.load(job.folder).probabilities(["the film was brilliant"])
    assert shares.shape == (1, 3)
    assert shares[0, 1] < 0.2
    assert shares.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("branch", ["baseline", "probe"])
def test_rows_of_one_label_only_still_give_a_model(branch: str, make_job: MakeJob) -> None:
    rows = [row for row in make_rows(40, ["negative", "positive"]) if row.label == "positive"]
    job = make_job(branch, documents=rows, labels=["negative", "positive"])
    trainers.train(job)
    assert serving.load(job.folder).probabilities(["x"]).argmax() == 1


@pytest.mark.parametrize("branch", SMALL)
def test_the_same_rows_in_another_order_give_the_same_bytes(branch: str, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(branch, recipe={"epochs": 2})
    trainers.train(job)
    again = make_job(branch, recipe={"epochs": 2}, documents=job.documents[::-1], folder=tmp_path / "again")
    trainers.train(again)
    assert {p.name: p.read_bytes() for p in job.folder.iterdir()} == {p.name: p.read_bytes() for p in again.folder.iterdir()}


@pytest.mark.parametrize("branch", ["lora", "full", "scratch"])
def test_transformers_alone_loads_a_folder_and_says_the_same(branch: str, make_job: MakeJob) -> None:
    from transformers import pipeline

    job = make_job(branch, recipe={"epochs": 1})
    trainers.train(job)
    text = "the film was lovely and brilliant"
    said = pipeline("text-classification", str(job.folder), top_k=None)(text)
    theirs = {answer["label"]: answer["score"] for answer in said[0]}
    ours = serving.load(job.folder).probabilities([text])[0]
    assert dict(zip(job.labels, ours.tolist(), strict=True)) == pytest.approx(theirs, abs=1e-5)


def test_the_baseline_imports_neither_torch_nor_transformers() -> None:
    code = "import sys; from tasks.trainers import baseline; from tasks import serving; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_probe_leaves_the_base_model_as_it_was(make_job: MakeJob, base: Path) -> None:
    job = make_job("probe")
    trainers.train(job)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (job.folder / name).read_bytes() == (base / name).read_bytes()


def test_with_nothing_to_learn_from_the_baseline_is_the_share_of_each_label(make_job: MakeJob) -> None:
    rows = [row.__class__(row.id, "same words", row.label, row.group) for row in make_rows(30, ["negative", "positive"])]
    job = make_job("baseline", documents=[*rows, *[row.__class__(f"x{row.id}", "same words", "positive", "g") for row in rows]])
    trainers.train(job)
    shares = serving.load(job.folder).probabilities(["same words"])[0]
    assert shares == pytest.approx([0.25, 0.75], abs=0.03)


def test_a_probe_on_known_rows_embeds_nothing_again_and_still_counts_its_cost(make_job: MakeJob) -> None:
    rows = make_rows(64, ["negative", "positive"], seed=7)
    first = trainers.train(make_job("probe", documents=rows))
    weights = serving.load(make_job("probe").folder)
    second = trainers.train(make_job("probe", documents=rows))
    again = serving.load(make_job("probe").folder)
    np.testing.assert_array_equal(weights.probabilities(["a film"]), again.probabilities(["a film"]))
    assert second.tokens == first.tokens > 0


@pytest.mark.parametrize(
    ("change", "named"),
    [({"branch": "prompt"}, "prompt"), ({"documents": [], "labels": []}, "no rows"), ({"base": None}, "base model")],
)
def test_a_job_that_cannot_be_trained_is_the_users_mistake(change: dict[str, Any], named: str, make_job: MakeJob) -> None:
    with pytest.raises(UserError, match=named):
        trainers.train(replace(make_job("full"), **change))


@pytest.mark.parametrize("branch", ["baseline", "probe", "lora", "full", "scratch"])
def test_what_is_longer_than_max_tokens_is_counted(branch: str, make_job: MakeJob) -> None:
    trained = trainers.train(job := make_job(branch, recipe={"max_tokens": 8, "epochs": 1, "tokenizers": ["bpe"]}))
    words = [len(row.text.split()) + 2 for row in job.documents]  # every word is a token; a mark on either side
    lost = [count - 8 for count in words if count > 8]
    assert 10 < len(lost) < 90
    expected = (0, 0) if branch == "baseline" else (len(lost), sum(lost))
    assert (trained.cut_rows, trained.cut_tokens) == expected
