"""Train a small BERT from random weights with a tokenizer of its own: nothing but the user's rows influences it."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertForSequenceClassification

from tasks import serving
from tasks.documents import Document
from tasks.trainers import Job, Spent, text, tokenizer
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity

TRIAL_ROWS = 400
MANY_PIECES = 2.5  # tokens a word: sentences of common words have 1 to 2


def train(job: Job, folder: Path) -> Spent:
    kind = _kind(job)
    model, data = _network(job, kind, folder)
    spent = fit(model, data, text.cross_entropy, job, identity(job))
    text.save(folder, job, model, folder)
    return spent.with_cut(data.cut)


def _network(job: Job, kind: str, folder: Path) -> tuple[Any, text.Batches]:
    """The model with its random weights, and its rows; their tokenizer is left in `folder`."""
    size = _tokenizer(job, kind, folder)
    torch.manual_seed(job.seed)
    dropout = {f"{part}_dropout_prob": job.recipe["dropout"] for part in ("hidden", "attention_probs")}
    sizes = {"vocab_size": size, "max_position_embeddings": job.recipe["max_tokens"]} | job.recipe["architecture"]
    config = BertConfig(**sizes, **dropout, **text.about_labels(job), attn_implementation=serving.attention())
    model = BertForSequenceClassification(config)
    return model, text.batches(job, folder, model.config.pad_token_id)


def _kind(job: Job) -> str:
    """The tokenizer among the recipe's `tokenizers`: the first, unless it cuts unseen words into many pieces.

    Then all are tried: the network learns from three quarters of at most TRIAL_ROWS rows in half the epochs, and the kind with
    the least loss on the other quarter is taken. Costs about as much as the training itself where there are few rows.
    """
    kinds: list[str] = job.recipe["tokenizers"]
    held, rest = _halves(job)
    known, unseen = [document.text for document in rest], [document.text for document in held]
    if len(kinds) == 1 or not held:
        return kinds[0]
    if tokenizer.pieces_a_word(tokenizer.make(kinds[0], known, job.recipe["vocabulary"]), unseen) < MANY_PIECES:
        return kinds[0]
    losses = {kind: _loss(job, kind, rest, held) for kind in kinds}
    return min(kinds, key=lambda kind: losses[kind])


def _halves(job: Job) -> tuple[list[Document], list[Document]]:
    """A quarter of the rows to measure on and three to learn from."""
    rows = np.random.default_rng(job.seed).permutation(len(job.documents))[:TRIAL_ROWS]
    drawn = [job.documents[row] for row in rows]
    return drawn[: len(drawn) // 4], drawn[len(drawn) // 4 :]


def _loss(job: Job, kind: str, rest: list[Document], held: list[Document]) -> float:
    """Of a row in `held`, after a short training on `rest`."""
    recipe = job.recipe | {"epochs": math.ceil(job.recipe["epochs"] / 2)}
    trial = replace(job, documents=rest, recipe=recipe, checkpoints=None, metrics=None, on_progress=lambda *_: None)
    with tempfile.TemporaryDirectory() as place:
        model, data = _network(trial, kind, Path(place))
        fit(model, data, text.cross_entropy, trial)
        unseen = text.batches(replace(trial, documents=held), Path(place), model.config.pad_token_id)
    device = next(model.parameters()).device
    with torch.inference_mode():
        model.eval()
        passes = [batch.to(device) for step in range(unseen.a_epoch) for batch in unseen(step)]
        return sum(float(text.cross_entropy(model, batch)) for batch in passes) / len(held)


def _tokenizer(job: Job, kind: str, folder: Path) -> int:
    """Write the tokenizer; its size."""
    made = tokenizer.make(kind, [document.text for document in job.documents], job.recipe["vocabulary"])
    made.save(str(folder / "tokenizer.json"))
    about: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": job.recipe["max_tokens"]}
    about |= {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "cls", "sep", "mask")}
    about |= {"unk_token": tokenizer.UNKNOWN} if kind == "char" else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(about | {"made_of": kind}, indent=1))
    return int(made.get_vocab_size())
