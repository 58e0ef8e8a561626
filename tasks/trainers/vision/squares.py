"""Images as batches of squares, and what all branches with a network share.

An image is decoded when a batch first asks for it; its small square of 8-bit pixels is then kept, up to KEPT_BYTES a
process: beyond that, images are decoded again each time.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks import images
from tasks.serving import networks
from tasks.serving.images import Pixels, as_tensor, pixels, square
from tasks.trainers import Job
from tasks.trainers.fit import Batch

KEPT_BYTES = 1_000_000_000
_kept: dict[tuple[str, int], Pixels] = {}
_bytes = 0


def seen(image: str, side: int) -> Pixels:
    """The stored image that a document names, (side, side, 3)."""
    global _bytes
    key = (image.rpartition("/")[2], side)
    if key in _kept:
        return _kept[key]
    made = square(pixels(images.read(image)), side)
    if _bytes + made.nbytes <= KEPT_BYTES:
        _kept[key] = made
        _bytes += made.nbytes
    return made


class Batches:
    """The rows of every optimizer step: each epoch sees each row once, shuffled, moved by up to `shift` of its side and, if
    the recipe says `flip`, mirrored. A pure function of (seed, step)."""

    def __init__(self, job: Job, look: dict[str, Any]) -> None:
        self.names = [document.image or "" for document in job.documents]
        self.targets = targets(job)
        self.look, self.seed, self.recipe = look, job.seed, job.recipe
        self.a_epoch = math.ceil(len(self.names) / job.recipe["rows_a_step"])
        self.steps: int = self.a_epoch * job.recipe["epochs"]

    def __call__(self, step: int) -> list[Batch]:
        epoch, place = divmod(step, self.a_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.names))
        rows = np.array_split(order, self.a_epoch)[place].tolist()
        draw = np.random.default_rng([self.seed, step, 1])
        moved = [self._moved(seen(self.names[row], self.look["side"]), draw) for row in rows]
        most = self.recipe["rows_a_pass"]
        return [self._batch(rows[i : i + most], moved[i : i + most]) for i in range(0, len(rows), most)]

    def _batch(self, rows: Sequence[int], moved: Sequence[Pixels]) -> Batch:
        values = as_tensor(np.stack(moved), self.look).contiguous()
        return Batch({"pixels": values}, torch.tensor([self.targets[row] for row in rows]), len(rows), 0)

    def _moved(self, image: Pixels, draw: np.random.Generator) -> Pixels:
        """What leaves on one side is filled on the other with the last line there."""
        most = round(self.recipe["shift"] * len(image))
        down, right = draw.integers(-most, most + 1, 2)
        places = np.arange(len(image))
        image = image[np.clip(places + down, 0, len(image) - 1)][:, np.clip(places + right, 0, len(image) - 1)]
        return image[:, ::-1] if draw.random() < 0.5 and self.recipe["flip"] else image


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """Summed over the rows of the batch."""
    return nn.functional.cross_entropy(model(batch.inputs["pixels"]).float(), batch.targets, reduction="sum")


def targets(job: Job) -> list[int]:
    place = {label: i for i, label in enumerate(job.labels)}
    return [place[document.label] for document in job.documents]


def about_labels(job: Job) -> dict[str, Any]:
    """How configurations name the labels."""
    return {"id2label": dict(enumerate(job.labels)), "label2id": {label: i for i, label in enumerate(job.labels)}}


def look_of(base: Path, side: int) -> dict[str, Any]:
    """What the network in `base` looks at: squares of `side` pixels (of its own side, if it can read no other), normalised
    as its `preprocessor_config.json` says (else to -1 to 1)."""
    config, place = networks.described(base), base / "preprocessor_config.json"
    about = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    own = config.get("image_size")
    fixed = networks.own(config, 1) is None and isinstance(own, int)
    mean, std = about.get("image_mean", [0.5] * 3), about.get("image_std", [0.5] * 3)
    return {"side": own if fixed else side, "mean": mean, "std": std}


def save(folder: Path, job: Job, model: nn.Module, config: dict[str, Any], look: dict[str, Any]) -> None:
    """A folder that `tasks.serving` loads; with a network of transformers, its `Auto` classes as well."""
    model = model.cpu()
    if isinstance(model, networks.Logits):
        model.model.save_pretrained(folder)
    else:
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(
            json.dumps(config | about_labels(job), ensure_ascii=False, indent=1), encoding="utf-8"
        )
    if job.base and (job.base / "preprocessor_config.json").exists():
        shutil.copyfile(job.base / "preprocessor_config.json", folder / "preprocessor_config.json")
    describe(folder, {"kind": "image-classifier", "labels": job.labels, "look": look})


def describe(folder: Path, about: dict[str, Any]) -> None:
    """What `tasks.serving` has to know of a folder."""
    (folder / "serving.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
