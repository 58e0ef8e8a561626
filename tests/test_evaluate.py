"""The evaluation record, from scores given as literals."""

from pathlib import Path

import numpy as np
import pytest

from tasks.documents import Document
from tasks.evaluate import Scored, evaluation
from tasks.records import Training
from tests import pictures

ROWS = [Document(id=f"r{i}", text="x" * (10 + i % 60), label="ab"[i % 2], group=f"g{i}") for i in range(400)]
TRUTH = np.arange(400) % 2
TRAINING = Training(
    status="finished",
    plan_sha256="p",
    branch="full",
    base_model=None,
    recipe={},
    train_sha256="t",
    rows=100,
    labels=["a", "b"],
    steps_done=10,
    steps_planned=10,
    files={"model.safetensors": "f"},
    measured=None,
)


def right_in(share: float) -> Scored:
    """Scores that are right in the first `share` of each hundred rows."""
    right = np.arange(400) % 100 < share * 100
    guesses = np.where(right, TRUTH, 1 - TRUTH)
    return Scored(np.eye(2)[guesses] * 0.8 + 0.1, guesses)


def test_the_difference_to_each_baseline_is_paired_and_has_an_interval() -> None:
    record = evaluation(TRAINING, ROWS, {"model": right_in(0.9), "majority": right_in(0.5), "tfidf": right_in(0.9)}, "accuracy")
    against = {d.against: d for d in record.diff}
    assert record.metrics["accuracy"] == pytest.approx(0.9)
    assert against["majority"].value == pytest.approx(0.4)
    assert 0.34 < against["majority"].low95 < 0.4 < against["majority"].high95 < 0.46
    assert (against["tfidf"].value, against["tfidf"].low95, against["tfidf"].high95, against["tfidf"].p) == (0, 0, 0, 1)


def test_slices_cover_every_label_and_every_length_once() -> None:
    record = evaluation(TRAINING, ROWS, {"model": right_in(0.9)}, "accuracy")
    by_label = [s for s in record.slices if s.name.startswith("label")]
    by_length = [s for s in record.slices if "characters" in s.name]
    assert sum(s.rows for s in by_label) == sum(s.rows for s in by_length) == 400
    assert all(s.low95 < s.value < s.high95 for s in record.slices)


def test_images_are_sliced_by_size(tmp_path: Path) -> None:
    rows = pictures.rows(20, tmp_path)
    training = TRAINING.model_copy(update={"labels": pictures.LABELS})
    scored = Scored(np.full((20, 2), 0.5), np.zeros(20, np.int64))
    one_size = evaluation(training, rows, {"model": scored}, "accuracy")
    assert [s.name for s in one_size.slices] == ["label = across", "label = down"]
    larger = pictures.rows(20, tmp_path / "larger", side=40)
    mixed = evaluation(training, [*rows, *larger], {"model": Scored(np.full((40, 2), 0.5), np.zeros(40, np.int64))}, "accuracy")
    assert {s.name for s in mixed.slices if "pixels" in s.name} == {"up to 24 pixels", "24 to 40 pixels"}


def test_the_same_scores_give_the_same_bytes() -> None:
    scored = {"model": right_in(0.8), "majority": right_in(0.5)}
    assert evaluation(TRAINING, ROWS, scored, "macro_f1") == evaluation(TRAINING, ROWS, scored, "macro_f1")
