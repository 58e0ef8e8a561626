"""The n-gram model is a probability model of bytes, and a stronger one the more it has seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks import answers, serving, trainers
from tasks.documents import Document
from tasks.recipes import recipe
from tasks.serving import ngram as served
from tasks.trainers import Job
from tasks.trainers.causal import ngram
from tests.trainers.conftest import make_rows
from tests.trainers.tiny import TEXTS


def job(folder: Path, texts: list[str]) -> Job:
    rows = [Document(f"{i:03}", text, "", f"{i}") for i, text in enumerate(texts)]
    return Job("baseline", recipe("baseline", "text-generation", len(rows)), None, [], rows, 0, folder, task="text-generation")


SENTENCES = [row.text for row in make_rows(200, ["negative", "positive"])]


@pytest.mark.parametrize("order", [1, 2, 5, 8])
@pytest.mark.parametrize("context", [b"", b"the ", b"never seen", "ß👋".encode()])
def test_the_shares_of_all_bytes_after_any_context_sum_to_one(order: int, context: bytes) -> None:
    tables = ngram.fit(TEXTS, order)
    before = int.from_bytes((b"\xff" * 8 + context)[len(context) + 9 - order :]) if order > 1 else 0
    keys = np.uint64((before << 8) % 2**64) + np.arange(256, dtype=np.uint64)
    shares = served.probabilities(tables, keys)
    assert shares.sum() == pytest.approx(1, abs=1e-6)
    assert (shares > 0).all()


def test_counts_are_smoothed_as_kneser_and_ney_have_it() -> None:
    # "abab" between edges, order 2. Before a: the edge and b; before b: a; before the edge: b: 4 continuations in all.
    tables = ngram.fit(["abab"], 2)
    one = {"a": 2, "b": 1, "edge": 1}
    half, kinds = 0.5, 3  # too few counts for Chen and Goodman's estimate of the discounts
    unigram = {name: (count - half) / 4 + half * kinds / 4 / 256 for name, count in one.items()}
    after_b = {"a": (1 - half) / 2 + half * 2 / 2 * unigram["a"], "b": half * 2 / 2 * unigram["b"]}
    keys = np.array([[ord("b") << 8 | ord(byte)] for byte in "ab"], np.uint64).ravel()
    np.testing.assert_allclose(served.probabilities(tables, keys), [after_b["a"], after_b["b"]], rtol=1e-6)


def test_more_text_of_the_same_kind_means_fewer_bits_and_other_text_more(tmp_path: Path) -> None:
    bits = []
    for n in (20, 160):
        trainers.train(job(tmp_path / str(n), SENTENCES[:n]))
        model = serving.load_generator(tmp_path / str(n))
        held = [Document(f"{i}", text, "", f"{i}") for i, text in enumerate(SENTENCES[160:])]
        bits.append(answers.quality(answers.measured(model, held)).bits_per_byte)
    assert bits[1] is not None
    assert bits[0] is not None
    assert bits[1] < bits[0] < 8
    assert model.nats(["zq" * 30])[0] / np.log(2) / 60 > bits[0]  # type: ignore[attr-defined]
    assert model.nats([""]) == [0.0]  # type: ignore[attr-defined]


def test_long_texts_are_scored_in_parts_that_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainers.train(job(tmp_path / "model", SENTENCES))
    model = serving.load_generator(tmp_path / "model")
    text = " ".join(SENTENCES)
    whole = model.nats([text])  # type: ignore[attr-defined]
    monkeypatch.setattr(served, "BYTES_A_BATCH", 100)
    assert model.nats([text]) == pytest.approx(whole)  # type: ignore[attr-defined]


def test_it_continues_a_text_that_it_knows_to_the_end(tmp_path: Path) -> None:
    trainers.train(job(tmp_path / "model", TEXTS * 5))
    model = serving.load_generator(tmp_path / "model")
    assert model.answers([TEXTS[0][:30], TEXTS[3][:9]]) == [TEXTS[0][30:], TEXTS[3][9:]]


def test_tables_stay_below_their_limit(tmp_path: Path) -> None:
    wanted = job(tmp_path / "model", SENTENCES)
    wanted.recipe["max_entries"] = 3000
    trainers.train(wanted)
    assert sum(len(t) for t in serving.load_generator(tmp_path / "model").tables.values()) <= 3000  # type: ignore[attr-defined]


def test_it_needs_neither_torch_nor_transformers() -> None:
    code = "import sys; from tasks.trainers.causal import ngram; from tasks.serving import ngram; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
