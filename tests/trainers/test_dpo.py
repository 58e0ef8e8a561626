"""Direct preference optimisation: the loss of its paper and of TRL, a reference computed once, and what it changes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks import trainers
from tasks.documents import Document
from tasks.trainers import Job, Spent
from tasks.trainers.causal import bases, chat, dpo
from tests.trainers.language import make_job
from tests.trainers.tiny import CHATML, make_llama

BETA = 0.1


def preferences(n: int) -> list[Document]:
    rows = []
    for i in range(n):
        asked, good, bad = f"the router {i % 5}?", "hold the button", "no, the printer is off!" if i % 2 else "ink"
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": good}]
        rows.append(Document(f"{i:03}", asked, "", f"{i}", messages, bad))
    return rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("shelf") / "chatml")


@pytest.fixture
def job(base: Path, tmp_path: Path) -> Job:
    preference = {"beta": BETA, "learning_rate": 1e-3, "epochs": 8}
    sizes = {"max_tokens": 64, "epochs": 1, "learning_rate": 1e-5, "preference": preference}
    return make_job("full", tmp_path, base, documents=preferences(12), recipe=sizes)


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses are compared outside of the engine, which would round both sides of a margin alike."""
    monkeypatch.setattr(dpo, "has_fast_bfloat16", lambda _device: False)


def moved(base: Path, by: float) -> Any:
    """The base with a little noise on all weights: a policy that has left its reference."""
    model, draw = bases.load(base, 64), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += by * torch.randn(parameter.shape, generator=draw)
    return model


def plainly(model: Any, tokenizer: Any, messages: list[dict[str, str]]) -> torch.Tensor:
    """The answer's log-probability: the whole sequence alone, the whole softmax."""
    before = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    after = f"{messages[-1]['content']}<|im_end|>"
    first, then = (tokenizer.encode(part, add_special_tokens=False) for part in (before, after))
    shares = model(torch.tensor([first + then])).logits[0].log_softmax(-1)
    return sum(shares[len(first) - 1 + place, token] for place, token in enumerate(then))  # type: ignore[return-value]


def test_the_loss_and_its_gradient_are_those_of_the_formula_on_full_sequences(job: Job, base: Path) -> None:
    reference, policy = moved(base, 0), moved(base, 0.02)
    pairs = dpo.pairs_of(job, base)
    (batch,) = dpo.Pairs(pairs, dpo.margins(reference, pairs, 10_000), with_one_step(job))(0)
    ours = dpo.loss(policy, batch, BETA) / batch.weight
    ours.backward()
    gradients = [parameter.grad.clone() for parameter in policy.parameters()]
    policy.zero_grad()
    tokenizer, losses = chat.tokenizer_of(base), []
    for row in job.documents:
        assert row.messages
        bad = [*row.messages[:-1], {"role": "assistant", "content": str(row.rejected)}]
        led, lead = (plainly(m, tokenizer, row.messages) - plainly(m, tokenizer, bad) for m in (reference, policy))
        losses.append(-torch.nn.functional.logsigmoid(BETA * (lead - led.detach())))
    theirs = torch.stack(losses).mean()
    theirs.backward()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for one, parameter in zip(gradients, policy.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, atol=1e-5, rtol=1e-3)


def with_one_step(job: Job) -> Job:
    job.recipe.update(tokens_a_step=10**6, tokens_a_pass=10**6, epochs=1)
    return job


def test_before_the_first_step_the_loss_is_the_logarithm_of_two(job: Job, base: Path) -> None:
    model = bases.load(base, 64)
    pairs = dpo.pairs_of(job, base)
    (batch,) = dpo.Pairs(pairs, dpo.margins(model, pairs, 64), with_one_step(job))(0)
    assert float(dpo.loss(model, batch, BETA).detach()) / batch.weight == pytest.approx(math.log(2), abs=1e-5)


def test_training_on_preferences_makes_chosen_answers_likelier_than_rejected_ones(job: Job, base: Path) -> None:
    pairs = dpo.pairs_of(job, base)
    before = dpo.margins(bases.load(base, 64), pairs, 1000)
    trained = trainers.train(job)
    after = dpo.margins(bases.load(job.folder, 64), pairs, 1000)
    assert all(late > early + 1 for early, late in zip(before, after, strict=True))
    assert trained.steps_done == trained.steps_planned > 8


