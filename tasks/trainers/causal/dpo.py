"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290): the better answer of each pair made likelier.

The reference is the model as it is when this begins. Its log-probabilities are computed once, before the first step, so that
a step runs one model alone. Knows chats with a `rejected` answer; others are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks import serving
from tasks.documents import Document
from tasks.serving.causal import with_system
from tasks.serving.scoring import head_sees
from tasks.trainers import Cut, Job, Spent, steps
from tasks.trainers.causal import chat
from tasks.trainers.causal.packing import IGNORED
from tasks.trainers.fit import Batch, fit, has_fast_bfloat16, precision
from tasks.trainers.identity import identity


@dataclass(frozen=True)
class Answer:
    """Token ids that the model reads, and what each is to be followed by: IGNORED but for the last answer."""

    ids: list[int]
    targets: list[int]
    lost: int = 0
    """Tokens cut off on the left."""


def tune(model: Any, job: Job, base: Path, before: Spent) -> Spent:
    """Go on with `model`, in place, on the job's pairs; returns what both trainings took. Without pairs, nothing is done.

    `job.recipe["preference"]` has `beta`, and settings that replace the recipe's own (`learning_rate`, `epochs`, ...).
    Checkpoints and metrics lie beside those of the training `before`, under the name `preference`.
    """
    pairs = pairs_of(job, base)
    if not pairs:
        return before
    own = replace(
        job,
        recipe=job.recipe | job.recipe["preference"],
        checkpoints=job.checkpoints / "preference" if job.checkpoints else None,
        metrics=job.metrics.with_name("preference.jsonl") if job.metrics else None,
        on_progress=lambda done, total: job.on_progress(before.steps_done + done, before.steps_planned + total),
    )
    data = Pairs(pairs, margins(model, pairs, own.recipe["tokens_a_pass"]), own)
    spent = fit(model, data, partial(loss, beta=own.recipe["beta"]), own, identity(own)).with_cut(_cut(pairs))
    return Spent(*(getattr(before, field.name) + getattr(spent, field.name) for field in fields(Spent)))


def pairs_of(job: Job, base: Path) -> list[tuple[Answer, Answer]]:
    """Of each chat with a rejected answer: the chosen one, the rejected one; cut on the left to the recipe's `max_tokens`."""
    tokenizer, limit, system = chat.tokenizer_of(base), job.recipe["max_tokens"], job.recipe.get("system")
    rows = [document for document in job.documents if document.messages and document.rejected is not None]
    return [(_answer(tokenizer, d, None, limit, system), _answer(tokenizer, d, d.rejected, limit, system)) for d in rows]


def _answer(tokenizer: Any, document: Document, instead: str | None, limit: int, system: str | None) -> Answer:
    messages = with_system(document.messages or [], system)
    last = messages[-1] if instead is None else {"role": "assistant", "content": instead}
    ids, targets = chat.of_chat(tokenizer, [*messages[:-1], last])
    start = _start_of_last(targets)
    kept = [IGNORED] * start + targets[start:]
    return Answer(ids[:-1][-limit:], kept[1:][-limit:], max(len(ids) - 1 - limit, 0))


def _cut(pairs: Sequence[tuple[Answer, Answer]]) -> Cut:
    """Of pairs whose rejected answer alone was too long; chosen ones were counted by the training before."""
    alone = [rejected.lost for chosen, rejected in pairs if rejected.lost and not chosen.lost]
    return Cut(len(alone), sum(alone))


def _start_of_last(targets: Sequence[int]) -> int:
    """Where the last answer begins: earlier ones are part of what both sides answer to."""
    end = max(place for place, target in enumerate(targets) if target != IGNORED)
    gaps = [place for place in range(end) if targets[place] == IGNORED]
    return gaps[-1] + 1 if gaps else 0


