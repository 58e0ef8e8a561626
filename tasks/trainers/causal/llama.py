"""A decoder of LLaMA's shape (arXiv 2302.13971), tied head, in plain torch: what is trained from scratch.

The names of its weights are those of transformers' `LlamaForCausalLM`, which loads the saved folder and says the same.
Precision is explicit: float32 weights are cast to `dtype` where they are used, and all activations have it. On a CPU,
attention is two matrix products and a softmax: at 256 tokens faster there, forward and backward, than the fused kernel.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

HEAD = 64  # units of one attention head
PLAIN_MOST = 512  # tokens up to which plain attention is used on a CPU
TOKENS_A_PARAMETER = 20  # compute-optimal (arXiv 2203.15556, table 3)


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    layers: int
    width: int
    context: int
    theta: float = 10_000.0
    eps: float = 1e-5

    @property
    def heads(self) -> int:
        return max(1, self.width // HEAD)

    @property
    def inner(self) -> int:
        """Units of the gated layer: 8/3 of the width, in whole 32s, so that it has the weights of an ordinary 4x layer."""
        return 32 * math.ceil(self.width * 8 / 3 / 32)

    @property
    def parameters(self) -> int:
        """With the table, which is the head as well."""
        return self.vocabulary * self.width + self.layers * self._layer + self.width

    @property
    def _layer(self) -> int:
        return 4 * self.width**2 + 3 * self.width * self.inner + 2 * self.width

    @property
    def flops_a_token(self) -> float:
        """Of a training step, forward and backward: 6 a weight that multiplies, 6 T a unit and layer for attention.

        Half of the attention's products lie above the diagonal; they are counted as they are computed on a CPU (PaLM, arXiv
        2204.02311, appendix B, counts them so too).
        """
        weights = self.vocabulary * self.width + self.layers * (4 * self.width**2 + 3 * self.width * self.inner)
        return 6.0 * weights + 12.0 * self.layers * self.width * self.context


def of_depth(depth: int, vocabulary: int, context: int) -> Shape:
    """The one dial of size: each layer brings 64 units of width."""
    return Shape(vocabulary, depth, HEAD * depth, context)


def of_budget(flops: float, vocabulary: int, context: int) -> Shape:
    """The deepest shape that `flops` train on 20 tokens a parameter, at least 2 layers."""
    depth = 2
    while _flops(of_depth(depth + 1, vocabulary, context)) <= flops:
        depth += 1
    return of_depth(depth, vocabulary, context)


def _flops(shape: Shape) -> float:
    return shape.flops_a_token * TOKENS_A_PARAMETER * shape.parameters


class Linear(nn.Linear):
    """Without bias; the weight is cast to what it is multiplied with."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.to(x.dtype))


class Norm(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(shape.width)), shape.eps

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.eps)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (Linear(shape.width, shape.width) for _ in range(4))

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        rows, tokens, width = x.shape
        parts = (project(x) for project in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (part.view(rows, tokens, self.heads, -1).transpose(1, 2) for part in parts)
        out = attend(_turned(q, turn), _turned(k, turn), v, mask)
        projected: Tensor = self.o_proj(out.transpose(1, 2).reshape(rows, tokens, width))
        return projected


class Gated(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = Linear(shape.width, shape.inner), Linear(shape.width, shape.inner)
        self.down_proj = Linear(shape.inner, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(shape), Attention(shape)
        self.post_attention_layernorm, self.mlp = Norm(shape), Gated(shape)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn, mask)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Body(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape)
        self._turns: dict[Any, tuple[tuple[Tensor, Tensor], Tensor | None]] = {}

    def forward(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        x: Tensor = self.embed_tokens(ids).to(dtype)
        turn, mask = self._positions(ids.shape[1], x)
        for layer in self.layers:
            x = layer(x, turn, mask)
        out: Tensor = self.norm(x)
        return out

    def _positions(self, tokens: int, x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        """Cosines and sines of the rotary positions (arXiv 2104.09864), and the mask of what lies ahead where one is added."""
        key = tokens, x.dtype, x.device
        if key not in self._turns:
            size = self.shape.width // self.shape.heads
            rates = self.shape.theta ** -(torch.arange(0, size, 2, device=x.device).float() / size)
            angles = torch.outer(torch.arange(tokens, device=x.device).float(), rates).repeat(1, 2)
            self._turns[key] = (angles.cos().to(x.dtype), angles.sin().to(x.dtype)), ahead(tokens, x)
        return self._turns[key]


class Llama(nn.Module):
    """`forward` gives the last states (rows, tokens, width); `head` their logits."""

    def __init__(self, shape: Shape, dtype: torch.dtype = torch.float32) -> None:
        """Weights drawn from N(0, 0.02²), those that write into the residual stream divided by √(2 layers) (GPT-2)."""
        super().__init__()
        self.model, self.dtype = Body(shape), dtype
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                writes = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * shape.layers) if writes else 1.0))

    def forward(self, ids: Tensor) -> Tensor:
        states: Tensor = self.model(ids, self.dtype)
        return states

    def head(self, states: Tensor) -> Tensor:
        return functional.linear(states, self.model.embed_tokens.weight.to(states.dtype))


def ahead(tokens: int, x: Tensor) -> Tensor | None:
    """What is added to attention scores so that nobody looks ahead, (T, T); None where the kernel does that itself."""
    if x.device.type != "cpu" or tokens > PLAIN_MOST:
        return None
    return torch.full((tokens, tokens), -torch.inf, dtype=x.dtype).triu(1)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Causal attention, (rows, heads, tokens, units) each."""
    if mask is None:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3)) + mask
    return torch.matmul(scores.softmax(-1), v)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * turn[0] + torch.cat((-second, first), dim=-1) * turn[1]


def save(model: Llama, folder: Path, separator: int) -> None:
    """`config.json` and `model.safetensors` as transformers' LlamaForCausalLM has them."""
    from safetensors.torch import save_file

    shape = model.model.shape
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.theta,
        "rms_norm_eps": shape.eps,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": separator,
        "eos_token_id": separator,
        "dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True), encoding="utf-8")
    weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
