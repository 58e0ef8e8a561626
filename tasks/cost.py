"""FLOPs, GPU-hours, failures, prices and energy of a training run, each with the band that published runs support.

Three ways to GPU-hours, best first: a measured tokens/s (`hours_at_speed`), a measured in-step MFU or an earlier run of the
same code (`gpu_hours(..., in_step_mfu=)`, `gpu_hours(..., sibling=)`), size and GPU alone. The last is good to x/÷1.76 and
not better: published runs of one size on one GPU differ by a factor of 1.3 in the median. Hours of a run count its
restarts and idle GPUs, not evaluation, data preparation or failed attempts. Not covered: runs on CPUs (measure), vision
models (count their FLOPs), recipes that save steps (they change the tokens).
"""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tasks.params import Hardware
from tasks.stage import UserError

TABLES = Path(__file__).with_name("tables")
GOODPUT = 0.85
"""Share of a run's GPU-hours that does new steps; .67-.93 in reports (arXiv 2407.21783, 2204.02311, 2112.11446)."""
INTERRUPTIONS_PER_GPU_DAY = 4.7e-4
"""419 unexpected ones in 54 days on 16,384 H100 (Llama 3, arXiv 2407.21783)."""
PUE = (1.08, 1.2)
"""Power of the building over power of the machines (Patterson et al. 2021, arXiv 2104.10350; OLMo 2, arXiv 2501.00656)."""


class Band(NamedTuple):
    """A value with its 90 % interval."""

    value: float
    low90: float
    high90: float

    @classmethod
    def around(cls, value: float, factor: float) -> Band:
        return cls(value, value / factor, value * factor)


# ---- FLOPs -----------------------------------------------------------------------------------------------------------


def flops_per_token(
    params: float,
    layers: int = 0,
    width: int = 0,
    sequence: float = 0,
    *,
    trained: float | None = None,
    causal: bool = False,
    checkpointing: bool = False,
) -> float:
    """FLOPs of one training token: forward 2N + 4·L·h·s, backward the same for inputs and again for weights.

    `params` are those that a token multiplies with: all of a dense model with its head (an untied input embedding is a
    look-up: leave it out), the active ones of a mixture of experts. With `layers`, `width` and `sequence` 0 the attention
    is left out, 13 % in the median. `trained`: parameters that get gradients (LoRA, adapters: 4N + 2·trained; attention
    is still gone through backwards); None: all. `causal` halves attention (a kernel that skips the masked half; the MFU of
    publications counts it whole). `checkpointing` adds a second forward: what the hardware does, not what MFU counts.
    Source: Kaplan et al. 2020 (arXiv 2001.08361) 2.1, PaLM (arXiv 2204.02311) appendix B, LoRA (arXiv 2106.09685).
    """
    attention = 4 * layers * width * sequence * (0.5 if causal else 1.0)
    weights = params if trained is None else trained
    forward = 2 * params + attention
    backward = 2 * params + 2 * weights + 2 * attention
    return forward * (2 if checkpointing else 1) + backward


def inference_flops_per_token(params: float) -> float:
    """2N: one multiplication and one addition a parameter."""
    return 2 * params


# ---- GPUs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gpu:
    name: str
    tflops: float
    """Peak, dense, bf16 (fp16 where there is no bf16), from the makers' data sheets; also the yardstick of fp8 runs."""
    gib: float
    """Memory; of several versions the smallest, unless the name says which."""
    watts: float
    """Thermal design power."""
    new: bool
    """H100 or later: whole runs reach a smaller share of its peak."""


@cache
def gpus() -> dict[str, Gpu]:
    """The shipped GPUs by name."""
    with (TABLES / "gpus.csv").open(newline="") as file:
        return {row["gpu"]: _gpu(row) for row in csv.DictReader(file)}