def test_each_step_tells_how_far_and_how_often_the_chosen_answer_leads(job: Job, base: Path, tmp_path: Path) -> None:
    job.recipe["preference"] |= {"tokens_a_step": 10**6}  # all pairs in each step
    job = replace(job, metrics=tmp_path / "metrics.jsonl")
    trainers.train(job)
    lines = [json.loads(line) for line in (tmp_path / "preference.jsonl").read_text().splitlines()]
    told = [line["reward_margin"] for line in lines]
    assert (len(told), told[0], lines[0]["loss"]) == (8, pytest.approx(0, abs=1e-3), pytest.approx(math.log(2), abs=1e-3))
    assert told == sorted(told)
    assert lines[-1]["reward_accuracy"] == 1
    tuned = replace(job, documents=[replace(d, rejected=None) for d in job.documents], folder=tmp_path / "tuned")
    trainers.train(tuned)  # the reference: the same training without the preferences
    pairs = dpo.pairs_of(job, base)
    leads = [dpo.margins(bases.load(folder, 64), pairs, 1000) for folder in (job.folder, tuned.folder)]
    assert told[-1] < BETA * np.mean(np.subtract(*leads))  # the last step's own change comes on top


def test_of_pairs_whose_rejected_answer_alone_is_too_long_the_loss_of_tokens_is_counted(job: Job, base: Path) -> None:
    row = job.documents[0]
    long = replace(row, rejected="no " * 60)
    ((chosen, rejected),) = dpo.pairs_of(replace(job, documents=[long]), base)
    assert (chosen.lost, rejected.lost > 0, len(rejected.ids)) == (0, True, 64)
    trained = trainers.train(replace(job, documents=[long, job.documents[1]]))
    assert (trained.cut_rows, trained.cut_tokens) == (1, rejected.lost)


def test_rows_without_a_rejected_answer_take_no_part_and_a_job_of_such_rows_does_nothing(job: Job, base: Path) -> None:
    plain = [Document(d.id, d.text, "", d.group, d.messages) for d in job.documents]
    model = bases.load(base, 64)
    before = {name: p.clone() for name, p in model.named_parameters()}
    only = make_job("full", job.folder.parent, base, documents=plain)
    assert dpo.tune(model, only, base, Spent(3, 3)) == Spent(3, 3)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    mixed = make_job("full", job.folder.parent, base, documents=[*plain[:5], *job.documents[5:]])
    assert len(dpo.pairs_of(mixed, base)) == len(job.documents) - 5


def test_only_the_last_answer_of_a_chat_counts(job: Job, base: Path) -> None:
    talk = [{"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "off!"))]
    job = make_job("full", job.folder.parent, base, documents=[Document("0", "", "", "0", talk, "on")])
    ((chosen, rejected),) = dpo.pairs_of(job, base)
    tokenizer = chat.tokenizer_of(base)
    said = [tokenizer.decode([t for t in answer.targets if t != chat.IGNORED]) for answer in (chosen, rejected)]
    assert said == ["off!<|im_end|>", "on<|im_end|>"]


@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("references")
def test_loss_and_gradient_are_those_of_trl(job: Job, tmp_path: Path) -> None:
    import datasets
    import trl

    # TRL also counts what a template puts after the end mark, which is never generated: here, nothing
    base = make_llama(tmp_path / "base", CHATML.replace("<|im_end|>\n", "<|im_end|>"))
    reference, policy = moved(base, 0), moved(base, 0.02)
    pairs = dpo.pairs_of(job, base)
    (batch,) = dpo.Pairs(pairs, dpo.margins(reference, pairs, 10_000), with_one_step(job))(0)
    ours = dpo.loss(policy, batch, BETA) / batch.weight
    ours.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in policy.named_parameters()}
    policy.zero_grad()
    rows = [
        {
            "prompt": (row.messages or [])[:-1],
            "chosen": (row.messages or [])[-1:],
            "rejected": [{"role": "assistant", "content": row.rejected}],
        }
        for row in job.documents
    ]
    settings = {"beta": BETA, "per_device_train_batch_size": len(rows), "use_cpu": True, "bf16": False, "report_to": "none"}
    settings |= {"output_dir": str(tmp_path / "trl"), "gradient_checkpointing": False, "disable_dropout": False}
    trainer = trl.DPOTrainer(
        policy,
        reference,
        trl.DPOConfig(**settings),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=chat.tokenizer_of(base),
    )
    theirs = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    theirs.backward()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for name, parameter in policy.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-5, rtol=1e-3)
