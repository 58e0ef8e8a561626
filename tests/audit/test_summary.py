"""Effective numbers of rows, and warnings in plain words."""

import random

import pytest

from tasks.audit import summary
from tasks.audit.near import Pair
from tasks.records import Span, Split


def test_independent_rows_are_worth_their_number() -> None:
    assert summary.n_effective(range(100), [], [], ["x"] * 100) == Span(value=100, low=100, high=100)


def test_near_duplicates_are_worth_between_one_row_and_what_they_add() -> None:
    # 50 pairs of similarity 0.8: 2 / (1 + r) each, for r = 1, 0.8 and 0.7
    clusters = [i // 2 for i in range(100)]
    worth = summary.n_effective(clusters, [Pair(2 * i, 2 * i + 1, 0.8) for i in range(50)], [], ["x"] * 100)
    assert (worth.low, worth.value, worth.high) == (50, 55.6, 58.8)


def test_groups_whose_labels_agree_are_worth_one_row_each() -> None:
    groups = [f"u{i // 10}" for i in range(200)]
    worth = summary.n_effective(range(200), [], groups, ["xy"[i // 10 % 2] for i in range(200)])
    assert (worth.low, worth.value, worth.high) == (20, 20, 20)


def test_groups_whose_labels_are_chance_are_worth_nearly_all_their_rows() -> None:
    draw = random.Random(0)
    groups = [f"u{i // 10}" for i in range(2000)]
    worth = summary.n_effective(range(2000), [], groups, [draw.choice("xy") for _ in range(2000)])
    assert worth.low < worth.value <= worth.high == 2000
    assert worth.low > 1500


def test_the_interval_of_the_label_correlation_holds_the_truth_about_nine_times_in_ten() -> None:
    # each member takes its group's label with probability q, else a fair draw: pairs correlate by q squared
    held, truth = 0, 0.5**2
    for seed in range(200):
        draw = random.Random(seed)
        groups, labels = [], []
        for group in range(60):
            own = draw.choice("xy")
            groups += [f"g{group}"] * 8
            labels += [own if draw.random() < 0.5 else draw.choice("xy") for _ in range(8)]
        span = summary.label_correlation(groups, labels)
        held += span.low <= truth <= span.high
    assert held / 200 == pytest.approx(0.9, abs=0.065)  # three standard errors


def test_lengths_are_the_textbook_ones() -> None:
    assert summary.lengths([1, 2, 3, 4, 100]) == {"min": 1, "median": 3, "mean": 22, "p95": 80.8, "max": 100}


def said(**other: object) -> str:
    split = {"train": Split(rows=1600, groups=1600, sha256=""), "test": Split(rows=400, groups=400, sha256="")}
    facts = {
        "rows_delivered": 2000, "rows_kept": 2000, "conflicting_labels": 0, "near_conflicts": 0, "stand_ins": [],
        "largest_group": 1, "labels": {"a": 1000, "b": 1000}, "words": {"median": 12.0}, **split,
    }  # fmt: skip
    rejected = other.pop("rejected", {})
    assert isinstance(rejected, dict)
    counts = {name: other.pop(name, 0) for name in ("mangled", "no_id", "no_group")}
    return "\n".join(summary.warnings("d.csv", facts | other, rejected, **counts))  # type: ignore[arg-type]


def test_sound_data_gives_no_warning() -> None:
    assert said() == ""


def test_each_weakness_has_its_warning() -> None:
    assert "90% of the rows have the label 'a'" in said(labels={"a": 1800, "b": 200})
    assert "fewer than 50 rows" in said(labels={"a": 1000, "b": 960, "c": 40})
    assert "'A', 'a'" in said(labels={"A": 1000, "a": 500, "b": 500})
    assert "half of the texts have 2 words or fewer" in said(words={"median": 2.0})
    assert "3 texts hold the replacement character" in said(mangled=3)
    assert "stops in the middle of its last row" in said(rejected={"truncated_line": 1})
    assert "4 texts or images occur with different labels" in said(conflicting_labels=4)
    assert "2 clusters of near duplicates disagree" in said(near_conflicts=2)
    assert "label 'c': chance drew no test row" in said(stand_ins=["c"])
    few = said(test=Split(rows=100, groups=100, sha256=""), rows_kept=500)
    assert few == "100 test rows measure an accuracy to within ±10 points at best"
    assert "the largest has 900" in said(test=Split(rows=1100, groups=9, sha256=""), largest_group=900)
