"""A base model of random weights and rows that a small model can learn: everything takes seconds."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.documents import Document
from tasks.recipes import recipe
from tasks.trainers import Job

WORDS = {
    "negative": ["awful", "dull", "boring", "tedious", "worst"],
    "positive": ["lovely", "brilliant", "moving", "superb", "best"],
    "neutral": ["average", "plain", "usual", "ordinary", "medium"],
}
FILLERS = ["the", "film", "was", "a", "plot", "story", "and", "actor", "scene", "with", "music", "in", "it", "is", "very"]


def make_rows(n: int, labels: list[str], seed: int = 0) -> list[Document]:
    """`n` sentences of 3 to 10 words, one of which tells the label."""
    draw = random.Random(seed)
    rows = []
    for i in range(n):
        label = labels[i % len(labels)]
        words = draw.choices(FILLERS, k=draw.randint(2, 9))
        words.insert(draw.randrange(len(words)), draw.choice(WORDS[label]))
        rows.append(Document(f"{seed}-{i:04d}", " ".join(words), label, f"{seed}-{i:04d}"))
    return rows


def make_base(folder: Path, **shape: Any) -> Path:
    """A BERT of random weights with a word-level WordPiece tokenizer, as a hub repository would hold it."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel

    from tasks import serving

    serving.quiet()
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLERS, *[word for group in WORDS.values() for word in group]]
    made = Tokenizer(WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = BertPreTokenizer()
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(words), max_position_embeddings=64, **sizes | shape)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture
def references(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL and lm-eval, which the engine is compared with, can be imported (`make test` installs them)."""
    monkeypatch.syspath_prepend(Path(sys.prefix) / "references")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("shelf") / "tiny")


SMALL: dict[str, dict[str, Any]] = {
    "baseline": {},
    "probe": {"strengths": [1.0, 1e4]},
    "full": {"learning_rate": 3e-3, "epochs": 12},
    "lora": {"learning_rate": 3e-3, "epochs": 12},
    "scratch": {
        "learning_rate": 3e-3,
        "epochs": 8,
        "architecture": {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4},
    },
}
"""What the real recipes get changed so that a tiny model learns in a second."""


@pytest.fixture
def make_job(base: Path, tmp_path: Path) -> Callable[..., Job]:
    """A job of `branch` on 96 rows of two labels; keywords replace fields of the job, `recipe` parts of the recipe."""

    def job(branch: str, **changes: Any) -> Job:
        settings = recipe(branch, "text-classification", 96) | SMALL[branch] | changes.pop("recipe", {})
        rows = make_rows(96, ["negative", "positive"])
        fields: dict[str, Any] = {
            "branch": branch,
            "recipe": settings,
            "base": base if branch in ("probe", "lora", "full") else None,
            "labels": sorted({row.label for row in changes.get("documents", rows)}),
            "documents": rows,
            "seed": 0,
            "folder": tmp_path / "model",
        }
        return Job(**fields | changes)

    return job
