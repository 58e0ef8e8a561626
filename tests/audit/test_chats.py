"""Chats in a file: which rows are some, what becomes of them, and that one question is never on both sides of the split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import documents
from tasks.audit.chats import read_chat
from tasks.audit.pipeline import audit
from tasks.params import Data

ASK, ANSWER = {"role": "user", "content": "is it on?"}, {"role": "assistant", "content": "yes."}
CHATS = Data(path="data.jsonl", text=None, messages="chat", rejected="worse", label=None)


@pytest.mark.parametrize(
    ("messages", "worse", "reason"),
    [
        (None, None, "messages_missing"),
        ("", None, "messages_missing"),
        ("not JSON", None, "messages_not_a_chat"),
        ([], None, "messages_not_a_chat"),
        ([{"role": "robot", "content": "x"}, ANSWER], None, "messages_not_a_chat"),
        ([{"role": "user"}, ANSWER], None, "messages_not_a_chat"),
        ([ANSWER], None, "no_answer"),
        ([ASK], None, "no_answer"),
        ([ASK, {"role": "assistant", "content": " "}], None, "no_answer"),
        ([ASK, ANSWER], "yes. ", "rejected_not_text"),
        ([ASK, ANSWER], ["no"], "rejected_not_text"),
    ],
)
def test_what_is_no_chat_is_set_aside_with_a_reason(messages: Any, worse: Any, reason: str) -> None:
    assert read_chat({"chat": messages, "worse": worse}, "chat", "worse") == reason


def test_chats_are_read_as_lists_and_as_json_in_a_csv_field() -> None:
    as_list, as_text = (read_chat({"chat": value}, "chat", None) for value in ([ASK, ANSWER], json.dumps([ASK, ANSWER])))
    assert as_list == as_text
    assert not isinstance(as_list, str)
    assert as_list.messages == [ASK, ANSWER]


def test_chats_come_out_of_the_split_as_they_went_in_and_a_question_stays_on_one_side(
    jsonl: Callable[[list[Any]], Path], sentences: Callable[..., list[str]], tmp_path: Path
) -> None:
    questions, replies = sentences(60), sentences(300, seed=1)
    rows = [
        {
            "chat": [{"role": "user", "content": q}, {"role": "assistant", "content": replies[5 * i + k]}],
            "worse": "no" * (k == 0),
        }
        for i, q in enumerate(questions)
        for k in range(5)
    ]
    found = audit(jsonl([*rows, {"chat": [ASK], "worse": ""}]), CHATS)
    assert found.record.rows_rejected == {"no_answer": 1}
    assert found.record.columns == {"chat": "messages", "worse": "rejected"}
    both = [{d.messages[0]["content"] for d in side if d.messages} for side in (found.train, found.test)]
    assert not both[0] & both[1]
    assert len(both[0]) + len(both[1]) == 60
    kept = found.train + found.test
    assert sorted(json.dumps(d.messages) for d in kept) == sorted(json.dumps(row["chat"]) for row in rows)
    assert sum(d.rejected == "no" for d in kept) == 60
    documents.write(kept, tmp_path / "split.jsonl")
    assert documents.read(tmp_path / "split.jsonl") == kept
    assert documents.sha256(kept) != documents.sha256([documents.Document(d.id, d.text, "", d.group) for d in kept])
