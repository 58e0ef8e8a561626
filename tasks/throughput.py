"""In-step throughput of transformer pre-training: a Gaussian process on a public benchmark of 216 measured set-ups.

The benchmark (`tables/mfu_mosaic_benchmark.csv`, MosaicML llm-foundry, Apache-2.0) holds decoder models of 125 M to 70 B on
A100 and H100 with FSDP. ln MFU is a linear function of the set-up plus a smooth deviation: one covariance, linear + RBF
(Rasmussen and Williams 2006, ch. 2). In-step: no restarts, no evaluation (`cost.GOODPUT` turns it into a run's).
Other GPUs, tensor parallelism and other code are outside it, and refused: an unseen GPU is up to 21 % off.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.cost import Band, find_gpu, fits, flops_per_token
from tasks.stage import UserError

Array = NDArray[np.float64]
TABLE = Path(__file__).with_name("tables") / "mfu_mosaic_benchmark.csv"
LAYERS_WIDTH = {
    "125m": (12, 768), "350m": (24, 1024), "760m": (24, 1536), "1b": (24, 2048), "3b": (32, 2560),
    "7b": (32, 4096), "13b": (40, 5120), "30b": (48, 7168), "70b": (80, 8192),
}  # fmt: skip
SEEN = {"A100", "H100"}


@dataclass(frozen=True)
class SetUp:
    """One training set-up."""

    params: float
    layers: int
    width: int
    sequence: float
    """Tokens."""
    gpus: int
    gpu: str
    """As `cost.find_gpu` reads it."""
    micro_batch: float
    """Sequences on one GPU at a time."""
    pure_bf16: bool = False
    fp8: bool = False
    checkpointing: bool = False

    @property
    def flops_per_token(self) -> float:
        return flops_per_token(self.params, self.layers, self.width, self.sequence)

    @property
    def peak_flops(self) -> float:
        """FLOP/s; fp8 has twice the peak."""
        gpu = find_gpu(self.gpu)
        return (gpu.tflops if gpu else np.nan) * 1e12 * (2 if self.fp8 else 1)

    @property
    def inputs(self) -> list[float]:
        gpu, attention = find_gpu(self.gpu), 1 - 6 * self.params / self.flops_per_token
        logs = np.log([self.params, self.sequence, self.gpus, self.micro_batch])
        flags = [gpu is not None and gpu.new, gpu is not None and gpu.gib < 80, self.pure_bf16, self.fp8, self.checkpointing]
        return [*logs, *map(float, flags), attention]


@dataclass(frozen=True)
class Measured:
    model: str
    set_up: SetUp
    mfu: float
    """As reported, 0 to 1."""
    tokens_per_second: float
    """Of one GPU."""


@dataclass(frozen=True)
class Kernel:
    """Standard deviations of the linear and the smooth part, its length in standard deviations of the inputs, the noise."""

    linear: float
    smooth: float
    length: float
    noise: float


def tokens_per_second(set_up: SetUp) -> Band | None:
    """Tokens/s of one GPU while it steps, with its 90 % interval; None for a GPU that the benchmark has not seen."""
    gpu = find_gpu(set_up.gpu)
    if gpu is None or gpu.name not in SEEN:
        return None
    about = fits()["throughput"]
    mfu = float(np.exp(foretell(_benchmark(), [set_up], Kernel(**about["kernel"])))[0])
    return Band.around(mfu * set_up.peak_flops / set_up.flops_per_token, about["band90"])


def foretell(known: Sequence[Measured], wanted: Sequence[SetUp], kernel: Kernel) -> Array:
    """ln MFU of each wanted set-up, (n,), from the known measurements."""
    x, y, x_new = _standardised(known, wanted)
    weights = np.linalg.solve(covariance(x, x, kernel) + kernel.noise**2 * np.eye(len(x)), y - y.mean())
    foretold: Array = covariance(x_new, x, kernel) @ weights + y.mean()
    return foretold


def log_likelihood(known: Sequence[Measured], kernel: Kernel) -> float:
    """How probable the measurements are under this kernel: what it is chosen by (Rasmussen and Williams 2006, 5.8)."""
    x, y, _ = _standardised(known, [])
    factor = np.linalg.cholesky(covariance(x, x, kernel) + kernel.noise**2 * np.eye(len(x)))
    white = np.linalg.solve(factor, y - y.mean())
    return float(-0.5 * white @ white - np.log(np.diag(factor)).sum())


def covariance(a: Array, b: Array, kernel: Kernel) -> Array:
    """Between rows of a (n, d) and b (m, d): (n, m)."""
    apart = ((a[:, None] - b[None]) ** 2).sum(-1)
    found: Array = kernel.smooth**2 * np.exp(-apart / 2 / kernel.length**2) + kernel.linear**2 * (a @ b.T) + 1
    return found


def _standardised(known: Sequence[Measured], wanted: Sequence[SetUp]) -> tuple[Array, Array, Array]:
    x = np.array([row.set_up.inputs for row in known])
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    new = np.array([row.inputs for row in wanted]).reshape(-1, x.shape[1])
    return (x - mean) / spread, np.log([row.mfu for row in known]), (new - mean) / spread


@cache
def _benchmark() -> list[Measured]:
    return benchmark(TABLE)


def benchmark(path: Path) -> list[Measured]:
    """The rows of the benchmark table whose model's shape is known. UserError if a column is missing or no number."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return [_measured(row) for row in rows if row["Model"] in LAYERS_WIDTH]
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: {error}; give the columns of {TABLE}") from None


def _measured(row: dict[str, str]) -> Measured:
    layers, width = LAYERS_WIDTH[row["Model"]]
    gpus = int(row["# GPUs"])
    set_up = SetUp(
        params=float(row["NumParams"]),
        layers=layers,
        width=width,
        sequence=float(row["SeqLen (T)"]),
        gpus=gpus,
        gpu=row["GPU"],
        micro_batch=float(row["MicroBatchSize"]),
        pure_bf16=row["MP Mode"] == "PURE",
        fp8="fp8" in row["Precision"],
        checkpointing=row["Activation Checkpointing"] == "True",
    )
    return Measured(row["Model"], set_up, float(row["MFU"]) / 100, float(row["Throughput (T/s)"]) / gpus)
