"""Fine-tune every weight of the base model."""

from __future__ import annotations

from pathlib import Path

from tasks.trainers import Job, Spent, text
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity


def train(job: Job, folder: Path) -> Spent:
    assert job.base is not None
    model = text.classifier(job.base, job)
    data = text.batches(job, job.base, model.config.pad_token_id)
    with text.only_seen_words(model, data):
        spent = fit(model, data, text.cross_entropy, job, identity(job))
    text.save(folder, job, model, job.base)
    return spent.with_cut(data.cut)
