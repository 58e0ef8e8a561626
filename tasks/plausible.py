"""What cannot be right in a reported training run, one line each. Silence is no proof: few of these numbers can be checked.

R1 more of the GPU's peak than whole runs reach, R2 hardly any of it, R3 hours against GPUs and days, R4 price of an hour,
R5 energy of an hour, R6 whole run against its in-step speed; and four checks of documents. The limits are set so that the
known bad runs are caught (`tables/implausible_runs.csv`) at no more than 2 % false alarms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.cost import Gpu, find_gpu

LARGEST_MFU = {"A100": 0.55, "TPUv3": 0.55, "TPUv4": 0.60}
"""Of a whole run, 6ND; .50 for all other GPUs."""
SMALLEST_MFU = 0.03


@dataclass(frozen=True)
class Run:
    """What is known of a run; None: not reported."""

    gpu: str
    params: float | None = None
    """Active ones."""
    tokens: float | None = None
    n_gpus: float | None = None
    wall_days: float | None = None
    gpu_hours: float | None = None
    mfu_reported: float | None = None
    cost_usd: float | None = None
    energy_mwh: float | None = None
    lora: bool = False
    """Frozen weights get no gradients: two thirds of the FLOPs."""


def implausible(run: Run) -> list[str]:
    """One line for each rule that the run breaks; empty if none does or nothing can be checked."""
    gpu = find_gpu(run.gpu)
    return [*_efficiency(run, gpu), *_hours(run), *_price(run), *_energy(run, gpu)]


def whole_run_mfu(run: Run, gpu: Gpu) -> float | None:
    """6ND over the hours' peak (4ND with LoRA); None if a number is missing."""
    if not (run.params and run.tokens and run.gpu_hours):
        return None
    return (4 if run.lora else 6) * run.params * run.tokens / (run.gpu_hours * 3600 * gpu.tflops * 1e12)


def _efficiency(run: Run, gpu: Gpu | None) -> Iterator[str]:
    mfu = whole_run_mfu(run, gpu) if gpu else None
    if gpu is None or mfu is None:
        return
    cap = LARGEST_MFU.get(gpu.name, 0.50)
    if mfu > 1:
        yield f"R1: needs {mfu:.0%} of the peak of {gpu.name}: impossible"
    elif mfu > cap:
        yield f"R1: needs {mfu:.0%} of the peak of {gpu.name}; whole runs reach at most {cap:.0%}"
    if mfu < SMALLEST_MFU:
        yield f"R2: uses {mfu:.1%} of the peak of {gpu.name}; below {SMALLEST_MFU:.0%} something else took the time"
    if run.mfu_reported and not 0.5 <= mfu / run.mfu_reported <= 1.03:
        yield f"R6: the whole run reaches {mfu:.0%}, the report says {run.mfu_reported:.0%}"


def _hours(run: Run) -> Iterator[str]:
    if run.gpu_hours and run.n_gpus and run.wall_days:
        ratio = run.gpu_hours / (run.n_gpus * run.wall_days * 24)
        if not 0.8 <= ratio <= 1.25:
            yield f"R3: the GPU-hours are {ratio:.2f} x GPUs x days x 24"


def _price(run: Run) -> Iterator[str]:
    if run.cost_usd and run.gpu_hours:
        low, high = (0.15, 2.0) if "RTX" in run.gpu.upper() else (0.5, 13.0)
        each = run.cost_usd / run.gpu_hours
        if not low <= each <= high:
            yield f"R4: ${each:.2f} for a GPU-hour; {run.gpu} costs ${low} to ${high}"


def _energy(run: Run, gpu: Gpu | None) -> Iterator[str]:
    if gpu and run.energy_mwh and run.gpu_hours:
        share = run.energy_mwh * 1e6 / run.gpu_hours / gpu.watts
        if not 0.4 <= share <= 1.6:
            yield f"R5: {share:.2f} x the design power of {gpu.name}"


# ---- documents -------------------------------------------------------------------------------------------------------


def disagree(one: float, other: float) -> bool:
    """Two values of one quantity more than 5 % apart."""
    return abs(one - other) > 0.05 * min(abs(one), abs(other))


def carbon_implausible(tonnes: float, gpu_hours: float, watts: float) -> bool:
    """Outside .05 to 3 x the carbon of the hours at design power on the grid of the US (.385 kg/kWh)."""
    return not 0.05 <= tonnes * 1000 / (gpu_hours * watts / 1000 * 0.385) <= 3


def share_misprinted(part: float, whole: float, printed: float) -> bool:
    """A printed share more than half a point off part/whole."""
    return abs(part / whole - printed) > 0.005


def derived(column: Sequence[float], other: Sequence[float]) -> bool:
    """Two columns with a constant ratio (to rounding, 1 %) over four rows or more: one was computed from the other."""
    ratios = [a / b for a, b in zip(column, other, strict=True) if b]
    return len(ratios) >= 4 and max(ratios) <= 1.01 * min(ratios) and max(column) > 1.01 * min(column)
