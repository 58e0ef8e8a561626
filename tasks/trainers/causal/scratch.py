"""Train a language model from random weights, with a tokenizer of its own: nothing but the user's rows influences it."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from tasks import serving
from tasks.records import sha256_of, sha256_of_file
from tasks.trainers import Job, Spent
from tasks.trainers.causal import chat, llama, text, tokens, vocabulary
from tasks.trainers.causal.llama import Llama, Shape
from tasks.trainers.causal.packing import IGNORED, Packed
from tasks.trainers.fit import Batch, fit, has_fast_bfloat16
from tasks.trainers.identity import identity

COMPILE_FROM_FLOPS = 1e14
"""A compiled step is 4 % faster than this eager one, and compiling takes 17 CPU-seconds: that pays after some 425
CPU-seconds, 8.5e13 FLOPs at 200 GFLOP/s a core (measured on 2 cores with AVX512-BF16)."""


def train(job: Job, folder: Path) -> Spent:
    context: int = job.recipe["max_tokens"]
    rows = vocabulary.train(text.texts_of(job), job.recipe["vocabulary"], context, folder)
    separator, _ = marks = (0, 0)
    documents = text.encoded(serving.tokenizer(folder), text.texts_of(job), *marks)
    made_of = sha256_of([name := identity(job), sha256_of_file(folder / "tokenizer.json")])
    data = Packed(tokens.kept(job.checkpoints, made_of, text.without_double_marks(documents)), job)
    model = model_for(job, shape_of(job, rows))
    flops = model.model.shape.flops_a_token
    if flops * data.planned >= COMPILE_FROM_FLOPS and can_compile():
        for layer in model.model.layers:
            layer.compile()
    spent = fit(model, data, next_token, job, name, autocast=False, flops_a_token=flops)
    llama.save(model, folder, separator)
    text.describe(folder, context, separator)
    if chat.is_of_chats(job):
        chat.describe(folder, job)
    return spent


def shape_of(job: Job, vocabulary_rows: int) -> Shape:
    """By `depth`, or as large as `compute_flops` affords."""
    size = job.recipe["depth"], vocabulary_rows, job.recipe["max_tokens"]
    return llama.of_depth(*size) if size[0] else llama.of_budget(job.recipe["compute_flops"], *size[1:])


def model_for(job: Job, shape: Shape) -> Llama:
    """Random weights, a function of the job's seed."""
    torch.manual_seed(job.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Llama(shape, torch.bfloat16 if has_fast_bfloat16(device) else torch.float32)


def next_token(model: nn.Module, batch: Batch) -> Tensor:
    """Summed over the tokens that have a target."""
    assert isinstance(model, Llama)
    states, targets = model(batch.inputs["input_ids"]).flatten(0, 1), batch.targets.flatten()
    if batch.weight < len(targets):
        kept = targets != IGNORED
        states, targets = states[kept], targets[kept]
    return text.summed(model.head(states), targets)


def can_compile() -> bool:
    """Whether inductor finds a compiler: on a CPU it builds C++."""
    return torch.cuda.is_available() or shutil.which("g++") is not None
