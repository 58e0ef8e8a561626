"""Peak GPU memory of a transformer's training, from its shape and its recipe: full, LoRA, QLoRA, adapters, sharded.

Counted are the weights, the optimizer's states, gradients, the parameters that a shard gathers, what the layers keep for
the way back, and the logits; the peak is the larger of the forward's and the backward's. The coefficients of the kept
activations and of the logits are fitted to published peaks (`tables/memory_truth.csv`, refitted by `python -m
tasks.validate --refit`).

Allocator peaks: the CUDA context and fragmentation come on top, which is what the margin of `fits` is for. Not valid, and
refused, for tensor or pipeline parallelism and for optimizers offloaded by DeepSpeed; the published peaks that the
coefficients come from are litgpt, torchtune, torchtitan and PEFT runs: elsewhere add a fifth until measured
(`fits(..., calibrated=False)`).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tasks.shape import Shape

TABLES = Path(__file__).with_name("tables")
GIB = 2**30
GB = 1e9


Method = Literal["full", "lora", "adapter", "adapter-v2"]
Quantised = Literal["nf4", "nf4-dq"]


@dataclass(frozen=True)
class Recipe:
    """How one GPU trains. Defaults: full fine-tuning in bf16 with AdamW, nothing saved on memory."""

    tokens: float
    """Tokens of one micro-batch on one GPU: its rows x the longest row, or the packed length."""
    method: Method = "full"
    trained: float = 0.0
    """Parameters that LoRA or an adapter trains; ignored for `full`."""
    quantised: Quantised | None = None
    """Weights of the linear layers in 4 bits (QLoRA, arXiv 2305.14314); `dq`: their scales quantised too."""
    weight_bytes: int = 2
    """2: bf16; 4: fp32, which also doubles the activations."""
    optimizer_bytes: float = 4.0
    """States for one trained parameter on the GPU: bf16 AdamW 4, fp32 AdamW 8, 8-bit 2, paged or offloaded 0."""
    gradient_bytes: float = 2.0
    eight_bit_optimizer: bool = False
    optimizer_in_backward: bool = False
    """Each gradient is used and freed at once."""
    checkpointing: Literal["none", "selective", "full"] = "none"
    offload_activations: bool = False
    compiled: bool = False
    logits: Literal["plain", "hf_fp32", "chunked", "fp32", "none"] = "plain"
    """How the loss reads the logits: all at once, Hugging Face's fp32 copy, in chunks, fp32 as torchtitan does; none: a
    classifier's, a few numbers a row."""
    shards: int = 1
    """GPUs that FSDP or ZeRO-3 spreads weights, gradients and optimizer over."""
    offload_parameters: bool = False
    """FSDP with weights and optimizer in CPU memory."""
    peak_while_loading: bool = False
    """litgpt's FSDP loads the whole model before it shards it."""
    dequantise_buffer: bool = False
    """litgpt's bitsandbytes layers keep fp32 copies of their inputs."""
    tensor_parallel: int = 1
    pipeline_parallel: int = 1


@dataclass(frozen=True)
class Peak:
    """Peak memory of one GPU, GiB; None where refused."""

    gib: float | None
    low90: float | None
    high90: float | None
    reason: str | None = None


LINEAR_BYTES = {"nf4": 0.5625, "nf4-dq": 0.516}  # 4 bits + a scale for 64 weights, fp32 or quantised (arXiv 2305.14314)


@cache
def coefficients() -> dict[str, float]:
    """The fitted numbers of `tables/fits.json`."""
    fitted: dict[str, float] = json.loads((TABLES / "fits.json").read_text())["memory"]
    return fitted


def find_shape(model: str, params: float | None = None) -> Shape | None:
    """The shipped shape of a model by a name such as "Llama 3.1 8B"; `params`, if known, picks the size of the family."""
    name = _plain(model)
    families = sorted({_family(known) for known in shapes() if _family(known) in name}, key=len)
    sizes = {known: shape for known, shape in shapes().items() if families and _family(known) == families[-1]}
    if params is None:
        return next((shape for known, shape in sizes.items() if _plain(known) in name), None)
    near = min(sizes.values(), key=lambda shape: abs(math.log(shape.params / params)), default=None)
    return near if near and abs(math.log(near.params / params)) < 0.25 else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())


def _family(known: str) -> str:
    """The name without its size, which is its last part."""
    return _plain(known.rpartition("-")[0] or known)


@cache
def shapes() -> dict[str, Shape]:
    """Public models by name, from their published `config.json`."""
    return {name: Shape(**about) for name, about in json.loads((TABLES / "shapes.json").read_text()).items()}


def peak(shape: Shape, recipe: Recipe) -> Peak:
    """Peak memory of one GPU with its 90 % interval, or the reason why none is given."""
    if reason := _outside(shape, recipe):
        return Peak(None, None, None, reason)
    gib = peak_bytes(shape, recipe, coefficients()) / GIB
    band = coefficients()["band90"]
    return Peak(gib, gib / band, gib * band)


def fits(gib: float, gpu_gib: float, calibrated: bool = True) -> bool:
    """Whether a predicted peak fits with the stated margin: 1.10 x the prediction + 1 GiB, on a GPU of `gpu_gib`.

    `calibrated` is False for code whose peaks nobody compared with this formula: 1.20 x more.
    """
    return 1.10 * gib * (1.0 if calibrated else 1.2) + 1.0 <= gpu_gib


