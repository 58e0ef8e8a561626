"""Texts as batches of token ids, and the classifier that reads them.

Batches hold texts of like length, so that little is padded, and are a pure function of (seed, step): where a training
stands in its data is one whole number. The classifier is transformers' own class, so that its folder loads everywhere.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers.modeling_utils  # noqa: F401 (half of the start-up: paid before the clock of a training starts)
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from tasks import serving
from tasks.trainers import NOTHING_CUT, Cut, Job, steps
from tasks.trainers.fit import Batch

TOKENIZER = ("tokenizer*.json", "special_tokens_map.json")
WINDOW_BATCHES = 64  # rows are sorted by length within windows of so many batches: memory stays bounded, order random


class Batches:
    """The rows of every optimizer step: each epoch sees each row once, in batches of like length, shuffled."""

    def __init__(
        self, ids: Sequence[Sequence[int]], targets: Sequence[int], job: Job, pad_id: int, cut: Cut = NOTHING_CUT
    ) -> None:
        self.ids, self.targets, self.pad_id, self.seed = ids, targets, pad_id, job.seed
        self.lengths = np.array([len(row) for row in ids])
        self.jitter: float = job.recipe["length_jitter"]
        self.tokens: int = job.recipe["tokens_a_pass"]
        self.a_epoch = math.ceil(len(ids) / job.recipe["rows_a_step"])
        self.steps: int = self.a_epoch * job.recipe["epochs"]
        self.cut = cut
        """What of the rows is not in `ids`."""
        self._order = steps.kept(self.order)

    def __call__(self, step: int) -> list[Batch]:
        """The passes of one step; more than one where the rows together are longer than `tokens_a_pass`."""
        return [self._batch(rows) for rows in steps.passes(step, self.a_epoch, self._order, self.lengths, self.tokens)]

    def order(self, epoch: int) -> list[list[int]]:
        """The rows of each step of an epoch. The jitter on lengths lets rows meet others than their neighbours."""
        draw = np.random.default_rng([self.seed, epoch])
        rows = draw.permutation(len(self.ids))
        key = self.lengths * np.exp(draw.uniform(-self.jitter, self.jitter, len(self.ids)))
        ends = [(batch + 1) * len(rows) // self.a_epoch for batch in range(self.a_epoch)]
        for window in np.split(rows, ends[WINDOW_BATCHES - 1 : -1 : WINDOW_BATCHES]):
            window[:] = window[np.argsort(key[window], kind="stable")]
        batches = [batch.tolist() for batch in np.split(rows, ends[:-1])]
        return [batches[place] for place in draw.permutation(len(batches))]

    def _batch(self, rows: list[int]) -> Batch:
        tokens, mask = serving.pad([self.ids[row] for row in rows], self.pad_id)
        inputs = {"input_ids": tokens} | ({} if mask is None else {"attention_mask": mask})
        return Batch(inputs, torch.tensor([self.targets[row] for row in rows]), len(rows), int(self.lengths[rows].sum()))


def classifier(base: Path, job: Job) -> Any:
    """The base model with a new classification head on top (transformers' own class for it), dropout as in the recipe.

    The head's random weights are a function of the job's seed.
    """
    serving.quiet()
    torch.manual_seed(job.seed)
    config = AutoConfig.from_pretrained(base, local_files_only=True, **about_labels(job))
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
        if hasattr(config, name):
            setattr(config, name, job.recipe["dropout"])
    return AutoModelForSequenceClassification.from_pretrained(
        base, config=config, dtype=torch.float32, attn_implementation=serving.attention(), local_files_only=True
    )


def about_labels(job: Job) -> dict[str, Any]:
    """How transformers' configurations name the labels."""
    return {"id2label": dict(enumerate(job.labels)), "label2id": {label: i for i, label in enumerate(job.labels)}}


@contextmanager
def only_seen_words(model: Any, data: Batches) -> Iterator[None]:
    """Within, the model's word table has only the words of the training rows; after, their vectors are back in the whole.

    The same training: a word that no row has gets no gradient, so AdamW would do no more than decay it (here it stays).
    Saves the optimizer 90 % of a 30,000-word table, a tenth of the CPU time of a small encoder's fine-tuning.
    """
    whole = model.get_input_embeddings()
    seen = np.unique(np.concatenate([[data.pad_id], *data.ids])).astype(np.int64)
    part = nn.Embedding(len(seen), whole.embedding_dim, padding_idx=int(np.searchsorted(seen, data.pad_id)))
    with torch.no_grad():
        part.weight.copy_(whole.weight[seen])
    data.ids, data.pad_id = [np.searchsorted(seen, row).tolist() for row in data.ids], int(np.searchsorted(seen, data.pad_id))
    model.set_input_embeddings(part)
    yield
    with torch.no_grad():
        whole.weight[seen] = part.weight.to(whole.weight.device)
    model.set_input_embeddings(whole.to(part.weight.device))


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """Summed over the rows of the batch."""
    logits = model(**batch.inputs).logits.float()
    return nn.functional.cross_entropy(logits, batch.targets, reduction="sum")


def batches(job: Job, folder: Path, pad_id: int | None) -> Batches:
    """The job's rows as ids of the tokenizer in `folder`."""
    ids, cut = token_ids(job, folder)
    return Batches(ids, targets(job), job, pad_id or 0, cut)


def token_ids(job: Job, folder: Path) -> tuple[list[list[int]], Cut]:
    """The job's rows as ids of the tokenizer in `folder`, at most `max_tokens` of each, and what that cuts off."""
    tokenizer, limit, texts = serving.tokenizer(folder), max_tokens(job, folder), [d.text for d in job.documents]
    ids = serving.token_ids(tokenizer, texts, limit)
    tokenizer.no_truncation()
    long = tokenizer.encode_batch([text for text, row in zip(texts, ids, strict=True) if len(row) == limit])
    return ids, Cut.of((len(encoding.ids) for encoding in long), limit)


def targets(job: Job) -> list[int]:
    place = {label: i for i, label in enumerate(job.labels)}
    return [place[document.label] for document in job.documents]


def save(folder: Path, job: Job, model: Any, tokenizer: Path) -> None:
    """A folder that `tasks.serving` loads, and transformers' `Auto` classes as well: model, tokenizer, labels."""
    serving.quiet()
    model.save_pretrained(folder)
    if tokenizer != folder:
        copy(tokenizer, folder, TOKENIZER)
    describe(folder, job, "classifier", max_tokens(job, folder))


def copy(base: Path, folder: Path, patterns: Sequence[str]) -> None:
    for path in (path for pattern in patterns for path in sorted(base.glob(pattern))):
        shutil.copyfile(path, folder / path.name)


def describe(folder: Path, job: Job, kind: str, tokens: int) -> None:
    """What `tasks.serving` has to know of a folder."""
    about = {"kind": kind, "labels": job.labels, "max_tokens": tokens}
    (folder / "serving.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")


def max_tokens(job: Job, folder: Path) -> int:
    """The recipe's limit, or what the model in `folder` can read if that is less."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) if (folder / "config.json").exists() else {}
    limits: list[int] = [job.recipe["max_tokens"], config.get("max_position_embeddings", job.recipe["max_tokens"])]
    return min(limits)
