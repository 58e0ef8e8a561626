"""The evaluation record, from scores given as literals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks import answers, documents, evaluate_texts, records
from tasks.answers import Rows
from tasks.documents import Document
from tasks.evaluate import Scored, evaluation, main
from tasks.records import Training
from tests import pictures, use_case

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


def test_where_nothing_answers_the_file_of_answers_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    use_case.repository(tmp_path / "person", use_case.settings())
    use_case.trained(180)
    documents.write(use_case.ROWS, Path("data/split/train.jsonl"))
    paths = [Path(name) for name in ("model", "results/train.json", "data/split/train.jsonl", "data/split/test.jsonl")]
    said = Path("data/split/answers.jsonl")
    for change in ({}, {"status": "nothing_to_do"}):
        training = records.read(Training, paths[1])
        records.write(training.model_copy(update=change), paths[1])
        main(*paths, Path("results/evaluation.json"), said)
        assert said.read_text() == ""
        said.unlink()
    use_case.leave()


# ---- generated text ----------------------------------------------------------------------------------------------------

WORDS = [f"w{i}" for i in range(400)]
TEXTS = [Document(f"t{i}", " ".join(WORDS[20 * i : 20 * i + 14 + i % 7]), "", f"g{i}") for i in range(20)]


def of_bits(bits: float, texts: list[Document] = TEXTS) -> Rows:
    """Rows of a model that needs so many bits a byte of each text."""
    return answers.read([row.text for row in texts], [bits * len(row.text) * np.log(2) for row in texts])


def test_texts_are_compared_in_bits_with_the_baselines_that_have_some_and_sliced_by_length() -> None:
    noisy = Rows(bytes=of_bits(1.0).bytes, bits=of_bits(1.0).bits * np.linspace(0.5, 2, 20))  # type: ignore[operator]
    scored = {"model": noisy, "baseline": of_bits(2.0), "retrieval": answers.given(["a"] * 20, ["a"] * 20)}
    record = evaluate_texts.evaluation(TRAINING, [], TEXTS, scored, "bits_per_byte")
    (only,) = record.diff
    assert (only.against, only.value < 0, only.p < 0.01) == ("baseline", True, True)
    assert only.low95 < only.value < only.high95 < 0
    assert record.baselines == {"baseline": {"bits_per_byte": pytest.approx(2)}, "retrieval": {"exact_match": 1, "chrf": 1}}
    assert record.model["value"] == record.metrics["bits_per_byte"]
    long = Document("long", TEXTS[0].text * 9, "", "g")
    mixed = [*TEXTS, *[long] * 10]
    slices = evaluate_texts.evaluation(TRAINING, [], mixed, {"model": of_bits(1.5, mixed)}, "bits_per_byte").slices
    assert [s.value for s in slices] == [pytest.approx(1.5)] * len(slices)
    assert sum(s.rows for s in slices) <= 30


def test_what_training_says_at_length_is_left_out_of_the_unseen_texts_and_counted() -> None:
    known = [Document("k", f"before {' '.join(TEXTS[i].text.split()[1:14])} after", "", "k") for i in range(5)]
    bits = np.concatenate([np.full(5, 0.1), np.full(15, 3.0)])
    remembers = Rows(bytes=of_bits(1).bytes, bits=of_bits(1).bits * bits)  # type: ignore[operator]
    scored = {"model": remembers, "baseline": of_bits(2.0)}
    record = evaluate_texts.evaluation(TRAINING, known, TEXTS, scored, "bits_per_byte")
    assert record.metrics["bits_per_byte"] < 2.5
    assert record.unseen is not None
    assert (record.unseen.texts, record.unseen.bytes) == (15, sum(len(row.text) for row in TEXTS[5:]))
    assert record.unseen.metrics == {"bits_per_byte": pytest.approx(3.0)}
    assert record.unseen.baselines == {"baseline": {"bits_per_byte": pytest.approx(2.0)}}


def test_where_no_test_text_is_unseen_the_measure_is_null_with_a_reason() -> None:
    record = evaluate_texts.evaluation(TRAINING, TEXTS, TEXTS, {"model": of_bits(1.0)}, "bits_per_byte")
    assert record.unseen is not None
    assert (record.unseen.metrics, record.unseen.texts, record.unseen.bytes) == (None, 0, 0)
    assert record.unseen.reason == "each of the 20 test texts has a run of 13 words that a training row has, too"


def test_of_chats_the_answer_counts_and_not_what_was_asked() -> None:
    def chat(i: int, asked: str) -> Document:
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": TEXTS[i].text}]
        return Document(f"c{i}", f"{asked}\n{TEXTS[i].text}", "", f"c{i}", messages)

    asked = " ".join(WORDS[380:])
    rows, known = [chat(i, asked) for i in range(10)], [chat(i, asked) for i in range(8, 12)]
    right = [row.text for row in TEXTS[:10]]
    record = evaluate_texts.evaluation(TRAINING, known, rows, {"model": answers.given(right, right)}, "exact_match")
    assert record.unseen is not None
    assert (record.unseen.texts, record.unseen.metrics) == (8, {"exact_match": 1.0, "chrf": 1.0})
