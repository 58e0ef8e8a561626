"""Texts as batches of token ids, and the classifier that reads them.

Batches hold texts of like length, so that little is padded, and are a pure function of (seed, step): where a training
stands in its data is one whole number. The classifier is a linear layer on the mean of the encoder's last states: with
few rows it learns where a head on the first token's state does not (see `tasks.recipes`).
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

from tasks import serving
from tasks.trainers import Job
from tasks.trainers.fit import Batch

WINDOW_BATCHES = 64  # rows are sorted by length within windows of so many batches: memory stays bounded, order random


class Batches:
    """The rows of every optimizer step: each epoch sees each row once, in batches of like length, shuffled."""

    def __init__(self, ids: Sequence[Sequence[int]], targets: Sequence[int], job: Job, pad_id: int) -> None:
        self.ids, self.targets, self.pad_id, self.seed = ids, targets, pad_id, job.seed
        self.lengths = np.array([len(row) for row in ids])
        self.jitter: float = job.recipe["length_jitter"]
        self.tokens: int = job.recipe["tokens_a_pass"]
        self.a_epoch = math.ceil(len(ids) / job.recipe["rows_a_step"])
        self.steps: int = self.a_epoch * job.recipe["epochs"]
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    def __call__(self, step: int) -> list[Batch]:
        """The passes of one step; more than one where the rows together are longer than `tokens_a_pass`."""
        epoch, place = divmod(step, self.a_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self.order(epoch))
        rows = self._epoch[1][place]
        parts = serving.by_length([len(self.ids[row]) for row in rows], self.tokens)
        return [self._batch([rows[i] for i in part]) for part in parts]

    def order(self, epoch: int) -> list[list[int]]:
        """The rows of each step of an epoch. The jitter on lengths lets rows meet others than their neighbours."""
        draw = np.random.default_rng([self.seed, epoch])
        rows = draw.permutation(len(self.ids))
        key = self.lengths * np.exp(draw.uniform(-self.jitter, self.jitter, len(self.ids)))
        windows = np.array_split(np.arange(self.a_epoch), math.ceil(self.a_epoch / WINDOW_BATCHES))
        batches: list[list[int]] = []
        for window, part in zip(windows, np.array_split(rows, len(windows)), strict=True):
            ordered = part[np.argsort(key[part], kind="stable")]
            batches += [batch.tolist() for batch in np.array_split(ordered, len(window))]
        return [batches[place] for place in draw.permutation(len(batches))]

    def _batch(self, rows: list[int]) -> Batch:
        tokens, mask = serving.pad([self.ids[row] for row in rows], self.pad_id)
        inputs = {"tokens": tokens} | ({} if mask is None else {"mask": mask})
        return Batch(inputs, torch.tensor([self.targets[row] for row in rows]), len(rows), int(self.lengths[rows].sum()))


class Classifier(nn.Module):
    """Logits (n, k) from token ids (n, longest) and their mask."""

    def __init__(self, encoder: nn.Module, k: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.pad_id: int = encoder.config.pad_token_id or 0  # type: ignore[union-attr, assignment]
        self.head = nn.Linear(encoder.config.hidden_size, k)  # type: ignore[union-attr, arg-type]
        nn.init.normal_(self.head.weight, std=0.02)  # as BERT's own heads, arXiv 1810.04805
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.head(serving.mean_state(self.encoder, tokens, mask))  # type: ignore[no-any-return]


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """Summed over the rows of the batch."""
    return nn.functional.cross_entropy(model(**batch.inputs).float(), batch.targets, reduction="sum")


def batches(job: Job, folder: Path, pad_id: int) -> Batches:
    """The job's rows as ids of the tokenizer in `folder`."""
    ids = serving.token_ids(serving.tokenizer(folder), [d.text for d in job.documents], job.recipe["max_tokens"])
    return Batches(ids, targets(job), job, pad_id)


def targets(job: Job) -> list[int]:
    place = {label: i for i, label in enumerate(job.labels)}
    return [place[document.label] for document in job.documents]


def save(folder: Path, job: Job, encoder: Any, head: nn.Linear, tokenizer: Path) -> None:
    """A folder that `tasks.serving` loads; its encoder and tokenizer also load with transformers' `AutoModel`."""
    from safetensors.torch import save_file

    encoder.config.id2label = dict(enumerate(job.labels))
    encoder.config.label2id = {label: i for i, label in enumerate(job.labels)}
    serving.quiet()
    encoder.save_pretrained(folder)
    save_file({name: tensor.cpu() for name, tensor in head.state_dict().items()}, folder / "head.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (tokenizer / name).exists() and tokenizer != folder:
            shutil.copy(tokenizer / name, folder / name)
    about = {"kind": "encoder", "labels": job.labels, "max_tokens": job.recipe["max_tokens"], "pooling": "mean"}
    (folder / "serving.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