def _gpu(row: dict[str, str]) -> Gpu:
    smallest = float(row["memory_gib"].split("/")[0])
    return Gpu(row["gpu"], float(row["bf16_tflops"]), smallest, float(row["watts"]), row["generation"] == "new")


@cache
def find_gpu(name: str) -> Gpu | None:
    """The one GPU that a text like "8xH100(96GB)", "NVIDIA A100-SXM4-40GB", "a100_40gb" or "1x4090" names.

    None for a GPU that is not in the table and for a text that names two.
    """
    words = [re.sub(r"^\d+X(?=.)|^RTX(?=\d)|(?<=\d)X\d+$", "", word) for word in re.findall(r"[A-Z0-9]+", _spelled(name))]
    known = {gpu.upper().removeprefix("RTX"): gpu for gpu in gpus()}
    named = [known.get(word) or known.get(word.removesuffix("S")) for word in words]
    found = {gpu for gpu in named if gpu}
    if len(found) != 1:
        return None
    model = found.pop()
    gpu = gpus()["H100-PCIe" if model == "H100" and "PCIE" in words else model]
    after = " ".join(words[named.index(model) + 1 :])
    memory = re.search(r"\b(16|32|40|48|80|94|96|141|144)(GI?B?)?\b", after)
    return replace(gpu, gib=float(memory[1])) if memory else gpu


def _spelled(name: str) -> str:
    return re.sub(r"TPU\W*V", "TPUV", name.upper().replace("_", " ")).replace("PCIE", " PCIE")


# ---- time ------------------------------------------------------------------------------------------------------------


@cache
def fits() -> dict[str, Any]:
    """The fitted constants, `tables/fits.json`; `python -m tasks.validate --refit` makes them anew."""
    constants: dict[str, Any] = json.loads((TABLES / "fits.json").read_text())
    return constants


def whole_run_mfu(params: float, gpu: Gpu, constants: list[float] | None = None) -> float:
    """Share of the GPU's peak that a whole run of a model with `params` active parameters reaches, counting 6ND.

    m/(1 + √(c/N)), N in billions: small models keep a GPU less busy. m and c for A100 and older (and TPUs), and for
    H100 and later; `constants` = [ln m, ln m ratio, ln c, ln c ratio], from 41 published runs (`tables/training_runs.csv`).
    """
    t = constants or fits()["gpu_hours"]["saturation"]
    m, c = t[0] + t[1] * gpu.new, t[2] + t[3] * gpu.new
    return math.exp(m) / (1 + math.sqrt(math.exp(c) / (params / 1e9)))


def gpu_hours(
    flops: float,
    params: float,
    gpu: Gpu,
    *,
    in_step_mfu: float | None = None,
    sibling: tuple[float, float] | None = None,
) -> Band:
    """GPU-hours of a run of `flops`, counted as 6ND, on as many `gpu` as you like.

    `params`: active parameters. `in_step_mfu`: measured while it steps, times the goodput. `sibling`: (active parameters,
    whole-run MFU) of an earlier run of the same code on such a GPU, 1/8 to 8 times the size.
    """
    about = fits()["gpu_hours"]
    if in_step_mfu is not None:
        return Band.around(_hours(flops, gpu, in_step_mfu * GOODPUT), about["band90_in_step"])
    if sibling is not None:
        return Band.around(_hours(flops, gpu, sibling_mfu(params, gpu, *sibling)), about["band90_sibling"])
    return Band.around(_hours(flops, gpu, whole_run_mfu(params, gpu)), about["band90"])


def sibling_mfu(
    params: float, gpu: Gpu, sibling_params: float, sibling_whole_run_mfu: float, constants: list[float] | None = None
) -> float:
    """Three quarters of a sibling's deviation from the curve carry over."""
    deviation = sibling_whole_run_mfu / whole_run_mfu(sibling_params, gpu, constants)
    return float(whole_run_mfu(params, gpu, constants) * deviation**0.75)


