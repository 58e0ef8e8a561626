"""A LLaMA-shaped model out of a GGUF file, as transformers saves it: float weights, tokenizer with its chat template.

transformers reads GGUF but will not save what it read, since it holds that to be quantised; so the weights, which are plain
numbers by then, go into a fresh model. Needs the package `gguf`, here only: `reader` is its wheel, imported from where it lies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

BFLOAT16 = "bfloat16"
"""Weights that had four bits lose next to nothing in sixteen, and take half the room of thirty-two."""


def convert(weights: Path, reader: Path, made: Path) -> None:
    """Write the four files of a shelf's entry into `made`. Takes 2 GB of memory and half a minute for 135M weights."""
    sys.path.insert(0, str(reader))
    try:
        _model(weights, made)
        _tokenizer(weights, made)
    finally:
        sys.path.remove(str(reader))


def _model(weights: Path, made: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    read = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype=torch.float32)
    about = read.config.to_dict()
    about.pop("quantization_config", None)
    whole = AutoModelForCausalLM.from_config(type(read.config).from_dict(about))
    whole.load_state_dict(read.state_dict())
    whole.tie_weights()
    whole.to(getattr(torch, BFLOAT16)).save_pretrained(made)
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    config.pop("transformers_version", None)  # every release would give other bytes
    (made / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _tokenizer(weights: Path, made: Path) -> None:
    """The chat template goes into `tokenizer_config.json`, where the shelf keeps it."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name).save_pretrained(made)
    template, settings = made / "chat_template.jinja", made / "tokenizer_config.json"
    if template.exists():
        about = json.loads(settings.read_text(encoding="utf-8")) | {"chat_template": template.read_text(encoding="utf-8")}
        settings.write_text(json.dumps(about, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        template.unlink()
