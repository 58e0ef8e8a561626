"""What is trained from scratch is transformers' LLaMA: same outputs, loss and gradients, and its files load there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.trainers.causal import llama, scratch
from tasks.trainers.causal.llama import Llama, of_budget, of_depth
from tasks.trainers.fit import Batch

SHAPE = of_depth(2, vocabulary=192, context=32)


def ids(rows: int = 3, tokens: int = 17) -> torch.Tensor:
    return torch.randint(0, SHAPE.vocabulary, (rows, tokens), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Llama, Any]:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    ours = Llama(SHAPE)
    llama.save(ours, tmp_path, separator=0)
    return ours, AutoModelForCausalLM.from_pretrained(tmp_path)


def test_transformers_loads_the_files_and_says_the_same(pair: tuple[Llama, Any]) -> None:
    ours, theirs = pair
    torch.testing.assert_close(ours.head(ours(ids())), theirs(ids()).logits, atol=1e-5, rtol=1e-4)


def test_loss_and_gradients_are_those_of_transformers(pair: tuple[Llama, Any]) -> None:
    ours, theirs = pair
    given = ids()
    batch = Batch({"input_ids": given[:, :-1]}, given[:, 1:], given[:, 1:].numel(), given[:, 1:].numel())
    loss = scratch.next_token(ours, batch) / batch.weight
    loss.backward()  # type: ignore[no-untyped-call]
    reference = theirs(input_ids=given, labels=given).loss
    reference.backward()
    torch.testing.assert_close(loss, reference, atol=1e-6, rtol=1e-5)
    theirs_by_name = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs_by_name[name].grad, atol=1e-6, rtol=1e-4)


def test_plain_attention_is_the_fused_one() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 19, 16)
    torch.testing.assert_close(llama.attend(q, k, v, llama.ahead(19, q)), llama.attend(q, k, v, None))


def test_the_parameters_and_flops_of_a_shape_are_those_of_the_model() -> None:
    model = Llama(SHAPE)
    assert SHAPE.parameters == sum(p.numel() for p in model.parameters())
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    assert SHAPE.flops_a_token == 6 * matrices + 12 * SHAPE.layers * SHAPE.width * SHAPE.context


def test_a_larger_budget_buys_a_larger_model_that_it_can_train() -> None:
    depths = [of_budget(flops, 4096, 256).layers for flops in (1e9, 1e14, 1e16)]
    assert depths == sorted(depths)
    assert depths[0] == 2
    assert depths[-1] > depths[1]
    shape = of_budget(1e16, 4096, 256)
    assert shape.flops_a_token * 20 * shape.parameters <= 1e16


def test_training_from_scratch_imports_no_transformers() -> None:
    code = "import sys; import tasks.trainers.job, tasks.trainers.causal.scratch; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
