"""The tokenizer of a model from scratch is chosen by what tells the labels."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.documents import Document
from tasks.recipes import recipe
from tasks.trainers import Job, scratch, tokenizer
from tests.trainers.conftest import make_rows

MakeJob = Callable[..., Job]


def job(documents: list[Document], **changes: object) -> Job:
    settings = recipe("scratch", "text-classification", len(documents)) | changes
    labels = sorted({row.label for row in documents})
    return Job("scratch", settings, None, labels, documents, 0, Path("nowhere"))


def codes(n: int) -> list[Document]:
    """Part numbers that are new each time; capitals of the first half tell the label."""
    draw = random.Random(0)
    rows = []
    for i in range(n):
        upper, lower = ("".join(draw.choices("abcdefghjkmnpqrstuvwxyz", k=4)) for _ in range(2))
        text = f"{upper.upper()}{lower}" if i % 2 else f"{upper}{lower.upper()}"
        rows.append(Document(str(i), text, ["ends", "begins"][i % 2], str(i)))
    return rows


def test_sentences_of_common_words_are_cut_into_word_parts_without_a_trial() -> None:
    assert scratch._kind(job(make_rows(120, ["negative", "positive"]), epochs=0)) == "bpe"


def test_codes_whose_case_tells_are_read_as_characters_or_bytes() -> None:
    small = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    assert scratch._kind(job(codes(200), architecture=small, learning_rate=5e-3)) in ("char", "byte")


@pytest.mark.parametrize("kind", ["bpe", "char", "byte"])
def test_each_kind_reads_any_text_and_marks_its_ends(kind: str) -> None:
    texts = [row.text for row in make_rows(40, ["negative", "positive"])]
    made = tokenizer.make(kind, texts, 500)
    for text in ("the film", "\U0001f600 \u4e2d Ωé", "A\tb\n", ""):
        encoded = made.encode(text)
        assert (encoded.tokens[0], encoded.tokens[-1]) == ("[CLS]", "[SEP]")
        assert max(encoded.ids) < made.get_vocab_size() <= 500


@pytest.mark.parametrize("kind", ["bpe", "char", "byte"])
def test_equal_rows_in_another_order_give_the_same_tokenizer(kind: str) -> None:
    texts = [row.text for row in make_rows(60, ["negative", "positive"])]
    assert tokenizer.make(kind, texts, 300).to_str() == tokenizer.make(kind, texts[::-1], 300).to_str()


def test_bytes_and_characters_keep_their_case() -> None:
    for kind in ("char", "byte"):
        made = tokenizer.make(kind, ["aA"], 300)
        assert made.encode("a").ids != made.encode("A").ids
