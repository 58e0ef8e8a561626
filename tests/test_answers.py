"""Measures of answers against known values."""

from __future__ import annotations

import numpy as np
import pytest

from tasks import answers

PAIRS = [
    ("The cat sat on the mat.", "The cat is on the mat.", 67.17273492330233),
    ("hello", "hello", 100.0),
    ("a", "abcdef", 19.999999999999996),
    ("", "something", 0.0),
    ("Grüße an alle 👋🏽", "Grüße an alle!", 87.22832118323053),
    ("restart the router", "Please restart your router, then wait.", 32.89153538870983),
]
"""Answer, right answer, and sacrebleu 2.6.0's CHRF().sentence_score; corpus_score of all of them: 47.3127102596317."""


def test_chrf_is_that_of_sacrebleu() -> None:
    rows = answers.given([a for a, _, _ in PAIRS], [r for _, r, _ in PAIRS])
    alone = answers.score("chrf", rows, np.eye(len(PAIRS)))
    np.testing.assert_allclose(alone * 100, [score for _, _, score in PAIRS], atol=1e-10)
    np.testing.assert_allclose(answers.score("chrf", rows) * 100, 47.3127102596317, atol=1e-10)


def test_bits_per_byte_of_a_model_that_knows_nothing_are_eight() -> None:
    texts = ["abc", "Grüße", ""]
    rows = answers.read(texts, [len(text.encode()) * np.log(256) for text in texts])
    assert answers.quality(rows).known() == {"bits_per_byte": pytest.approx(8)}


def test_bits_per_byte_of_a_resample_are_those_of_its_rows_together() -> None:
    rows = answers.read(["aa", "bbbb"], [2 * np.log(2), 16 * np.log(2)])
    drawn = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(answers.score("bits_per_byte", rows, drawn), [3.0, 1.0, 4.0])


def test_an_exact_match_overlooks_case_spaces_and_a_full_stop_and_nothing_else() -> None:
    right = ["Restart the router.", "Restart the router.", "", "5"]
    rows = answers.given(["  restart the  Router", "Restart the routers.", "", "5!"], right)
    assert rows.exact is not None
    assert rows.exact.tolist() == [1, 0, 1, 0]
    assert answers.quality(rows).exact_match == 0.5


def test_texts_that_share_a_long_run_of_words_with_known_ones_are_no_unseen_texts() -> None:
    known = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    texts = [
        "Zero, ONE two three four five; six seven eight nine ten eleven twelve thirteen!",
        "one two three four five six seven eight nine ten eleven twelve and more",
        "nine ten",
        "ten nine",
        "?!",
    ]
    assert answers.unseen(texts, ["nothing", known]).tolist() == [False, True, False, True, True]