class Pairs:
    """The pairs of every step, a function of (seed, step): each epoch has each pair once, of like length together."""

    def __init__(self, pairs: Sequence[tuple[Answer, Answer]], reference: Sequence[float], job: Job) -> None:
        """`reference`: of each pair, log-probability of the chosen minus the rejected answer, by the reference model."""
        self.pairs, self.reference, self.seed = pairs, reference, job.seed
        self.lengths = [len(chosen.ids) + len(rejected.ids) for chosen, rejected in pairs]
        self.tokens_a_pass: int = job.recipe["tokens_a_pass"]
        self.a_epoch = min(len(pairs), math.ceil(sum(self.lengths) / job.recipe["tokens_a_step"]))
        self.steps: int = self.a_epoch * job.recipe["epochs"]
        self._order = steps.kept(self.order)

    def __call__(self, step: int) -> list[Batch]:
        return [self._batch(r) for r in steps.passes(step, self.a_epoch, self._order, self.lengths, self.tokens_a_pass)]

    def order(self, epoch: int) -> list[list[int]]:
        """The pairs of each step of an epoch."""
        drawn = np.random.default_rng([self.seed, epoch]).permutation(len(self.pairs))
        return [rows.tolist() for rows in np.array_split(drawn, self.a_epoch)]

    def _batch(self, rows: list[int]) -> Batch:
        batch = padded([self.pairs[row][side] for side in (0, 1) for row in rows])
        batch.inputs["reference"] = torch.tensor([self.reference[row] for row in rows])
        return Batch(batch.inputs, batch.targets, len(rows), sum(self.lengths[row] for row in rows))


def padded(answers: Sequence[Answer]) -> Batch:
    """Padded on the right, where a causal model does not look, so no mask is needed."""
    longest = max(len(answer.ids) for answer in answers)
    ids = torch.zeros((len(answers), longest), dtype=torch.long)
    targets = torch.full((len(answers), longest), IGNORED)
    for row, answer in enumerate(answers):
        ids[row, : len(answer.ids)] = torch.tensor(answer.ids)
        targets[row, : len(answer.targets)] = torch.tensor(answer.targets)
    return Batch({"input_ids": ids}, targets, len(answers), sum(len(answer.ids) for answer in answers))


def log_probabilities(model: nn.Module, batch: Batch) -> Tensor:
    """Of each row's targets, summed, (rows,) in float32. The head runs on no other tokens."""
    kept = batch.targets != IGNORED
    with head_sees(model, kept):
        logits = model(input_ids=batch.inputs["input_ids"], use_cache=False).logits[0]
    each = -functional.cross_entropy(logits.float(), batch.targets[kept], reduction="none")
    rows = kept.nonzero()[:, 0]
    return torch.zeros(len(kept), device=each.device).index_add(0, rows, each)


def loss(model: nn.Module, batch: Batch, beta: float) -> Tensor:
    """-log sigmoid(beta * (the chosen answer's lead over the rejected one - its lead under the reference)), summed over pairs.

    Equation 7 of arXiv 2305.18290; the first half of the rows are the chosen answers, the second half the rejected ones.
    Told of as metrics: `reward_margin`, what the sigmoid is taken of, and `reward_accuracy`, how often it is above 0.
    """
    chosen, rejected = log_probabilities(model, batch).chunk(2)
    margins = beta * (chosen - rejected - batch.inputs["reference"])
    seen = margins.detach()
    batch.sums.update(reward_margin=seen.sum(), reward_accuracy=(seen > 0).sum())
    return -functional.logsigmoid(margins).sum()


def margins(model: Any, pairs: Sequence[tuple[Answer, Answer]], tokens: int) -> list[float]:
    """The log-probability of each pair's chosen answer minus the rejected one's, by the model as it is."""
    device = next(model.parameters()).device
    out = [0.0] * len(pairs)
    was_training = model.training
    model.eval()
    lengths = [len(chosen.ids) + len(rejected.ids) for chosen, rejected in pairs]
    fast = has_fast_bfloat16(device)  # as in `fit`: the two sides of a margin are rounded alike
    with torch.inference_mode(), precision(device), torch.autocast(device.type, torch.bfloat16, enabled=fast):
        for rows in serving.by_length(lengths, tokens):
            batch = padded([pairs[row][side] for side in (0, 1) for row in rows]).to(device)
            chosen, rejected = log_probabilities(model, batch).chunk(2)
            for row, margin in zip(rows, (chosen - rejected).tolist(), strict=True):
                out[row] = margin
    model.train(was_training)
    return out
