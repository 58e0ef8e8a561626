"""What is said when the data changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.audit.changes import changes
from tasks.audit.pipeline import audit
from tasks.params import Data

Sentences = Callable[..., list[str]]
Jsonl = Callable[[list[Any]], Path]


def rows(texts: list[str]) -> list[dict[str, str]]:
    return [{"text": text, "label": "xy"[i % 2]} for i, text in enumerate(texts)]


def test_nothing_is_said_when_nothing_changed(sentences: Sentences, jsonl: Jsonl) -> None:
    record = audit(jsonl(rows(sentences(100))), Data()).record
    assert changes(record, record) == []


def test_one_more_row_is_said(sentences: Sentences, jsonl: Jsonl) -> None:
    data = rows(sentences(101))
    old, new = audit(jsonl(data[:100]), Data()).record, audit(jsonl(data), Data()).record
    said = changes(old, new)
    assert said[:2] == ["rows delivered: 101, formerly 100 (+1)", "rows kept: 101, formerly 100 (+1)"]
    assert sum(line.startswith(("rows to train on", "rows to test with")) for line in said) == 1
    assert not any("label" in line for line in said)


def test_shifts_of_labels_and_new_reasons_are_said(sentences: Sentences, jsonl: Jsonl) -> None:
    data = rows(sentences(100))
    more = [{"text": text, "label": label} for text, label in zip(sentences(40, seed=5), "xz" * 20, strict=True)]
    old, new = audit(jsonl(data), Data()).record, audit(jsonl([*data, *more, {"text": ""}, *data[:3]]), Data()).record
    said = changes(old, new)
    assert "label 'x': 50.0% of the rows, formerly 50.0%" not in said
    assert "label 'y': 35.7% of the rows, formerly 50.0%" in said
    assert "label 'z' is new, with 20 rows" in said
    assert "rows set aside as text_empty: 1, formerly 0 (+1)" in said
    assert "exact duplicates dropped: 3, formerly 0 (+3)" in said
    assert "label 'z' is gone; it had 20 rows" in changes(new, old)


def test_a_row_that_says_something_else_is_noticed_though_the_counts_are_equal(sentences: Sentences, jsonl: Jsonl) -> None:
    data = rows(sentences(100))
    old = audit(jsonl(data), Data()).record
    data[0]["label"], data[1]["label"] = data[1]["label"], data[0]["label"]
    said = changes(old, audit(jsonl(data), Data()).record)
    assert said
    assert all("rows are as many as before, but not the same" in line for line in said)


def test_of_many_labels_that_changed_three_are_named_and_all_are_counted(sentences: Sentences, jsonl: Jsonl) -> None:
    names = [f"topic{i}" for i in range(8)]
    data = [{"text": text, "label": names[i % 8]} for i, text in enumerate(sentences(120))]
    old, new = audit(jsonl(rows(sentences(120))), Data()).record, audit(jsonl(data), Data()).record
    said = changes(old, new)
    assert said[0] == "8 labels are new"
    assert sum("is new, with" in line for line in said) == 3
    assert sum("is gone" in line for line in said) == 2
