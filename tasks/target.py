"""What one full run needs on a GPU that the pilots did not run on: FLOPs, hours, memory, and what looks wrong in the inputs.

FLOPs are counted matrix by matrix, from the shape of the model and the tokens that the pilots measured. Hours are those
FLOPs over the whole-run efficiency of published runs (`cost.whole_run_mfu`), or, if more, the time in which the host issues
the work: a small encoder on short texts leaves a GPU waiting for its host. Failures and idle time are in both (goodput).
What an estimate rests on stands in `Needed.remarks`; outside what was published its band is x/÷ 3, a judgement and no fit.

Not counted: renting and starting the machine, moving data, evaluation, the optimizer's arithmetic (it is no matrix product).
The efficiency was fitted to FLOPs without attention; it is counted here, so hours of long texts are a little too many.
Nothing here was checked on a GPU by this project: one measured run replaces it (`cost.hours_at_speed`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks import cost, memory
from tasks.cost import GOODPUT, Band, Gpu
from tasks.memory import GIB
from tasks.plausible import LARGEST_MFU, Run, implausible
from tasks.records import Candidate, Cell
from tasks.shape import Shape, shape_of

HOST_SECONDS = (0.0023, 0.0023)
"""Of one training pass: once, and for each layer; forward, backward and AdamW of a model too small to compute anything.

Measured with `tasks.trainers.fit` and BERTs of width 32, torch 2.13, on one core of a server CPU; `python -m
tests.benchmarks.host` prints it. A GPU's host issues about as many calls; compiled or captured graphs need fewer.
"""
FORWARD_SHARE = 1 / 3
"""Of a training pass that a pass without gradients takes."""
OUTSIDE = 3.0
"""Band of hours where no published run is near."""
EVALUATED_TOKENS = 2048
"""Tokens of one pass without gradients (`serving.TOKENS_A_BATCH`)."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of a training row, as the model reads it."""

    mean: float
    mean_square: float
    longest: float


@dataclass(frozen=True)
class Work:
    """What one run computes."""

    flops: float
    params: float
    """That a token multiplies with; the input embedding is a look-up."""
    tokens: float
    """All epochs."""
    passes: int
    trains: bool
    """False: every row is read once, without gradients (a probe)."""


@dataclass(frozen=True)
class Needed:
    """Of one run on all GPUs together."""

    work: Work
    hours: Band
    """By the clock."""
    peak_gb: float
    """Of one GPU, 1e9 bytes."""
    peak_gb_high: float
    """With the margin at which no published peak was said to fit falsely, and the margin of code never compared."""
    fits: bool
    request_seconds: float
    """To answer one request alone, on one GPU."""
    p_uninterrupted: float
    remarks: list[str]


def needed(
    cells: Sequence[Cell],
    branch: str,
    base: Candidate | None,
    recipe: Mapping[str, Any],
    n: int,
    task: str,
    gpu: str,
    count: int,
) -> Needed | str:
    """What `branch` on `base` with n rows needs on `count` GPUs; or the reason why nothing can be said.

    `recipe` is that of n rows; the cells tell how many tokens a row has. A baseline has no place here: it uses no GPU.
    """
    found = cost.find_gpu(gpu)
    if found is None:
        return f"hardware.gpu = {gpu}: no such GPU in tables/gpus.csv, or more than one; known are {', '.join(cost.gpus())}"
    shape = shape_for(base, recipe)
    if shape is None:
        return f"the shape of {base.name if base else branch} is not known"
    lengths = lengths_of(cells, base, recipe)
    if lengths is None:
        return f"the pilots of {branch} counted no tokens"
    done = work(shape, branch, recipe, lengths, n, task)
    hours, remarks = time_on(done, shape, found, count)
    gib, missing = peak_gib(shape, branch, recipe, lengths, task), "more than it has" if count == 1 else "more than one has"
    fits = memory.fits(gib, found.gib, calibrated=False)
    if not fits:
        remarks.append(f"{gib:.1f} GiB and the margin are {missing}: {found.gib:g} GiB on {found.name}")
    return Needed(
        work=done,
        hours=hours,
        peak_gb=gib * GIB / 1e9,
        peak_gb_high=(1.10 * 1.2 * gib + 1) * GIB / 1e9,
        fits=fits,
        request_seconds=answer_seconds(shape, lengths, found, task),
        p_uninterrupted=cost.p_no_interruption(count, hours.value / 24),
        remarks=remarks,
    )


# ---- shape and tokens --------------------------------------------------------------------------------------------------


def shape_for(base: Candidate | None, recipe: Mapping[str, Any]) -> Shape | None:
    """Of the base model, or of what the recipe builds from scratch."""
    if base is not None:
        return Shape(**base.shape) if base.shape else None
    return shape_of({**_architecture(recipe), "vocab_size": recipe.get("vocabulary", 0)})


