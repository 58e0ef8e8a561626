"""Log-probabilities with shared prefixes are those of plain full sequences, for every way there is to compute them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tasks.serving import scoring
from tasks.serving.causal import causal_model, chat_tokenizer
from tasks.serving.scoring import Question
from tests.trainers.tiny import make_llama


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture(scope="module")
def model(base: Path) -> Any:
    return causal_model(base).eval()


def plainly(model: Any, before: list[int], after: list[int]) -> float:
    """The whole sequence alone, the whole softmax."""
    import torch

    with torch.no_grad():
        shares = model(torch.tensor([before + after])).logits[0].double().log_softmax(-1)
    return sum(float(shares[len(before) - 1 + place, token]) for place, token in enumerate(after))


def questions(head: int, seed: int = 0) -> list[Question]:
    """Ten questions that begin with the same `head` tokens, with two to five options of one to six tokens."""
    draw = random.Random(seed)

    def some(least: int, most: int) -> list[int]:
        return draw.choices(range(3, 290), k=draw.randint(least, most))

    first = some(head, head)
    return [Question(first + some(1, 20), [some(1, 6) for _ in range(draw.randint(2, 5))]) for _ in range(10)]


@pytest.mark.parametrize("head", [0, 5, 40])
@pytest.mark.parametrize("tokens", [64, 2048])
def test_options_have_the_log_probabilities_of_full_sequences(
    model: Any, head: int, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "TOKENS_A_BATCH", tokens)
    asked = questions(head)
    for q, found in zip(asked, scoring.options(model, asked), strict=True):
        assert found == pytest.approx([plainly(model, q.prefix, option) for option in q.options], abs=1e-4)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "falcon", "falcon with ALiBi", "gpt2", "mistral, short window"])
def test_every_family_gives_the_log_probabilities_of_full_sequences(kind: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 300}
    more: dict[str, Any] = {
        "mistral": {"num_key_value_heads": 2},
        "qwen2": {"num_key_value_heads": 2},
        "mistral, short window": {"num_key_value_heads": 2, "sliding_window": 8},
        "falcon with ALiBi": {"alibi": True},
        "gpt2": {"n_positions": 128},
    }
    torch.manual_seed(1)
    name = kind.split(",")[0].split(" ")[0]
    config = AutoConfig.for_model(name, initializer_range=0.3, bos_token_id=1, eos_token_id=2, **sizes | more.get(kind, {}))
    model = AutoModelForCausalLM.from_config(config).eval()
    asked = questions(30)
    for q, found in zip(asked, scoring.options(model, asked), strict=True):
        assert found == pytest.approx([plainly(model, q.prefix, option) for option in q.options], abs=1e-4)


def test_what_all_questions_begin_with_is_read_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda ids, **rest: read.append(ids.numel()) or forward(ids, **rest))
    scoring.options(model, [Question([7] * 100 + [n], [[3], [4]]) for n in range(5)])
    assert sum(read) == 100 + 5  # one-token options are never read


def test_whole_texts_count_each_token_once_in_windows_of_any_size(model: Any) -> None:
    draw = random.Random(3)
    texts = [draw.choices(range(3, 290), k=n) for n in (0, 1, 15, 16, 17, 50)]
    found = scoring.texts(model, texts, 1, 16)
    assert found[:4] == pytest.approx([plainly(model, [1], text) if text else 0 for text in texts[:4]], abs=1e-4)
    whole = scoring.texts(model, texts, 1, 100)
    assert whole == pytest.approx([plainly(model, [1], text) if text else 0 for text in texts], abs=1e-4)


@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("references")
def test_log_probabilities_are_those_of_lm_eval(base: Path, model: Any) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    theirs, tokenizer = HFLM(pretrained=str(base), device="cpu", dtype="float32", batch_size=2), chat_tokenizer(base)
    asked = [("which lights turn ", [" green", " red and blue"]), ("", ["ten seconds", "off!"]), ("hold the button", [" down"])]
    pairs = [(context, option) for context, options in asked for option in options]
    wanted = [value for value, _ in theirs.loglikelihood([Instance("", {}, pair, 0) for pair in pairs], disable_tqdm=True)]
    found = scoring.options(model, [scoring.question(tokenizer, *one, 128) for one in asked])
    assert [value for row in found for value in row] == pytest.approx(wanted, abs=1e-4)
    texts = ["the button at the back of the router. " * 8, "off!"]
    wanted = theirs.loglikelihood_rolling([Instance("", {}, (text,), 0) for text in texts], disable_tqdm=True)
    ids = [scoring.plain_ids(tokenizer, text) for text in texts]
    assert scoring.texts(model, ids, theirs.prefix_token_id, theirs.max_length) == pytest.approx(wanted, abs=1e-3)


def test_windows_are_those_of_lm_eval() -> None:
    # lm_eval.utils.get_rolling_token_windows and make_disjoint_window, 0.4.13, of 0...9 after 99, at most 4 tokens
    assert scoring.windows(list(range(10)), 99, 4) == [
        ([99, 0, 1, 2], [0, 1, 2, 3]),
        ([3, 4, 5, 6], [4, 5, 6, 7]),
        ([5, 6, 7, 8], [8, 9]),
    ]
    assert scoring.windows([], 99, 4) == []


def test_a_question_is_cut_on_the_left_and_spaces_go_to_the_options(base: Path) -> None:
    tokenizer = chat_tokenizer(base)
    asked = scoring.question(tokenizer, "the button ", ["back", "at the back"], 100)
    assert tokenizer.decode(asked.prefix) == "the button"
    assert [tokenizer.decode(option) for option in asked.options] == [" back", " at the back"]
    short = scoring.question(tokenizer, "the button at the back of the router", [" is off"], 6)
    assert len(short.prefix) + len(short.options[0]) - 1 == 6
    assert scoring.question(tokenizer, "", ["x"], 10).prefix == [1]
