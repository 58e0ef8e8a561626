"""Fine-tune every weight of a base language model on the documents, each in rows of its own, then on preferences if any."""

from __future__ import annotations

from pathlib import Path

from tasks.trainers import Job, Spent
from tasks.trainers.causal import bases, dpo
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity


def train(job: Job, folder: Path) -> Spent:
    assert job.base is not None
    tokens: int = job.recipe["max_tokens"]
    model = bases.load(job.base, tokens)
    data = bases.rows(job, job.base)
    spent = fit(model, data, bases.next_token, job, identity(job), flops_a_token=bases.flops_a_token(model, tokens))
    spent = dpo.tune(model, job, job.base, spent.with_cut(data.cut))
    bases.save(model, job, job.base, folder)
    return spent