def _architecture(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Named in the recipe, or a Llama of `depth` layers with 64 units of width each and 8/3 as many, in 32s, within a layer."""
    if not recipe.get("depth"):
        return dict(recipe.get("architecture") or {})
    depth, width = int(recipe["depth"]), 64 * int(recipe["depth"])
    inner = 32 * math.ceil(width * 8 / 3 / 32)
    about = {"num_hidden_layers": depth, "hidden_size": width, "num_attention_heads": depth, "intermediate_size": inner}
    return {"model_type": "llama", **about}


def lengths_of(cells: Sequence[Cell], base: Candidate | None, recipe: Mapping[str, Any]) -> Lengths | None:
    """The mean as the pilots counted it; the spread about it from the candidate's sample of the training rows."""
    read = [cell.measured.tokens / (cell.n * cell.recipe.get("epochs", 1)) for cell in cells if cell.measured.tokens and cell.n]
    if not read:
        return None
    mean, limit = sum(read) / len(read), float(recipe.get("max_tokens", math.inf))
    if "tokens_a_step" in recipe:  # packed into rows of equal length
        return Lengths(mean, mean * limit, limit)
    seen = [min(tokens, limit) for tokens in (base.row_tokens if base else [])] or [mean]
    spread = sum(t * t for t in seen) / len(seen) / (sum(seen) / len(seen)) ** 2
    longest = max(*seen, mean) if len(seen) > 1 else min(limit, 4 * mean)
    return Lengths(mean, mean**2 * spread, longest)


# ---- FLOPs -------------------------------------------------------------------------------------------------------------


def block_params(shape: Shape) -> float:
    """Of the matrices of one layer: queries and output h·h each, keys and values h·kv each, feed-forward 2 or 3 of h·f."""
    return 2 * shape.width**2 + 2 * shape.width * shape.kv + (3 if shape.glu else 2) * shape.width * shape.mlp


def work(
    shape: Shape, branch: str, recipe: Mapping[str, Any], lengths: Lengths, n: int, task: str = "text-classification"
) -> Work:
    """A matrix product of (a, b) with (b, c) is 2abc FLOPs; attention's two are 2·s·s·h each in a row of s tokens, whole."""
    generates = task == "text-generation"
    matrices = shape.layers * block_params(shape)
    head = shape.vocab * shape.width if generates else 0.0
    forward = 2 * (matrices + head) * lengths.mean
    attention = 4 * shape.layers * shape.width * lengths.mean_square
    pooler = 0.0 if generates or branch == "probe" else 2.0 * shape.width**2
    epochs = int(recipe.get("epochs", 1))
    if branch in ("probe", "prompt"):
        a_row, passes = forward + attention, math.ceil(n * lengths.mean / EVALUATED_TOKENS)
    else:
        passes = _passes(recipe, lengths, n) * epochs
        a_row = 3 * (forward + attention + pooler)
        if branch == "lora":
            a_row += _lora(shape, recipe, lengths) - forward
    return Work(n * epochs * a_row, matrices + head, n * epochs * lengths.mean, passes, branch not in ("probe", "prompt"))


def _passes(recipe: Mapping[str, Any], lengths: Lengths, n: int) -> int:
    """Of one epoch; more than one a step where its tokens exceed what one pass holds."""
    if "tokens_a_step" in recipe:
        tokens = float(recipe["tokens_a_step"])
        steps = math.ceil(n * lengths.mean / tokens)
    else:
        rows = int(recipe.get("rows_a_step", 16))
        steps, tokens = math.ceil(n / rows), rows * lengths.mean
    return steps * max(1, math.ceil(tokens / float(recipe.get("tokens_a_pass", math.inf))))


def _lora(shape: Shape, recipe: Mapping[str, Any], lengths: Lengths) -> float:
    """What LoRA's matrices add, less what nobody asks for: gradients of the first layer's inputs to attention.

    (The frozen weights' own gradients are taken off by the caller.) Rank r of a matrix (a, b): 3 x 2·r·(a + b) a token.
    """
    h, r = shape.width, float(recipe.get("rank", 0))
    first = 2 * lengths.mean * (h * h + 2 * h * shape.kv + 3 * r * h)
    return 6 * r * _sides(shape) * shape.layers * lengths.mean - first


def _sides(shape: Shape) -> float:
    """Rows plus columns of the matrices of one layer: parameters of LoRA for each rank."""
    h = shape.width
    return 4 * h + 2 * (h + shape.kv) + (3 if shape.glu else 2) * (h + shape.mlp)


# ---- hours -------------------------------------------------------------------------------------------------------------


def time_on(done: Work, shape: Shape, gpu: Gpu, count: int) -> tuple[Band, list[str]]:
    """Hours by the clock, and what they rest on. The host's time does not shrink with the number of GPUs."""
    computing = cost.gpu_hours(done.flops, done.params, gpu).value / count
    issuing = done.passes * host_seconds(shape, done.trains) / 3600 / GOODPUT
    known = cost.fits()["gpu_hours"]
    small, large = known["smallest"], known["largest"]
    inside = small <= done.params <= large
    if issuing > computing:
        why = (
            f"{done.passes:,} passes, each too small for a {gpu.name}: bound by the time in which its host issues them, "
            "measured on another machine; more GPUs, or a faster one, would not help"
        )
        return Band.around(issuing, OUTSIDE), [why]
    why = f"{done.flops:.2g} FLOPs at the efficiency of published whole runs of this size on such a GPU"
    if inside:
        return Band.around(computing, known["band90"]), [why]
    beyond = f"outside the published sizes ({small / 1e6:.0f} million to {large / 1e9:.0f} billion parameters)"
    return Band.around(computing, OUTSIDE), [why, f"{done.params / 1e6:.1f} million parameters are {beyond}"]


def host_seconds(shape: Shape, trains: bool) -> float:
    """Of one pass."""
    start, each = HOST_SECONDS
    return (start + each * shape.layers) * (1.0 if trains else FORWARD_SHARE)


def answer_seconds(shape: Shape, lengths: Lengths, gpu: Gpu, task: str) -> float:
    """One request alone: its arithmetic at the efficiency of training, or the host's time, whichever is more.

    Of generated text, the time of one token; many requests at once take less each.
    """
    one = work(shape, "probe", {}, lengths, 1, task)
    computing = one.flops / (gpu.tflops * 1e12 * cost.whole_run_mfu(one.params, gpu))
    return max(computing, host_seconds(shape, trains=False))


# ---- memory ------------------------------------------------------------------------------------------------------------


def peak_gib(
    shape: Shape, branch: str, recipe: Mapping[str, Any], lengths: Lengths, task: str = "text-classification"
) -> float:
    """Of one GPU that holds the whole model: fp32 weights and AdamW as `tasks.trainers.fit` keeps them, nothing sharded.

    `memory.peak_bytes` with its coefficients; a classifier has no logits to speak of. Activations are counted in fp32,
    though autocast keeps half of them in bf16: too much rather than too little.
    """
    step = recipe.get("tokens_a_step") or recipe.get("rows_a_step", 16) * lengths.longest
    tokens = min(float(recipe.get("tokens_a_pass", math.inf)), float(step))
    if branch in ("probe", "prompt"):
        return (4 * shape.params + 4 * EVALUATED_TOKENS * (8 * shape.width + 2 * shape.mlp)) / GIB
    trained = float(recipe.get("rank", 0)) * _sides(shape) * shape.layers
    plan = memory.Recipe(
        tokens=max(tokens, lengths.longest),
        method="lora" if branch == "lora" else "full",
        trained=trained,
        weight_bytes=4,
        optimizer_bytes=8,
        gradient_bytes=4,
        logits="hf_fp32" if task == "text-generation" else "none",
    )
    return memory.peak_bytes(shape, plan, memory.coefficients()) / GIB


# ---- doubts --------------------------------------------------------------------------------------------------


def doubts(
    gpu: str, count: int, usd: tuple[float, float] | None, run: Needed | None = None, deadline_hours: float | None = None
) -> list[str]:
    """Inputs that cannot be right, one line each: a price that nobody asks, a deadline that a GPU's peak forbids."""
    found = cost.find_gpu(gpu)
    if found is None:
        return [f"hardware.gpu = {gpu}: not one that tables/gpus.csv knows; its speed and memory are unknown"]
    said = []
    for usd_each in dict.fromkeys(usd or ()):
        rule = implausible(Run(gpu=found.name, gpu_hours=1.0, cost_usd=usd_each)) if usd_each else []
        said += [f"hardware.usd_per_gpu_hour = {usd_each:g}: {line.partition(': ')[2]}{_asked(found)}" for line in rule]
    if run is not None and deadline_hours is not None:
        share = run.work.flops / (deadline_hours * 3600 * count * found.tflops * 1e12)
        most = LARGEST_MFU.get(found.name, 0.50)
        if share > most:
            what = "impossible" if share > 1 else f"whole runs reach at most {most:.0%}"
            needs = f"needs {share:.0%} of the peak of {count} {found.name}"
            said.append(f"constraints.deadline_hours = {deadline_hours:g}: {needs}; {what}")
    return said


def _asked(gpu: Gpu) -> str:
    known = cost.price(gpu)
    if known is None:
        return ""
    return f"; public pages asked ${known.low:.2f} to ${known.high:.2f} between {known.first} and {known.last}"
