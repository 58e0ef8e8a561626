"""A tokenizer of one's own: byte-level BPE (arXiv 1508.07909) trained on the rows, so nobody else's text is in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.trainers.causal.text import SEPARATOR

MULTIPLE = 64  # the word table has a multiple of so many rows: products of such sizes are the fastest


def train(texts: Iterable[str], size: int, context: int, folder: Path) -> int:
    """Write `tokenizer.json`, at most `size` tokens, into `folder`; rows of the word table for it. The separator is token 0.

    Nothing is normalised: every byte comes back, so bits per byte are true. Equal rows in any order give equal files.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=size,
        min_frequency=2,  # a symbol seen once has nothing to teach
        special_tokens=[SEPARATOR],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(sorted(texts), trainer)
    made.save(str(folder / "tokenizer.json"))
    about: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context}
    about |= {f"{name}_token": SEPARATOR for name in ("bos", "eos")} | {"clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return MULTIPLE * -(-int(made.get_vocab_size()) // MULTIPLE)
