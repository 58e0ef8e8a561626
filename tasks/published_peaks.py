"""The rows of published memory peaks as shapes and recipes: what a row says, and what the code of its source does.

A row is a dictionary of texts. `memory_case` returns a text, the reason, for a row that it cannot read; it never raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from tasks.cost import Gpu, find_gpu
from tasks.memory import GB, GIB, Method, Quantised, Recipe, find_shape
from tasks.published import Row, number
from tasks.shape import Shape


@dataclass(frozen=True)
class MemoryCase:
    shape: Shape
    recipe: Recipe
    unit: float
    """Bytes of the unit that the source reports in."""
    gpu: Gpu | None
    calibrated: bool


LONGEST_ROW = {"phi": 1044, "stablelm": 1034, "llama": 1304}
"""Tokens of the longest Alpaca example with each tokenizer, which sets litgpt's peaks."""


def memory_case(row: Row) -> MemoryCase | str:
    params, model = number(row.get("params_b")), row.get("model", "")
    if row.get("params_b") and not (params and 0 < params < 1e4):
        return f"params_b is {row['params_b']!r}, not a number of billions"
    shape = find_shape(model, params * 1e9 if params else None)
    if shape is None:
        return f"no shape is known of model {model!r} with {row.get('params_b') or 'unknown'} billion parameters"
    text = f"{row.get('method', '')} {row.get('section', '')}".lower()
    if re.search(r"\b(tp|pp|tensor|pipeline)\s*=?\d*\b", text) and not re.search(r"\b(tp|pp)\s*=?1\b", text):
        return "tensor and pipeline parallelism are outside the formula"
    if re.search(r"\bds\b|deepspeed|zero.?offload", text):
        return "offload by DeepSpeed is outside the formula"
    recipe = _recipe(row, text, shape)
    if isinstance(recipe, str):
        return recipe
    source = row.get("source", "").lower()
    unit = GB if source.startswith(("litgpt", "peft")) or shape.params > 3e11 else GIB
    calibrated = source.startswith(("litgpt", "peft", "torchtune", "torchtitan"))
    return MemoryCase(shape, recipe, unit, find_gpu(row.get("n_gpu", "")), calibrated)


def _recipe(row: Row, text: str, shape: Shape) -> Recipe | str:
    source = row.get("source", "").lower()
    if source.startswith("litgpt"):
        return _litgpt(row, text, shape)
    if source.startswith("torchtune"):
        return _torchtune(row, text)
    if source.startswith("torchtitan"):
        recipe = Recipe(tokens=2 * 8192, optimizer_bytes=8, gradient_bytes=4, checkpointing="selective", logits="fp32")
        return replace(recipe, shards=_gpus(row), compiled="compile" in text)
    if source.startswith("peft"):
        method: Method = "lora" if "lora" in text else "full"
        recipe = Recipe(tokens=8 * 64, weight_bytes=4, optimizer_bytes=8, gradient_bytes=4, logits="hf_fp32")
        return replace(recipe, method=method, checkpointing="full" if "ckpt" in text else "none")
    return _plain_recipe(row, text)


def _gpus(row: Row) -> int:
    """From "8xH100" or "2 x A100"."""
    found = re.match(r"\s*(\d{1,5})\s*[x×]", row.get("n_gpu", ""), re.IGNORECASE)
    return max(1, int(found[1])) if found else 1


def _quantised(row: Row) -> Quantised | None:
    text = row.get("quant", "").lower()
    return "nf4-dq" if "dq" in text else "nf4" if "nf4" in text or "4bit" in text else None


def _litgpt(row: Row, text: str, shape: Shape) -> Recipe | str:
    model = row.get("model", "").lower()
    longest = next((n for name, n in LONGEST_ROW.items() if name in model), None)
    if longest is None:
        return f"the longest row of litgpt's data with the tokenizer of {row.get('model')} is unknown"
    batch, trained, quantised = number(row.get("microbatch")), number(row.get("trainable")), _quantised(row)
    if not batch or batch < 0:
        return f"microbatch is {row.get('microbatch', '')!r}, not a number of rows"
    recipe = Recipe(batch * longest, shards=_gpus(row), quantised=quantised, dequantise_buffer=quantised is not None)
    if "lora" in text or "adapter" in text:
        second = trained is not None and trained / shape.params > 3e-4
        method: Method = "lora" if "lora" in text else "adapter-v2" if second else "adapter"
        recipe = replace(recipe, method=method, trained=trained or 0.0)
    return replace(recipe, peak_while_loading=recipe.shards > 1)


def _torchtune(row: Row, text: str) -> Recipe | str:
    """The README's two tables: 2 x 2,048 packed tokens, compiled; and for Llama 3.2 3B 2 x 4,096, one saving after another."""
    if "3.2" in row.get("source", ""):
        return _torchtune_steps(text)
    gpu = find_gpu(row.get("n_gpu", ""))
    small = gpu is not None and gpu.gib < 40
    shards = _gpus(row)
    recipe = Recipe(tokens=2 * 2048, compiled=True, logits="chunked", checkpointing="full", shards=shards)
    if "lora" in text:
        if "qlora" in text:
            return replace(recipe, method="lora", quantised="nf4")
        return replace(recipe, method="lora", checkpointing="none" if shards == 1 and not small else "full")
    if "offload" in text:
        return replace(recipe, offload_parameters=True)
    if shards > 1:
        return recipe
    return replace(recipe, optimizer_in_backward=True, optimizer_bytes=0 if small else 2, eight_bit_optimizer=not small)


STEPS = ("packed", "compile", "chunked", "ckpt", "optim", "offload", "8bit")


def _torchtune_steps(text: str) -> Recipe | str:
    if "lora" in text:
        saved = Recipe(2 * 4096, "lora", compiled=True, logits="chunked", checkpointing="full", offload_activations=True)
        return replace(saved, quantised="nf4-dq") if "qlora" in text else saved
    step = next((k for k, name in enumerate(STEPS) if name in text), None)
    if step is None:
        return "sequence length unknown: rows are not packed"
    return Recipe(
        tokens=2 * 4096,
        compiled=step >= 1,
        logits="chunked" if step >= 2 else "plain",
        checkpointing="full" if step >= 3 else "none",
        optimizer_in_backward=step >= 4,
        offload_activations=step >= 5,
        eight_bit_optimizer=step >= 6,
        optimizer_bytes=2 if step >= 6 else 4,
    )


def _plain_recipe(row: Row, text: str) -> Recipe | str:
    """Of other code: what the row says, nothing saved. Needs a column `sequence_length`."""
    length, batch = number(row.get("sequence_length")), number(row.get("microbatch") or "1")
    if not length or not batch or length < 0 or batch < 0:
        return "sequence length unknown: not litgpt, torchtune, torchtitan or PEFT; give a column sequence_length"
    recipe = Recipe(tokens=length * batch, shards=_gpus(row), checkpointing="full" if "ckpt" in text else "none")
    if "lora" in text or row.get("quant", "").lower() not in ("", "none"):
        recipe = replace(recipe, method="lora", trained=max(0.0, number(row.get("trainable")) or 0.0))
        return replace(recipe, quantised=_quantised(row) or ("nf4" if "qlora" in text else None))
    return replace(recipe, optimizer_bytes=8, gradient_bytes=4)
