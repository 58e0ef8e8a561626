"""Fine-tune every weight of the base model."""

from __future__ import annotations

from pathlib import Path

import torch

from tasks import serving
from tasks.trainers import Job, Spent, text
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity


def train(job: Job, folder: Path) -> Spent:
    assert job.base is not None
    torch.manual_seed(job.seed)
    model = text.Classifier(serving.encoder(job.base), len(job.labels))
    spent = fit(model, text.batches(job, job.base, model.pad_id), text.cross_entropy, job, identity(job))
    text.save(folder, job, model.encoder, model.head, job.base)
    return spent
