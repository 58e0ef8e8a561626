"""Train a small BERT from random weights with a tokenizer of its own: nothing but the user's rows influences it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tasks.trainers import Job, Spent, text
from tasks.trainers.fit import fit
from tasks.trainers.identity import identity

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def train(job: Job, folder: Path) -> Spent:
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    size = _tokenizer(job, folder)
    torch.manual_seed(job.seed)
    config = BertConfig(vocab_size=size, max_position_embeddings=job.recipe["max_tokens"], **job.recipe["architecture"])
    model = text.Classifier(BertModel(config, add_pooling_layer=False), len(job.labels))
    spent = fit(model, text.batches(job, folder, model.pad_id), text.cross_entropy, job, identity(job))
    text.save(folder, job, model.encoder, model.head, folder)
    return spent


def _tokenizer(job: Job, folder: Path) -> int:
    """Train a WordPiece tokenizer on the rows (in order of their text: it is the same for the same rows); its size."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import WordPieceTrainer

    made = Tokenizer(WordPiece(unk_token="[UNK]"))  # noqa: S106
    made.normalizer, made.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=job.recipe["vocabulary"], min_frequency=2, special_tokens=SPECIAL, show_progress=False
    )
    made.train_from_iterator(sorted(d.text for d in job.documents), trainer)
    marks = [(mark, SPECIAL.index(mark)) for mark in ("[CLS]", "[SEP]")]
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    made.save(str(folder / "tokenizer.json"))
    about: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": job.recipe["max_tokens"]}
    about |= {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=1))
    return int(made.get_vocab_size())
