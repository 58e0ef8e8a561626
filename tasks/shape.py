"""The shape of a transformer: what its memory and its FLOPs follow from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

GATED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "smollm3", "olmo2", "phi3")
"""Model types with gated feed-forward layers and RMSNorm."""


@dataclass(frozen=True)
class Shape:
    """A transformer as its `config.json` describes it. Encoder and decoder layers count together."""

    params: float
    """All of them, embedding and head included."""
    layers: int
    width: int
    mlp: int
    """Width of the feed-forward layer."""
    kv: int
    """Width of the keys of one token: key-value heads x head size."""
    vocab: int
    tied: bool = False
    """The output head is the embedding."""
    glu: bool = True
    """The feed-forward layer is gated (SwiGLU, GeGLU): three matrices instead of two."""
    rms: bool = True
    """RMSNorm; False: LayerNorm."""
    parallel: bool = False
    """Attention and feed-forward read the same input (GPT-NeoX, phi, Falcon)."""

    @property
    def embedding(self) -> float:
        """Parameters of embedding and head."""
        return self.vocab * self.width * (1 if self.tied else 2)

    @property
    def block(self) -> float:
        """Parameters of one layer."""
        return (self.params - self.embedding) / self.layers


def shape_of(config: dict[str, Any], params: float | None = None) -> Shape | None:
    """The shape that a Hugging Face `config.json` describes; None where it names no layers or widths (no transformer).

    `params`: all of them, if known; else they are counted from the shape, biases and norms left out.
    """
    try:
        layers, width = int(config["num_hidden_layers"]), int(config["hidden_size"])
        heads = int(config["num_attention_heads"])
    except (KeyError, TypeError, ValueError):
        return None
    kind, vocab = str(config.get("model_type", "")), int(config.get("vocab_size") or 0)
    mlp, kv = (
        int(config.get("intermediate_size") or 4 * width),
        width * int(config.get("num_key_value_heads") or heads) // heads,
    )
    glu = kind in GATED
    counted = layers * (2 * width**2 + 2 * width * kv + (3 if glu else 2) * width * mlp) + vocab * width
    tied = bool(config.get("tie_word_embeddings", True))
    shape = Shape(params or counted, layers, width, mlp, kv, vocab, tied, glu, glu, kind in ("gpt_neox", "phi", "falcon"))
    return shape if params or tied else replace(shape, params=counted + vocab * width)
