"""Fine-tune low-rank additions to the base network's layers (LoRA, arXiv 2106.09685), merged in at the end; the head is new.

Of a network of transformers all linear layers get some; of a convolutional one all convolutions but the depthwise ones,
which have fewer weights than an addition to them would.
"""

from __future__ import annotations

from pathlib import Path

from peft import LoraConfig, LoraModel
from torch import nn

from tasks.serving import networks
from tasks.trainers import Job, Spent
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity
from tasks.trainers.vision import full, squares


def train(job: Job, folder: Path) -> Spent:
    assert job.base is not None
    look = squares.look_of(job.base, job.recipe["side"])
    model = full.classifier(job.base, job)
    adapted = _adapt(model, job)
    spent = fit(model, squares.Batches(job, look), squares.cross_entropy, job, identity(job))
    adapted.merge_and_unload()
    squares.save(folder, job, model, networks.described(job.base), look)
    return spent


def _adapt(model: nn.Module, job: Job) -> LoraModel:
    """Put adapters into `model`, in place: they and the head alone are trained."""
    layers: list[str] | str = [name for name, module in model.named_modules() if _takes_some(module)]
    within = model
    if isinstance(model, networks.Logits):
        within, layers = model.model.base_model, "all-linear"
    config = LoraConfig(r=job.recipe["rank"], lora_alpha=job.recipe["alpha"], target_modules=layers)
    adapted = LoraModel(within, config, "default")
    for name, parameter in model.named_parameters():
        if "lora_" not in name and "classifier" in name:
            parameter.requires_grad_(True)
    return adapted


def _takes_some(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == 1
