"""Chats as tokens and targets, and every branch trained on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks import answers, serving, trainers
from tasks.documents import Document
from tasks.serving.causal import Causal, chat_tokenizer
from tasks.stage import UserError
from tasks.trainers.causal import bases, chat
from tasks.trainers.causal.packing import IGNORED
from tests.trainers.language import make_job
from tests.trainers.tiny import CHATML, make_llama

TALK = [
    {"role": "user", "content": "is it on?"},
    {"role": "assistant", "content": "the light is green."},
    {"role": "user", "content": "and now?"},
    {"role": "assistant", "content": "off!"},
]
NAMES = {"router": "the button at the back", "printer": "more ink", "lamp": "ten seconds"}


def chats(n: int) -> list[Document]:
    rows = []
    for i in range(n):
        name, answer = list(NAMES.items())[i % len(NAMES)]
        asked = f"what does the {name} need{'?' * (i % 4)}"
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        rows.append(Document(f"{i:03}", f"{asked}\n{answer}", "", f"{i}", messages))
    return rows


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("shelf")
    return {"chatml": make_llama(place / "chatml"), "no template": make_llama(place / "plain", None)}


def learnt(tokenizer: Any, ids: list[int], targets: list[int]) -> list[str]:
    """The stretches of text that have targets."""
    said, open_ = [], False
    for token, target in zip(ids, targets, strict=True):
        if target == IGNORED:
            open_ = False
            continue
        assert target == token
        said = [*said, ""] if not open_ else said
        said[-1] += tokenizer.decode([token])
        open_ = True
    return said


def test_targets_are_the_answers_and_the_marks_that_end_them_and_nothing_else(shelf: dict[str, Path]) -> None:
    tokenizer = chat.tokenizer_of(shelf["chatml"])
    ids, targets = chat.of_chat(tokenizer, TALK)
    assert learnt(tokenizer, ids, targets) == ["the light is green.<|im_end|>", "off!<|im_end|>"]
    written = tokenizer.apply_chat_template(TALK, tokenize=False)
    assert tokenizer.decode(ids) == written
    assert written.count("<|im_end|>") == 4  # which is also the padding: targets go by place, not by token


def test_a_base_without_a_template_gets_the_plain_one_and_its_folder_keeps_it(shelf: dict[str, Path], tmp_path: Path) -> None:
    tokenizer = chat.tokenizer_of(shelf["no template"])
    ids, targets = chat.of_chat(tokenizer, TALK)
    assert learnt(tokenizer, ids, targets) == ["the light is green.<|im_end|>", "off!<|im_end|>"]
    job = make_job("full", tmp_path, shelf["no template"], documents=chats(6), recipe={"epochs": 1})
    trainers.train(job)
    assert chat_tokenizer(job.folder).chat_template == chat.PLAIN


def test_a_template_that_rewrites_earlier_messages_is_refused(shelf: dict[str, Path]) -> None:
    tokenizer = chat.tokenizer_of(shelf["chatml"])
    tokenizer.chat_template = "{{ messages | length }}" + CHATML
    with pytest.raises(UserError, match="template rewrites what stands before message 2"):
        chat.of_chat(tokenizer, TALK)


def test_the_loss_of_a_chat_is_that_of_transformers_with_all_but_the_answers_masked(
    shelf: dict[str, Path], tmp_path: Path
) -> None:
    import torch

    job = make_job("full", tmp_path, shelf["chatml"], documents=[Document("0", "", "", "0", TALK)], recipe={"max_tokens": 100})
    model = bases.load(job.base, 100)  # type: ignore[arg-type]
    (batch,) = bases.rows(job, job.base)(0)  # type: ignore[arg-type]
    ids, targets = (torch.tensor([part]) for part in chat.of_chat(chat.tokenizer_of(shelf["chatml"]), TALK))
    theirs = model(input_ids=ids, labels=targets).loss
    torch.testing.assert_close(bases.next_token(model, batch) / batch.weight, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("branch", ["lora", "full", "scratch"])
def test_a_trained_model_answers_as_it_was_taught_and_stops(branch: str, shelf: dict[str, Path], tmp_path: Path) -> None:
    base = None if branch == "scratch" else shelf["chatml"]
    sizes = {"max_tokens": 64, "epochs": 220 if branch == "scratch" else 25}
    job = make_job(branch, tmp_path, base, documents=chats(24), recipe=sizes)
    trainers.train(job)
    model = serving.load_generator(job.folder)
    assert isinstance(model, Causal)
    found = answers.quality(answers.measured(model, chats(24)))
    assert found.exact_match is not None
    assert found.exact_match > 0.9
    assert found.bits_per_byte is not None
    assert found.bits_per_byte < 0.3


@pytest.mark.parametrize("branch", ["continued", "prompt"])
def test_the_other_branches_leave_a_model_that_is_asked_in_chats(branch: str, shelf: dict[str, Path], tmp_path: Path) -> None:
    job = make_job(branch, tmp_path, shelf["chatml"], documents=chats(12), recipe={"epochs": 1, "max_tokens": 64})
    trainers.train(job)
    about = json.loads((job.folder / "serving.json").read_text())
    assert about["chat"] is True
    assert answers.quality(answers.measured(serving.load_generator(job.folder), chats(3))).chrf is not None


def test_a_prompt_is_the_base_with_the_number_of_examples_that_makes_training_answers_likelier(
    shelf: dict[str, Path], tmp_path: Path
) -> None:
    job = make_job("prompt", tmp_path, shelf["chatml"], documents=chats(20), recipe={"shots": [0, 2]})
    trainers.train(job)
    about = json.loads((job.folder / "serving.json").read_text())
    bits = about["bits_per_byte_by_shots"]
    assert len(about["examples"]) == 2 * int(min(bits, key=lambda shots: bits[shots]))
    assert (job.folder / "model.safetensors").read_bytes() == (shelf["chatml"] / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("within", "longest"), [(1.0, "long " * 40), (0.99, "short")])
def test_a_model_may_answer_as_long_as_its_training_rows_do(
    within: float, longest: str, shelf: dict[str, Path], tmp_path: Path
) -> None:
    said = ["short"] * 199 + ["long " * 40]
    rows = [Document(f"{i}", "", "", f"{i}", [{"role": "assistant", "content": text}]) for i, text in enumerate(said)]
    job = make_job("prompt", shelf["chatml"], tmp_path / "model", documents=rows, recipe={"answers_within": within})
    tokens = serving.tokenizer(shelf["chatml"]).encode(longest, add_special_tokens=False).ids
    assert chat.answer_tokens(job, shelf["chatml"]) == len(tokens) + 1


def test_a_chat_that_is_too_long_keeps_its_end(shelf: dict[str, Path], tmp_path: Path) -> None:
    job = make_job("full", tmp_path, shelf["chatml"], documents=[Document("0", "", "", "0", TALK)], recipe={"max_tokens": 10})
    (ids,), (targets,), cut = chat.tokens(job, shelf["chatml"])
    assert len(ids) == len(targets) == 11
    whole, _ = chat.of_chat(chat.tokenizer_of(shelf["chatml"]), TALK)
    assert (cut.rows, cut.tokens) == (1, len(whole) - 11)
    trained = trainers.train(job)
    assert (trained.cut_rows, trained.cut_tokens) == (cut.rows, cut.tokens)
    assert learnt(chat.tokenizer_of(shelf["chatml"]), ids, targets)[-1].endswith("<|im_end|>")
