"""A causal base asked for labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tasks import serving, trainers
from tasks.recipes import recipe
from tasks.serving.causal import causal_model, chat_tokenizer
from tasks.serving.choices import label_scores
from tasks.stage import UserError
from tasks.trainers import Job
from tests.trainers.conftest import make_base, make_rows
from tests.trainers.tiny import make_llama

LABELS = ["negative", "positive"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("shelf") / "llama", texts=[row.text for row in make_rows(50, LABELS)])


def job(base: Path, folder: Path) -> Job:
    return Job("prompt", recipe("prompt", "text-classification", 60), base, LABELS, make_rows(60, LABELS), 0, folder)


def test_a_prompt_weighs_the_labels_after_the_text_and_leaves_the_base_as_it_was(llama: Path, tmp_path: Path) -> None:
    trained = trainers.train(job(llama, tmp_path / "model"))
    model = serving.load(tmp_path / "model")
    shares = model.probabilities(["the film was lovely", "the film was dull", ""])
    assert shares.shape == (3, 2)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    assert model.probabilities([]).shape == (0, 2)
    assert (trained.steps_done, trained.tokens) == (1, 0)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == (llama / "model.safetensors").read_bytes()


def test_of_zero_and_few_shot_with_and_without_a_prior_the_one_with_the_least_log_loss_is_kept(
    llama: Path, tmp_path: Path
) -> None:
    wanted = job(llama, tmp_path / "model")
    trainers.train(wanted)
    about = json.loads((tmp_path / "model" / "serving.json").read_text())
    solved = about["head"].count("Label:")
    assert (about["shots"], solved) in ((0, 0), (2, 4))
    known = {line.removeprefix("Text: ") for line in about["head"].splitlines() if line.startswith("Text: ")}
    asked = [row for row in wanted.documents if row.text not in known]
    assert len(asked) == 60 - solved
    model, tokenizer = causal_model(llama).eval(), chat_tokenizer(llama)
    scores = label_scores(model, tokenizer, about, LABELS, [row.text for row in asked])
    raw, weighed = serving.softmax(scores), serving.softmax(scores - np.array(about["prior"], np.float32))
    right = [LABELS.index(row.label) for row in asked]
    loss = [-np.log(shares[np.arange(len(right)), right]).mean() for shares in (raw, weighed)]
    assert loss[1] <= loss[0] + 0.05  # the 56 to 60 asked here are those that chose


def test_a_base_that_cannot_be_asked_is_the_users_mistake(tmp_path: Path) -> None:
    base = make_base(tmp_path / "bert")
    with pytest.raises(UserError, match="prompt: bert is a BertModel, which cannot be asked"):
        trainers.train(job(base, tmp_path / "model"))
