"""Sentences that a small language model can learn, and tiny base models of the families that people name."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tasks.documents import Document
from tasks.recipes import recipe
from tasks.trainers import Job

SUBJECTS, VERBS = ["the cat", "a dog", "one bird", "my friend"], ["sees", "likes", "hears", "finds"]
OBJECTS = ["a red ball", "the old house", "some cold water", "no other way"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
FAMILIES = {
    "llama": ("LlamaConfig", {"num_key_value_heads": 2}),
    "mistral": ("MistralConfig", {"num_key_value_heads": 2}),
    "qwen2": ("Qwen2Config", {"num_key_value_heads": 2}),
    "falcon": ("FalconConfig", {"new_decoder_architecture": False}),
}


def sentences(n: int, seed: int = 0) -> list[Document]:
    draw = random.Random(seed)
    texts = [f"{draw.choice(SUBJECTS)} {draw.choice(VERBS)} {draw.choice(OBJECTS)}." for _ in range(n)]
    return [Document(f"{seed}-{i:04d}", text, "", f"{seed}-{i:04d}") for i, text in enumerate(texts)]


def make_base(folder: Path, family: str) -> Path:
    """A causal language model of random weights with a tokenizer of its own, as a hub repository would hold it."""
    import torch
    import transformers

    from tasks import serving
    from tasks.trainers.causal import vocabulary

    serving.quiet()
    folder.mkdir(parents=True)
    rows = vocabulary.train([row.text for row in sentences(200)], 300, 64, folder)
    name, further = FAMILIES[family]
    marks = {"vocab_size": rows, "bos_token_id": 0, "eos_token_id": 0, "max_position_embeddings": 64, "initializer_range": 0.1}
    config = getattr(transformers, name)(**SIZES, **marks, **further)
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


SMALL: dict[str, dict[str, Any]] = {
    "lora": {"learning_rate": 1e-2, "rank": 8},
    "full": {"learning_rate": 3e-3},
    "continued": {"learning_rate": 3e-3},
    "scratch": {"learning_rate": 1e-2, "vocabulary": 300, "depth": 1},
    "baseline": {},
    "prompt": {},
}
"""What the real recipes get changed so that a tiny model learns in a second: 50 steps of 128 tokens."""


def make_job(branch: str, folder: Path, base: Path | None, **changes: Any) -> Job:
    rows = changes.pop("documents", sentences(160))
    sizes = {"max_tokens": 32, "tokens_a_step": 128, "tokens_a_pass": 128, "epochs": 4}
    settings = recipe(branch, "text-generation", len(rows)) | sizes | SMALL[branch] | changes.pop("recipe", {})
    fields: dict[str, Any] = {"branch": branch, "recipe": settings, "base": base, "labels": [], "documents": rows, "seed": 0}
    return Job(**fields | {"folder": folder / "model", "task": "text-generation"} | changes)
