"""Train a small BERT from random weights with a tokenizer of its own: nothing but the user's rows influences it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertForSequenceClassification

from tasks import serving
from tasks.trainers import Job, Spent, text, tokenizer
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity


def train(job: Job, folder: Path) -> Spent:
    size = _tokenizer(job, folder)
    torch.manual_seed(job.seed)
    dropout = {f"{part}_dropout_prob": job.recipe["dropout"] for part in ("hidden", "attention_probs")}
    sizes = {"vocab_size": size, "max_position_embeddings": job.recipe["max_tokens"]} | job.recipe["architecture"]
    config = BertConfig(**sizes, **dropout, **text.about_labels(job), attn_implementation=serving.attention())
    model = BertForSequenceClassification(config)
    spent = fit(model, text.batches(job, folder, model.config.pad_token_id), text.cross_entropy, job, identity(job))
    text.save(folder, job, model, folder)
    return spent


def _tokenizer(job: Job, folder: Path) -> int:
    """Write the tokenizer that the rows themselves choose; its size."""
    kind, made = tokenizer.chosen(job)
    made.save(str(folder / "tokenizer.json"))
    about: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": job.recipe["max_tokens"]}
    about |= {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "cls", "sep", "mask")}
    about |= {"unk_token": tokenizer.UNKNOWN} if kind == "char" else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(about | {"made_of": kind}, indent=1))
    return int(made.get_vocab_size())
