"""Exact duplicates, the draw of data.max_rows, near duplicates."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from tasks.audit import near
from tasks.audit.duplicates import Distinct, drawn, normalised, without_exact_duplicates
from tasks.audit.near import SAME, near_pairs
from tasks.audit.rows import Row

Sentences = Callable[..., list[str]]


def rows(*texts_and_labels: tuple[str, str]) -> list[Row]:
    return [Row(i, text, label, "", "") for i, (text, label) in enumerate(texts_and_labels, 1)]


def test_case_blanks_and_unicode_spelling_make_no_other_text() -> None:
    same = ["Straße  ﬁne", "STRASSE fine", "strasse\tfine\n", "ＳＴＲＡＳＳＥ fine"]
    assert {normalised(text) for text in same} == {"strasse fine"}
    assert normalised("caf\u00e9") == normalised("cafe\u0301")
    assert normalised("ΣΊΣΥΦΟΣ") == normalised("σίσυφος")


def test_one_of_several_equal_rows_stays_and_none_of_those_that_disagree() -> None:
    kept, aside, conflicts = without_exact_duplicates(
        rows(("A b", "x"), ("a  B", "x"), ("a b", "x"), ("c", "x"), ("C", "y"), ("d", "y"))
    )
    assert sorted((d.row.label, d.copies) for d in kept) == [("x", 3), ("y", 1)]
    assert [(row.row, row.reason) for row in aside] == [(4, "conflicting_labels"), (5, "conflicting_labels")]
    assert conflicts == 1


def test_which_copy_stays_does_not_depend_on_the_order() -> None:
    copies = [Row(i, text, "x", name, group) for i, (text, name, group) in enumerate(
        [("A", "1", "u"), ("a", "2", "v"), ("A ", "3", "w"), ("a", "4", "")]
    )]  # fmt: skip
    stays = {without_exact_duplicates(random.Random(seed).sample(copies, 4))[0][0].row.id for seed in range(20)}
    assert len(stays) == 1


def test_one_more_copy_never_moves_a_test_row_into_training() -> None:
    for i in range(200):
        first, second = Row(1, "same", "x", f"{i}", f"u{i}"), Row(2, "same", "x", "0", f"v{i}")
        alone, both = without_exact_duplicates([first])[0][0], without_exact_duplicates([first, second])[0][0]
        assert both.draw <= alone.draw


def test_one_more_row_changes_at_most_one_of_those_drawn(sentences: Sentences) -> None:
    distinct = without_exact_duplicates(rows(*((text, "x") for text in sentences(301))))[0]
    changed = []
    for i in range(0, 301, 7):
        before, after = drawn(distinct[:i] + distinct[i + 1 :], 100), drawn(distinct, 100)
        assert len(before) == len(after) == 100
        changed.append(len({d.key for d in after} - {d.key for d in before}))
    assert set(changed) == {0, 1}


def clusters(texts: list[str]) -> set[frozenset[str]]:
    parts = near.Parts(len(texts))
    for pair in near_pairs(texts):
        parts.join(pair.a, pair.b)
    sets: dict[int, set[str]] = {}
    for text, root in zip(texts, parts.roots().tolist(), strict=True):
        sets.setdefault(root, set()).add(text)
    return {frozenset(its) for its in sets.values() if len(its) > 1}


def replaced(text: str, *places: int) -> str:
    words = text.split()
    for place in places:
        words[place] = "changed"
    return " ".join(words)


@pytest.mark.parametrize("words", [6, 15, 19, 20, 21, 28, 29, 60])
def test_a_text_with_one_more_word_is_found_at_every_length(sentences: Sentences, words: int) -> None:
    texts = sentences(300, words, seed=words)
    twins = [text + " more" for text in texts[:100]]
    planted = {frozenset(pair) for pair in zip(texts, twins, strict=False)}
    found = clusters(sorted(texts + twins))
    assert planted - found == {pair for pair in planted if similarity(*pair) < SAME}
    assert found <= planted


def similarity(a: str, b: str) -> float:
    """The definition, in plain Python: the better of word and character shingles, where both texts may have them."""
    found = [0.0]
    one, other = a.split(), b.split()
    if max(len(one), len(other)) < near.WORDS_ENOUGH / SAME:
        found.append(overlap({a[i : i + 5] for i in range(len(a) - 4)}, {b[i : i + 5] for i in range(len(b) - 4)}))
    if min(len(one), len(other)) >= near.WORDS_ENOUGH:
        shingled = [{" ".join(w[i : i + 5]) for i in range(len(w) - 4)} for w in (one, other)]
        found.append(overlap(*shingled))
    return max(found)


def overlap(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def test_every_pair_reported_has_the_similarity_that_the_definition_gives(sentences: Sentences) -> None:
    texts = sentences(100, 60) + sentences(100, 10)  # two words changed of 60: 46 of 66 shingles, just too few
    draw = random.Random(2)
    texts += [replaced(text, *draw.sample(range(len(text.split())), draw.randint(1, 3))) for text in texts]
    texts = sorted(set(texts))
    pairs = near_pairs(texts)
    assert len(pairs) > 30
    for pair in pairs:
        assert pair.jaccard >= 0.7
        assert pair.jaccard == pytest.approx(similarity(texts[pair.a], texts[pair.b]))


def test_nearly_all_similar_pairs_of_all_pairs_are_found(sentences: Sentences) -> None:
    texts = sentences(60, 40)
    draw = random.Random(3)
    edited = [replaced(text, *draw.sample(range(40), draw.randint(1, 2))) for text in texts for _ in range(2)]
    texts = sorted(set(texts + edited))
    similar = [(a, b) for a in range(len(texts)) for b in range(a) if similarity(texts[a], texts[b]) >= SAME]
    parts = near.Parts(len(texts))
    for pair in near_pairs(texts):
        parts.join(pair.a, pair.b)
    assert len(similar) > 60
    assert sum(parts.root(a) == parts.root(b) for a, b in similar) == len(similar)


def test_texts_shorter_than_a_shingle_are_compared_whole() -> None:
    assert near_pairs(sorted(["ok", "no", "yes", "hm", "okay"])) == []


def test_scripts_without_blanks_are_compared_too() -> None:
    draw = random.Random(5)
    texts = ["".join(chr(draw.randint(0x4E00, 0x9FA5)) for _ in range(60)) for _ in range(50)]
    twins = [text[:-1] + "好" for text in texts[:10]]
    assert clusters(sorted(texts + twins)) == {frozenset(pair) for pair in zip(texts, twins, strict=False)}


def test_a_bucket_of_thousands_is_one_cluster_and_takes_no_quadratic_number_of_pairs() -> None:
    texts = sorted(f"your order number {i:05d} has been shipped today" for i in range(3000))
    assert len(near_pairs(texts)) == 2999


def test_signatures_agree_as_often_as_sets_are_similar() -> None:
    draw = np.random.default_rng(1)
    shared = draw.integers(0, 2**63, 300).astype(np.uint64)
    a = np.concatenate([shared, draw.integers(0, 2**63, 100).astype(np.uint64)])
    b = np.concatenate([shared, draw.integers(0, 2**63, 100).astype(np.uint64)])
    signatures = near._signatures(np.concatenate([a, b]), np.array([0, 400, 800]))
    assert (signatures[0] == signatures[1]).mean() == pytest.approx(0.6, abs=0.13)  # three standard errors of 128 slots


def test_a_distinct_text_is_drawn_by_its_group_where_it_has_one() -> None:
    of_group = without_exact_duplicates([Row(1, "a", "x", "", "u"), Row(2, "b", "x", "", "u"), Row(3, "c", "x", "", "")])[0]
    own: dict[str, Distinct] = {d.row.text: d for d in of_group}
    assert own["a"].own == own["b"].own != own["a"].key
    assert own["c"].own == own["c"].key
