"""Train a small network from random weights: nothing but the user's images influences it.

The recipe's architecture names it: `cnn` (channels of each stage), or `vit`, transformers' class with the sizes given.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tasks import images
from tasks.serving import networks
from tasks.serving.images import opened
from tasks.trainers import Job, Spent
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity
from tasks.trainers.vision import squares

SAMPLE = 500  # images that sizes and colours are taken from
GRID = 8  # sides are multiples of it, so that every stage and patch divides them


def train(job: Job, folder: Path) -> Spent:
    look = _look(job)
    torch.manual_seed(job.seed)
    model, config = _network(job, look["side"])
    spent = fit(model, squares.Batches(job, look), squares.cross_entropy, job, identity(job))
    squares.save(folder, job, model, config, look)
    return spent


def _look(job: Job) -> dict[str, Any]:
    """Squares as large as the images are (median of the longer sides), up to the recipe's `side`; their own mean and spread."""
    names = [document.image or "" for document in job.documents[:SAMPLE]]
    longer = float(np.median([max(opened(images.read(name)).size) for name in names]))
    side = min(job.recipe["side"], math.ceil(longer / GRID) * GRID)
    values = np.stack([squares.seen(name, side) for name in names]).reshape(-1, 3) / 255
    std = np.maximum(values.std(0), 0.05)
    return {"side": side, "mean": values.mean(0).round(4).tolist(), "std": std.round(4).tolist()}


def _network(job: Job, side: int) -> tuple[nn.Module, dict[str, Any]]:
    """The network and what `config.json` says of it (transformers writes its own)."""
    architecture = dict(job.recipe["architecture"])
    if (kind := architecture.pop("kind")) == "vit":
        return _vit(job, side, architecture), {}
    config = {"model_type": networks.CNN, "channels": architecture["channels"]}
    network = networks.own(config, len(job.labels), job.recipe["dropout"])
    assert kind == "cnn", kind
    assert network is not None
    return network, config


def _vit(job: Job, side: int, sizes: dict[str, Any]) -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    dropout = {
        f"{part}_probs_dropout_prob" if part == "attention" else f"{part}_dropout_prob": job.recipe["dropout"]
        for part in ("hidden", "attention")
    }
    config = ViTConfig(image_size=side, **sizes, **dropout, **squares.about_labels(job))
    return networks.Logits(ViTForImageClassification(config))
