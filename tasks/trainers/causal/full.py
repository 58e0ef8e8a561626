"""Fine-tune every weight of a base language model on the documents, each in rows of its own."""

from __future__ import annotations

from pathlib import Path

from tasks.trainers import Job, Spent
from tasks.trainers.causal import bases
from tasks.trainers.causal.packing import Rows
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity


def train(job: Job, folder: Path) -> Spent:
    assert job.base is not None
    tokens: int = job.recipe["max_tokens"]
    model = bases.load(job.base, tokens)
    data = Rows(bases.documents(job, job.base), job)
    spent = fit(model, data, bases.next_token, job, identity(job), flops_a_token=bases.flops_a_token(model, tokens))
    bases.save(model, job.base, folder)
    return spent
