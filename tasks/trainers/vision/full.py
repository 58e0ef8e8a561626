"""Fine-tune every weight of the base network, with a new classification head."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tasks.serving import networks
from tasks.trainers import Job, Spent
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity
from tasks.trainers.vision import squares


def train(job: Job, folder: Path) -> Spent:
    assert job.base is not None
    look = squares.look_of(job.base, job.recipe["side"])
    model = classifier(job.base, job)
    spent = fit(model, squares.Batches(job, look), squares.cross_entropy, job, identity(job))
    squares.save(folder, job, model, networks.described(job.base), look)
    return spent


def classifier(base: Path, job: Job) -> nn.Module:
    """The base network with a new head, whose random weights are a function of the job's seed."""
    torch.manual_seed(job.seed)
    network = networks.own(networks.described(base), len(job.labels), job.recipe["dropout"])
    if network is None:
        return networks.Logits(networks.theirs(base, **squares.about_labels(job)))
    kept = {name: tensor for name, tensor in networks.tensors(base).items() if not name.startswith("classifier.")}
    missing = network.load_state_dict(kept, strict=False).missing_keys
    assert set(missing) == {"classifier.weight", "classifier.bias"}, missing
    return network
