"""A served causal model: answers, likelihoods, and nothing of the project needed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks import serving
from tasks.serving.causal import Causal, render, with_system
from tests.trainers.tiny import TEXTS, make_llama

USER = {"role": "user", "content": "which lights turn green?"}
CHAT = [{"role": "system", "content": "be brief."}, USER]


def served(folder: Path, **about: Any) -> Path:
    settings = {"kind": "causal", "max_tokens": 128, "max_new_tokens": 12} | about
    (folder / "serving.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("base") / "llama")


def one_by_one(model: Causal, prompt: str, new: int) -> str:
    """Greedy, without cache, batch or library: the whole sequence again for each token."""
    import torch

    ids = model.tokenizer.encode(prompt, add_special_tokens=False)
    made: list[int] = []
    with torch.no_grad():
        while len(made) < new and (token := int(model.model(torch.tensor([ids + made])).logits[0, -1].argmax())) != 2:
            made.append(token)
    text: str = model.tokenizer.decode(made, skip_special_tokens=True)
    return text.strip()


def test_answers_are_the_likeliest_token_at_each_step_alone_and_in_a_batch(base: Path) -> None:
    model = Causal(served(base, chat=True), {"max_tokens": 128, "max_new_tokens": 12, "chat": True})
    prompts: list[serving.Prompt] = [CHAT, "a much longer question, " * 5 + "is it?", "hi", [USER]]
    wanted = [
        one_by_one(model, render(model.tokenizer, p if not isinstance(p, str) else [{"role": "user", "content": p}]), 12)
        for p in prompts
    ]
    told: list[float] = []
    assert model.answers(prompts, told.append) == wanted
    assert told == sorted(told)
    assert told[-1] == 1
    assert [model.answers([prompt])[0] for prompt in prompts] == wanted
    assert model.answers([]) == []


@pytest.mark.parametrize("text", ["hi", "[1] is a footnote", "[", "[]", '[{"role": "user"}]', "[1, 2]"])
def test_a_text_that_is_no_chat_in_json_stays_a_text(text: str) -> None:
    assert serving.prompt(text) == text
    assert serving.prompt(json.dumps(CHAT)) == CHAT


def test_what_all_prompts_begin_with_is_read_once_and_changes_no_answer(base: Path) -> None:
    examples = [{"role": role, "content": text} for text in TEXTS[:4] for role in ("user", "assistant")]
    model: Any = serving.load_generator(served(base, chat=True, examples=examples, max_tokens=512))
    prompts: list[serving.Prompt] = ["hi", "a much longer question, is it?", "which lights?"]
    read: list[int] = []
    model.model.model.embed_tokens.register_forward_pre_hook(lambda _layer, given: read.append(given[0].numel()))
    together, shared = model.answers(prompts), sum(read)
    assert [model.answers([prompt])[0] for prompt in prompts] == together
    assert shared < 0.6 * (sum(read) - shared)


def test_the_cache_holds_all_that_was_read_and_is_copied_only_where_room_ends() -> None:
    import torch

    from tasks.serving.cache import Growing

    torch.manual_seed(0)
    states = torch.randn(2, 1, 3, 200, 4)  # keys and values, rows, heads, tokens, width
    layer, places = Growing(), set[int]()
    layer.update(*states[:, :, :, :5])
    layer.batch_repeat_interleave(2)
    for at in range(5, 200):
        kept = layer.update(*states.repeat(1, 2, 1, 1, 1)[:, :, :, at : at + 1])
        places.add(kept[0].data_ptr())
    assert torch.equal(torch.stack(kept), states.repeat(1, 2, 1, 1, 1))
    assert layer.get_seq_length() == 200
    assert len(places) < 20


def test_what_a_base_sets_for_sampling_and_penalties_has_no_effect(base: Path, tmp_path: Path) -> None:
    plain = serving.load_generator(served(base, chat=True)).answers([CHAT])
    other = Path(shutil.copytree(base, tmp_path / "other"))
    (other / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0, "eos_token_id": 2, "max_length": 3})
    )
    assert serving.load_generator(other).answers([CHAT]) == plain


def test_an_answer_ends_at_any_of_the_bases_end_tokens(base: Path, tmp_path: Path) -> None:
    model: Any = serving.load_generator(served(base, chat=True))
    first = model.tokenizer.encode(model.answers(["hi"])[0], add_special_tokens=False)
    other = Path(shutil.copytree(base, tmp_path / "other"))
    (other / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, first[3]]}))
    shorter: Any = serving.load_generator(other)
    assert first[3] not in shorter.tokenizer.encode(shorter.answers(["hi"])[0], add_special_tokens=False)


def test_likelihoods_are_those_of_the_answers_tokens(base: Path) -> None:
    import torch

    model: Any = serving.load_generator(served(base, chat=True))
    before = model.tokenizer.encode(render(model.tokenizer, CHAT), add_special_tokens=False)
    after = model.tokenizer.encode("the light", add_special_tokens=False)
    with torch.no_grad():
        shares = model.model(torch.tensor([before + after])).logits[0].log_softmax(-1)
    wanted = -sum(float(shares[len(before) - 1 + i, token]) for i, token in enumerate(after))
    assert model.answer_nats([CHAT, CHAT], ["the light", ""]) == pytest.approx([wanted, 0.0], abs=1e-4)


def test_texts_are_foretold_from_the_first_token_that_the_folder_names(base: Path) -> None:
    default: Any = serving.load_generator(served(base))
    named: Any = serving.load_generator(served(base, first=0))
    assert default.nats(TEXTS) != named.nats(TEXTS)
    assert default.nats(["", TEXTS[0]])[0] == 0
    assert named.answers([TEXTS[0][:20]])[0] != ""


def test_examples_a_system_message_and_stops_go_into_every_prompt(base: Path) -> None:
    shots = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    model: Any = serving.load_generator(served(base, chat=True, examples=shots, system="be kind."))
    asked = model.tokenizer.decode(model._prompt_ids("hi"))
    assert asked == render(
        model.tokenizer, [{"role": "system", "content": "be kind."}, *shots, {"role": "user", "content": "hi"}]
    )
    said = model.answers(["hi"])[0]
    stopping: Any = serving.load_generator(served(base, chat=True, examples=shots, system="be kind.", stop=[said[3:5]]))
    assert stopping.answers(["hi"]) == [said.split(said[3:5])[0].strip()]
    assert with_system(CHAT, "other") == CHAT


def test_prompts_that_are_too_long_are_cut_on_the_left_and_counted(base: Path) -> None:
    model: Any = serving.load_generator(served(base, chat=True))
    assert model.answers(["word " * 500])[0] != ""
    assert model.cut == 1


def test_a_folder_serves_without_the_project(base: Path, tmp_path: Path) -> None:
    shutil.copytree(served(base, chat=True), tmp_path / "model")
    shutil.copytree(Path(str(serving.__file__)).parent, tmp_path / "serving")
    code = "import serving, sys; print(serving.load_generator('model').answers(['hi'])[0]);"
    code += "assert not any(name.split('.')[0] == 'tasks' for name in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == serving.load_generator(base).answers(["hi"])[0].strip()
    assert done.stderr == ""
