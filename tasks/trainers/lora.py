"""Fine-tune low-rank additions to the base model's linear layers (LoRA, arXiv 2106.09685), merged in at the end.

The classification head, and with it BERT's pooler, is trained as a whole: it may be new, and it is small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, LoraModel

from tasks.trainers import Job, Spent, text
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity


def train(job: Job, folder: Path) -> Spent:
    assert job.base is not None
    model = text.classifier(job.base, job)
    config = LoraConfig(
        r=job.recipe["rank"], lora_alpha=job.recipe["alpha"], target_modules="all-linear", exclude_modules=_HEAD
    )
    adapted = LoraModel(model.base_model, config, "default")
    _train_pooler(model)
    data = text.batches(job, job.base, model.config.pad_token_id)
    spent = fit(model, data, text.cross_entropy, job, identity(job))
    adapted.merge_and_unload()
    text.save(folder, job, model, job.base)
    return spent.with_cut(data.cut)


_HEAD = r".*pooler.*"


def _train_pooler(model: Any) -> None:
    for name, parameter in model.named_parameters():
        if "pooler" in name:
            parameter.requires_grad_(True)
