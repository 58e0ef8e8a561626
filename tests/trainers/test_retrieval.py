"""The nearest stored answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks import answers, serving, trainers
from tasks.documents import Document
from tasks.recipes import recipe
from tasks.serving.retrieval import asked
from tasks.stage import UserError
from tasks.trainers import Job

STORED = {
    "How do I restart the router?": "Hold the button at the back.",
    "The printer prints nothing": "Check ink and paper.",
    "Which colour is the light when all is well?": "Green.",
    "wer bist du": "Ein Drucker.",
}


def chats(pairs: dict[str, str]) -> list[Document]:
    rows = []
    for i, (question, answer) in enumerate(pairs.items()):
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        rows.append(Document(f"{i}", f"{question}\n{answer}", "", f"{i}", messages))
    return rows


def trained(folder: Path, pairs: dict[str, str]) -> Any:
    rows = chats(pairs)
    settings = recipe("baseline", "text-generation", len(rows))
    trainers.train(Job("baseline", settings, None, [], rows, 0, folder, task="text-generation"))
    return serving.load_generator(folder)


def test_a_stored_question_gets_its_own_answer_and_a_like_one_the_nearest(tmp_path: Path) -> None:
    model = trained(tmp_path / "model", STORED)
    assert model.answers(list(STORED)) == list(STORED.values())
    assert model.answers(["my router does not restart", "printer broken: nothing is printed"]) == [
        "Hold the button at the back.",
        "Check ink and paper.",
    ]


def test_a_question_without_a_known_word_gets_the_most_frequent_answer(tmp_path: Path) -> None:
    model = trained(tmp_path / "model", STORED | {"Lamp?": "Green."})
    assert model.answers(["ξένος", "", [{"role": "user", "content": "ξ"}]]) == ["Green."] * 3


def test_a_chat_is_looked_up_by_all_that_was_said_but_the_systems_message() -> None:
    chat = [{"role": "system", "content": "Be nice."}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert asked([*chat, {"role": "user", "content": "c"}]) == "a\nb\nc"


def test_answers_to_chats_are_measured_and_bits_per_byte_are_not(tmp_path: Path) -> None:
    model = trained(tmp_path / "model", STORED)
    assert answers.quality(answers.measured(model, chats(STORED))).known() == {"exact_match": 1, "chrf": pytest.approx(1)}


def test_the_folder_holds_no_pickle_and_says_how_it_was_chosen(tmp_path: Path) -> None:
    trained(tmp_path / "model", STORED)
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    about = json.loads((tmp_path / "model" / "serving.json").read_text())
    assert set(about["chrf_by_analyzer"]) == {"word", "char"}


def test_questions_without_a_single_word_are_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no question of a chat holds a word"):
        trained(tmp_path / "model", {"": "x", " ": "y"})
