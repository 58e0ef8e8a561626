"""Train a small BERT from random weights with a tokenizer of its own: nothing but the user's rows influences it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertForSequenceClassification

from tasks import serving
from tasks.trainers import Job, Spent, text
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]


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
    """Train a byte-level BPE tokenizer (arXiv 1508.07909) on the rows; its size. It reads any language and byte.

    Byte-level, because the trainers of WordPiece and of BPE with suffixes number their symbols in an order that changes
    from run to run; here equal rows give equal files.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import BpeTrainer

    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=job.recipe["vocabulary"],
        min_frequency=2,  # a symbol seen once has nothing to teach
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(sorted(document.text for document in job.documents), trainer)
    marks = [(mark, SPECIAL.index(mark)) for mark in ("[CLS]", "[SEP]")]
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    made.save(str(folder / "tokenizer.json"))
    about: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": job.recipe["max_tokens"]}
    about |= {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "cls", "sep", "mask")}
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=1))
    return int(made.get_vocab_size())
