"""The split: nothing on both sides, and a test row for good."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from tasks.audit import splitting
from tasks.audit.duplicates import Distinct, normalised, without_exact_duplicates
from tasks.audit.near import near_pairs
from tasks.audit.rows import Row
from tasks.audit.splitting import TEST_SHARE
from tasks.documents import share
from tasks.stage import UserError

Sentences = Callable[..., list[str]]


def distinct(texts: list[str], groups: list[str] | None = None) -> list[Distinct]:
    named = groups or [""] * len(texts)
    rows = [Row(i, text, "ab"[i % 2], "", group) for i, (text, group) in enumerate(zip(texts, named, strict=True))]
    return without_exact_duplicates(rows)[0]


def test_texts(rows: list[Distinct]) -> set[str]:
    pairs = near_pairs([normalised(row.row.text) for row in rows])
    names = splitting.groups(rows, pairs)
    tested, _ = splitting.test_groups(rows, names)
    return {row.row.text for row, name in zip(rows, names, strict=True) if name in tested}


test_texts.__test__ = False  # type: ignore[attr-defined]


def test_about_one_in_five_rows_tests(sentences: Sentences) -> None:
    assert len(test_texts(distinct(sentences(1000)))) / 1000 == pytest.approx(TEST_SHARE, abs=0.04)  # three standard errors


def test_a_test_row_stays_one_whatever_rows_come_and_whatever_groups_merge(sentences: Sentences) -> None:
    texts = sentences(300, 30)
    bridges = [" ".join(a.split()[:3] + b.split()[3:]) for a, b in pairwise(texts)]
    assert near_pairs(sorted([texts[1], bridges[0]])), "a bridge is a near duplicate"
    before: set[str] = set()
    for rows in (200, 300, 450, len(texts + bridges)):
        after = test_texts(distinct((texts + bridges)[:rows]))
        assert before <= after
        before = after


def test_a_row_that_ties_two_groups_together_pulls_the_training_one_into_the_test(sentences: Sentences) -> None:
    rest = sentences(60)
    joins = sentences(40, 60, seed=9)
    left = [" ".join([f"left{i}x{k}" for k in range(9)] + text.split()[9:]) for i, text in enumerate(joins)]
    right = [" ".join(text.split()[:-9] + [f"right{i}x{k}" for k in range(9)]) for i, text in enumerate(joins)]
    before = test_texts(distinct(rest + left + right))
    after = test_texts(distinct(rest + left + right + joins))
    split = [(a, b) for a, b in zip(left, right, strict=True) if (a in before) != (b in before)]
    assert split, "some pairs stood on both sides while they were no pairs"
    assert before <= after
    assert all(a in after and b in after for a, b in split)


def test_rows_of_one_group_value_stand_on_one_side_and_a_fifth_of_the_groups_tests(sentences: Sentences) -> None:
    users = [f"u{i % 100}" for i in range(1000)]
    rows = distinct(sentences(1000), users)
    tested = test_texts(rows)
    sides = {row.row.group: row.row.text in tested for row in rows}
    assert all(sides[row.row.group] == (row.row.text in tested) for row in rows)
    assert sum(sides.values()) / 100 == pytest.approx(TEST_SHARE, abs=0.12)


def test_a_label_that_chance_left_out_of_the_test_gets_its_row_nearest_to_it(sentences: Sentences) -> None:
    texts = [text for text in sentences(200) if share("test", distinct([text])[0].key) >= TEST_SHARE]
    rare = texts[:10]
    rows = without_exact_duplicates(
        [Row(i, text, "rare" if text in rare else "b", "", "") for i, text in enumerate(sentences(200))]
    )[0]
    names = splitting.groups(rows, [])
    tested, stand_ins = splitting.test_groups(rows, names)
    assert stand_ins == ["rare"]
    assert len([row for row, name in zip(rows, names, strict=True) if name in tested and row.row.label == "rare"]) == 1


def test_a_label_tied_into_one_group_is_refused_in_one_line(sentences: Sentences) -> None:
    rows = without_exact_duplicates(
        [Row(i, text, "one" if i < 50 else "two", "", "u" if i < 50 else "") for i, text in enumerate(sentences(200))]
    )[0]
    with pytest.raises(UserError, match=r"^label 'one': its 50 rows are tied into 1 group by .*data\.group") as error:
        splitting.test_groups(rows, splitting.groups(rows, []))
    assert "\n" not in str(error.value)


def test_leaks_of_planted_pairs_are_as_many_as_chance_puts_across(sentences: Sentences) -> None:
    texts = sentences(500, 30)
    rows = distinct(texts + [text + " more" for text in texts])
    pairs = near_pairs([normalised(row.row.text) for row in rows])
    assert len(pairs) == 500
    leaks = splitting.leaks(rows, splitting.clusters(rows, pairs).tolist())
    expected = 500 * 2 * TEST_SHARE * (1 - TEST_SHARE)
    assert leaks == pytest.approx(expected, abs=4 * (500 * 0.32 * 0.68) ** 0.5)


def test_leaks_of_exact_copies_are_counted_copy_by_copy(sentences: Sentences) -> None:
    alone = sentences(50)
    copied = "Said again and again"
    rows = distinct(alone)
    assert splitting.leaks(rows, list(range(50))) == 0
    rows = without_exact_duplicates([Row(i, text, "x", "", "") for i, text in enumerate(alone + [copied] * 40)])[0]
    key = next(row.key for row in rows if row.row.text == copied)
    assert splitting.leaks(rows, list(range(51))) == sum(share("row", key, copy) < TEST_SHARE for copy in range(40)) > 0


def test_the_order_of_the_file_leaves_no_trace(sentences: Sentences) -> None:
    texts = sentences(100)
    texts += [text + "!" for text in texts[:20]]
    outcomes = set()
    for seed in range(5):
        mixed = random.Random(seed).sample(texts, len(texts))
        rows = without_exact_duplicates([Row(i, text, "x", "", "") for i, text in enumerate(mixed)])[0]
        names = splitting.groups(rows, near_pairs([normalised(row.row.text) for row in rows]))
        outcomes.add(tuple(splitting.documents(rows, names)))
    assert len(outcomes) == 1
