"""Fine-tune low-rank additions to the base model's linear layers (LoRA, arXiv 2106.09685), merged in at the end."""

from __future__ import annotations

from pathlib import Path

import torch

from tasks import serving
from tasks.trainers import Job, Spent, text
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity


def train(job: Job, folder: Path) -> Spent:
    from peft import LoraConfig, LoraModel

    assert job.base is not None
    torch.manual_seed(job.seed)
    base = serving.encoder(job.base)
    model = text.Classifier(base, len(job.labels))
    config = LoraConfig(
        r=job.recipe["rank"], lora_alpha=job.recipe["alpha"], lora_dropout=job.recipe["dropout"], target_modules="all-linear"
    )
    adapted = LoraModel(base, config, "default")
    spent = fit(model, text.batches(job, job.base, model.pad_id), text.cross_entropy, job, identity(job))
    text.save(folder, job, adapted.merge_and_unload(), model.head, job.base)
    return spent