def hours_at_speed(tokens: float, tokens_per_second_per_gpu: float) -> Band:
    """GPU-hours from a measured speed, times the goodput."""
    hours = tokens / (tokens_per_second_per_gpu * 3600 * GOODPUT)
    return Band.around(hours, fits()["gpu_hours"]["band90_in_step"])


def _hours(flops: float, gpu: Gpu, mfu: float) -> float:
    return flops / (3600 * gpu.tflops * 1e12 * mfu)


# ---- failures --------------------------------------------------------------------------------------------------------


def p_no_interruption(gpus: float, days: float, rate: float = INTERRUPTIONS_PER_GPU_DAY) -> float:
    """Probability that nothing stops the run; independent failures at a constant rate. Spot preemption is not in it."""
    return math.exp(-rate * gpus * days)


def checkpoint_interval_seconds(gpus: float, seconds_to_save: float, rate: float = INTERRUPTIONS_PER_GPU_DAY) -> float:
    """√(2·δ·MTBF), the interval that loses least (Young 1974, Daly 2006)."""
    return math.sqrt(2 * seconds_to_save * 86400 / (rate * gpus))


# ---- money and energy ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Price:
    """USD for one hour of one GPU: what the pages named in `source` asked between two months. They disagree."""

    low: float
    high: float
    first: str
    last: str
    source: str


@cache
def price(gpu: Gpu, tier: str = "on-demand") -> Price | None:
    """The shipped range; None where no page gave one. Take the user's own price where there is one."""
    with (TABLES / "gpu_prices.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if (row["gpu"], row["tier"]) == (gpu.name, tier):
                low, high = float(row["usd_per_hour_low"]), float(row["usd_per_hour_high"])
                return Price(low, high, row["from"], row["to"], row["source"])
    return None


MACHINE = Price(0.05, 0.15, "2026-11", "2026-11", "own estimate: rented machines of two cores without a GPU")


def price_of_hour(hardware: Hardware) -> Price:
    """The user's price range of an hour of one GPU, or of the machine; where that is empty the shipped one, with its dates.

    Raises UserError for a GPU of which no price is shipped: none is guessed.
    """
    if hardware.usd_per_gpu_hour is not None:
        return Price(*hardware.usd_per_gpu_hour, hardware.prices_as_of, hardware.prices_as_of, "params.yaml")
    if hardware.gpu is None:
        return MACHINE
    gpu = find_gpu(hardware.gpu)
    if (found := price(gpu) if gpu else None) is None:
        raise UserError(
            f"hardware.usd_per_gpu_hour is empty, and no price of hardware.gpu = {hardware.gpu} is shipped: "
            "give the lowest and the highest price of an hour"
        )
    return found


def cost_usd(hours: Band, usd_per_hour: tuple[float, float]) -> Band:
    """GPU-hours times a price range: the geometric middle; the interval combines both as independent log spreads."""
    low, high = usd_per_hour
    if low <= 0:
        return Band(hours.value * (low + high) / 2, hours.low90 * low, hours.high90 * high)
    spread = math.hypot(math.log(hours.high90 / hours.value), math.log(high / low) / 2)
    return Band.around(hours.value * math.sqrt(low * high), math.exp(spread))


def break_even_price(hours: float, fixed_usd: float, other_hours: float, other_fixed_usd: float) -> float | None:
    """USD for a GPU-hour at which two ways cost the same; None where no positive price makes them equal."""
    if hours == other_hours:
        return None
    at = (other_fixed_usd - fixed_usd) / (hours - other_hours)
    return at if at > 0 else None


def energy_kwh(hours: Band, gpu: Gpu) -> Band:
    """Electricity of the run with its building: .6 to 1 of the design power (arXiv 2104.10350), times PUE."""
    low, high = 0.6 * PUE[0] * gpu.watts / 1000, PUE[1] * gpu.watts / 1000
    return Band(hours.value * (low + high) / 2, hours.low90 * low, hours.high90 * high)
