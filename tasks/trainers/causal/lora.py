"""Fine-tune low-rank additions to all linear layers of a base language model (LoRA, arXiv 2106.09685), merged in at the end.

The frozen weights are held in bfloat16 where that is fast; what was learnt is added to the base's own, in float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, LoraModel
from peft.tuners.lora import Linear

from tasks.trainers import Job, Spent
from tasks.trainers.causal import bases, dpo
from tasks.trainers.fit import fit, has_fast_bfloat16
from tasks.trainers.identity import identity


def train(job: Job, folder: Path) -> Spent:
    assert job.base is not None
    data = bases.rows(job, job.base)
    adapted = adapt(job)
    spent = fit(adapted, data, bases.next_token, job, identity(job)).with_cut(data.cut)
    spent = dpo.tune(adapted, job, job.base, spent)
    merged = bases.load(job.base, job.recipe["max_tokens"])
    add(adapted, merged)
    bases.save(merged, job, job.base, folder)
    return spent


def adapt(job: Job) -> Any:
    """The base model with fresh adapters, which alone are trained; their random half is a function of the job's seed."""
    assert job.base is not None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    frozen = torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    model = bases.load(job.base, job.recipe["max_tokens"], frozen)
    torch.manual_seed(job.seed)
    LoraModel(
        model.base_model,
        LoraConfig(r=job.recipe["rank"], lora_alpha=job.recipe["alpha"], target_modules="all-linear"),
        "default",
    )
    for module in model.modules():
        if isinstance(module, Linear):
            module.cast_input_dtype_enabled = False  # autocast does it, without the way by float32
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def add(adapted: Any, whole: Any) -> None:
    """Add what the adapters learnt to the weights of `whole`, the same model without adapters."""
    for name, module in adapted.named_modules():
        if isinstance(module, Linear):
            weight = whole.get_submodule(name).weight
            with torch.no_grad():
                weight += module.get_delta_weight("default").to(weight)
