"""The split: which rows train and which test, so that nothing stands on both sides and a test row stays a test row.

Rows are tied into one group by near duplication and by equal values of data.group. A group is a test group if the draw
of any of its rows is below TEST_SHARE. A draw is a hash of the row's own text (or of its data.group value), so rows that
come later can only pull groups into the test set, never a row that was drawn for it back into training. The price: the
more different rows a group of near duplicates has, the likelier it tests, 1 - 0.8^size; where this shows, the audit
warns. Two things hold only as long as the other rows do: a row drawn by no hash of its own but tied to one that was, and
the one row that stands in for a label which no hash drew.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from tasks.audit.duplicates import Distinct
from tasks.audit.near import Pair, Parts, Places
from tasks.documents import Document, share
from tasks.stage import UserError

TEST_SHARE = 0.2


def clusters(rows: list[Distinct], pairs: list[Pair]) -> Places:
    """For each row the number of its cluster of near duplicates: its own place where it has none."""
    parts = Parts(len(rows))
    for pair in pairs:
        parts.join(pair.a, pair.b)
    return parts.roots()


def groups(rows: list[Distinct], pairs: list[Pair]) -> list[str]:
    """For each row the name of its group: the least key among the rows that near duplicates or data.group tie to it."""
    parts = Parts(len(rows))
    for pair in pairs:
        parts.join(pair.a, pair.b)
    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        parts.join(first.setdefault(row.own, i), i)
    return [rows[root].key for root in parts.roots()]  # rows are sorted by key, a root is the first of its set


def test_groups(rows: list[Distinct], names: list[str]) -> tuple[set[str], list[str]]:
    """The groups to test with, and the labels for which the group with the least draw stands in, because none was drawn.

    Raises UserError if a label would have no row to train on.
    """
    draws: dict[str, float] = {}
    of_label: dict[str, set[str]] = defaultdict(set)
    for row, name in zip(rows, names, strict=True):
        draws[name] = min(row.draw, draws.get(name, 1.0))
        of_label[row.row.label].add(name)
    test = {name for name, draw in draws.items() if draw < TEST_SHARE}
    stand_in = [label for label in sorted(of_label) if not of_label[label] & test]
    for label in stand_in:
        test.add(min(of_label[label], key=lambda name: (draws[name], name)))
    for label, its in sorted(of_label.items()):
        if its <= test:
            raise UserError(_no_training(label, len(its), sum(row.row.label == label for row in rows)))
    return test, stand_in


def leaks(rows: list[Distinct], cluster_of: list[int]) -> int:
    """Test rows of a split that draws each delivered row on its own, with an exact or near duplicate in training.

    Each copy k of a text is drawn by the hash of (text, k) with the same share. In expectation a cluster of m rows has
    m t (1 - t^(m-1)) of them, t = TEST_SHARE.
    """
    sides: dict[int, list[bool]] = defaultdict(list)
    for row, cluster in zip(rows, cluster_of, strict=True):
        sides[cluster] += [share("row", row.key, copy) < TEST_SHARE for copy in range(row.copies)]
    return sum(sum(side) for side in sides.values() if not all(side))


def documents(rows: list[Distinct], names: list[str], store: Path | None = None) -> list[Document]:
    """In the order of their ids, so that the order of the file leaves no trace. `store`: where their images will lie."""
    made = (_document(row, name, store) for row, name in zip(rows, names, strict=True))
    return sorted(made, key=lambda document: document.id)


def _document(distinct: Distinct, group: str, store: Path | None) -> Document:
    row, name = distinct.row, distinct.row.id or distinct.key
    if row.image:
        return Document(name, "", row.label, group, image=f"{store}/{row.image.key}")
    return Document(name, row.text, row.label, group, row.messages, row.worse)


def _no_training(label: str, tied: int, count: int) -> str:
    return (
        f"label {label!r}: its {count} rows are tied into {tied} group{'s' * (tied != 1)} by near duplication or data.group, "
        f"all in the test set, so none is left to train on: add rows that differ, or empty data.group if it is too coarse"
    )