def _outside(shape: Shape, recipe: Recipe) -> str | None:
    if recipe.tensor_parallel > 1 or recipe.pipeline_parallel > 1:
        return "tensor and pipeline parallelism are outside the formula (16-21 % too low)"
    if not (math.isfinite(recipe.tokens) and recipe.tokens > 0):
        return "tokens of a micro-batch unknown"
    if recipe.shards < 1 or shape.params <= 0 or shape.block <= 0:
        return "the shape is no transformer's: fewer parameters than its embedding"
    return None


def peak_bytes(shape: Shape, recipe: Recipe, fitted: dict[str, float]) -> float:
    """The larger of the forward's and the backward's peak, bytes."""
    weights, states, gathered = _weights(shape, recipe), _states(shape, recipe), _gathered(shape, recipe)
    if recipe.peak_while_loading:
        loading = 2 * shape.params * (1 + 1 / recipe.shards) + 4 * shape.block + 2 * shape.vocab * shape.width
        return loading + 2 * shape.layers * shape.width * recipe.tokens
    held = weights + states + gathered
    return held + max(_forward(shape, recipe, fitted), _backward(shape, recipe, fitted))


def _weights(shape: Shape, recipe: Recipe) -> float:
    if recipe.offload_parameters:
        return 0.0
    linear = LINEAR_BYTES[recipe.quantised] if recipe.quantised else recipe.weight_bytes
    whole = (shape.params - shape.embedding) * linear + shape.embedding * recipe.weight_bytes
    return whole / recipe.shards


def _states(shape: Shape, recipe: Recipe) -> float:
    """The optimizer's; of LoRA and adapters also their weights and gradients, which are small."""
    if recipe.method == "full":
        return 0.0 if recipe.offload_parameters else recipe.optimizer_bytes * shape.params / recipe.shards
    return recipe.trained * (recipe.weight_bytes + recipe.gradient_bytes + recipe.optimizer_bytes) / recipe.shards


def _gathered(shape: Shape, recipe: Recipe) -> float:
    """Two whole layers and the embedding, which FSDP holds unsharded."""
    if recipe.shards == 1:
        return 0.0
    each = LINEAR_BYTES[recipe.quantised] if recipe.quantised else 2
    return 2 * shape.block * each + 2 * shape.vocab * shape.width


def _gradients(shape: Shape, recipe: Recipe) -> float:
    if recipe.method != "full":
        return 0.0
    if recipe.offload_parameters:
        return 4 * shape.block
    return recipe.gradient_bytes * shape.params / recipe.shards


def _forward(shape: Shape, recipe: Recipe, fitted: dict[str, float]) -> float:
    head, layer, logits = 2 * shape.vocab * shape.width, activations(shape, recipe, fitted), _logits(shape, recipe, fitted)
    extra = head + (2 * shape.block if recipe.shards > 1 else 0) if recipe.method == "full" else 0.0
    if recipe.eight_bit_optimizer:
        extra += 2 * head
    if recipe.checkpointing == "none":
        return shape.layers * layer + logits + extra
    if recipe.checkpointing == "selective":
        return fitted["selective_share"] * shape.layers * layer + logits + extra
    return _checkpoints(shape, recipe) + max(logits, layer) + extra


def _backward(shape: Shape, recipe: Recipe, fitted: dict[str, float]) -> float:
    layer = activations(shape, recipe, fitted)
    if recipe.optimizer_in_backward:
        return layer + 2 * shape.vocab * shape.width + 2 * shape.block
    return _gradients(shape, recipe) + layer


def _checkpoints(shape: Shape, recipe: Recipe) -> float:
    """The input of every layer, kept for the way back (Chen et al. 2016, arXiv 1604.06174)."""
    return 0.0 if recipe.offload_activations else recipe.weight_bytes * shape.layers * shape.width * recipe.tokens


def _logits(shape: Shape, recipe: Recipe, fitted: dict[str, float]) -> float:
    return 0.0 if recipe.logits == "none" else fitted[f"logits_{recipe.logits}"] * shape.vocab * recipe.tokens


def activations(shape: Shape, recipe: Recipe, fitted: dict[str, float]) -> float:
    """Bytes that one layer keeps for the way back: the inputs of its norms, attention and matrices (after Korthikanti
    et al. 2022, arXiv 2205.05198, with the terms of LoRA and of gated layers), times the fitted `activation`."""
    h, f = shape.width, shape.mlp
    norm = (4 if shape.rms else 2) * h * (1 if shape.parallel else 2)
    kept = norm + 4 * h + 4 * shape.kv + (6 if shape.glu else 2) * f + _method_bytes(shape, recipe)
    kept *= recipe.weight_bytes / 2
    saved = {"selective": 0.875, "none": 0.75, "full": 0.75}[recipe.checkpointing] if recipe.compiled else 1.0
    buffer = fitted["dequantise_buffer"] * h if recipe.dequantise_buffer else 0.0
    return recipe.tokens * (fitted["activation"] * kept * saved + buffer)


def _method_bytes(shape: Shape, recipe: Recipe) -> float:
    h, f = shape.width, shape.mlp
    if recipe.method == "lora":
        return 5 * h
    if recipe.method == "adapter":
        return 0
    if recipe.method == "adapter-v2":
        return 6 * h + 4 * shape.kv + 2 * f * (2 if shape.glu else 1)
    return 2 * f + (4 if shape.rms else 2) * h if shape.rms else 2 * f + 2 * h
