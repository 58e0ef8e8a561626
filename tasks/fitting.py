"""Fits of the estimators to published tables; `python -m tasks.validate --refit` writes them to `tables/fits.json`.

Each fit is a function of the rows it may see, so that validation can leave out what it predicts.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import memory, published, throughput, verdicts
from tasks.cost import sibling_mfu, whole_run_mfu
from tasks.published import Row, WholeRun
from tasks.published_peaks import MemoryCase, memory_case
from tasks.throughput import Kernel, Measured

Array = NDArray[np.float64]
FITS = Path(__file__).with_name("tables") / "fits.json"

SATURATION_PRIOR = [(-0.9, 0.0), (-0.4, 0.01), (-1.0, 0.0025), (0.0, 0.005)]
"""Of ln m_A, ln m_H/m_A, ln c_A, ln c_H/c_A: centre and weight beside the mean squared error; few H100 runs are public."""
MEMORY_PRIOR = {
    "activation": 1.0, "dequantise_buffer": 12.0, "logits_plain": 12.0, "logits_hf_fp32": 12.0, "logits_chunked": 2.5,
    "logits_fp32": 16.0, "selective_share": 0.4,
}  # fmt: skip
"""Counted from the code: bytes a logit in bf16 and fp32 with gradients, three fp32 copies of an input, half the matrices."""
MEMORY_PRIOR_WEIGHT = 0.003
UNSEEN = 1.76
"""Band of GPU-hours: runs that nobody had looked at were about twice as far off as those that the form was chosen on."""


def least_squares(residuals: Callable[[Array], Array], start: Sequence[float], steps: int = 40) -> list[float]:
    """Parameters of least squared residuals near `start`: damped Gauss-Newton with numeric derivatives."""
    x, damping = np.array(start, float), 1e-3
    r = residuals(x)
    for _ in range(steps):
        slopes = np.stack([(residuals(x + step) - r) / 1e-6 for step in 1e-6 * np.eye(len(x))], axis=1)
        normal = slopes.T @ slopes
        move = np.linalg.solve(normal + damping * np.eye(len(x)), -slopes.T @ r)
        new = residuals(x + move)
        if new @ new < r @ r:
            x, r, damping = x + move, new, damping / 4
        else:
            damping *= 8
    return [float(value) for value in x]


def saturation(runs: Sequence[WholeRun]) -> list[float]:
    """The constants of `cost.whole_run_mfu`: mean squared log error plus the prior."""

    def residuals(t: Array) -> Array:
        errors = [math.log(whole_run_mfu(run.case.params, run.case.gpu, t.tolist()) / run.mfu) for run in runs]
        prior = [math.sqrt(weight) * (value - centre) for value, (centre, weight) in zip(t, SATURATION_PRIOR, strict=True)]
        return np.array([*(np.array(errors) / math.sqrt(len(runs))), *prior])

    return least_squares(residuals, [centre for centre, _ in SATURATION_PRIOR])


def nearest_sibling(run: WholeRun, runs: Sequence[WholeRun]) -> WholeRun | None:
    """The run of the same code and GPU class that is nearest in size, 1.2 to 8 times apart."""

    def apart(other: WholeRun) -> float:
        return abs(math.log(other.case.params / run.case.params))

    same = [other for other in runs if other.code == run.code and other.case.gpu.new == run.case.gpu.new]
    return min((other for other in same if math.log(1.2) <= apart(other) <= math.log(8)), key=apart, default=None)


def left_out_hours(runs: Sequence[WholeRun], known: Sequence[WholeRun]) -> Array:
    """Predicted over reported GPU-hours of each run, fitted to the known ones without its family, (n,)."""
    fitted = {name: saturation([run for run in known if run.family != name]) for name in {run.family for run in runs}}
    return np.array([run.mfu / whole_run_mfu(run.case.params, run.case.gpu, fitted[run.family]) for run in runs])


def sibling_hours(runs: Sequence[WholeRun], known: Sequence[WholeRun]) -> Array:
    """The same with one earlier run of the same code, for those that have one."""
    ratios = []
    for name in sorted({run.family for run in runs}):
        constants = saturation([run for run in known if run.family != name])
        for run in (run for run in runs if run.family == name):
            if other := nearest_sibling(run, known):
                told = sibling_mfu(run.case.params, run.case.gpu, other.case.params, other.mfu, constants)
                ratios.append(run.mfu / told)
    return np.array(ratios)


# ---- memory ----------------------------------------------------------------------------------------------------------

Peaks = Sequence[tuple[str, MemoryCase, float]]
"""Section, case, measured peak in bytes."""


def peaks(rows: Sequence[Row]) -> list[tuple[str, MemoryCase, float]]:
    """The rows with a measured peak that the formula covers; sections as the tables print them."""
    found = []
    for row in rows:
        case, measured = memory_case(row), published.number(row.get("mem_gb"))
        if not isinstance(case, str) and measured:
            found.append((f"{row.get('source')}/{row.get('section')}", case, measured * case.unit))
    return found


def memory_coefficients(known: Peaks) -> dict[str, float]:
    """Least squared log error, held near what the code says."""
    names = list(MEMORY_PRIOR)

    def residuals(t: Array) -> Array:
        fitted = _coefficients(names, t)
        errors = [math.log(memory.peak_bytes(case.shape, case.recipe, fitted) / measured) for _, case, measured in known]
        return np.array([*(np.array(errors) / math.sqrt(len(known))), *(math.sqrt(MEMORY_PRIOR_WEIGHT) * t)])

    return _coefficients(names, np.array(least_squares(residuals, [0.0] * len(names), steps=15)))


def _coefficients(names: Sequence[str], t: Array) -> dict[str, float]:
    return {name: MEMORY_PRIOR[name] * math.exp(value) for name, value in zip(names, t, strict=True)}


def left_out_peaks(rows: Peaks, known: Peaks) -> Array:
    """Predicted over measured peak of each row, fitted to the known ones without its section, (n,)."""
    fitted = {name: memory_coefficients([row for row in known if row[0] != name]) for name in {row[0] for row in rows}}
    return np.array([memory.peak_bytes(case.shape, case.recipe, fitted[section]) / peak for section, case, peak in rows])


# ---- throughput ------------------------------------------------------------------------------------------------------

KERNELS = [Kernel(*numbers) for numbers in itertools.product((0.03, 0.1), (0.2, 0.3), (3.0, 4.0, 5.0), (0.03, 0.05))]


def kernel(known: Sequence[Measured]) -> Kernel:
    """The most probable kernel of the grid, by the measurements that it may see."""
    return max(KERNELS, key=lambda one: throughput.log_likelihood(known, one))


def left_out_throughput(rows: Sequence[Measured], known: Sequence[Measured]) -> Array:
    """Predicted over measured tokens/s of each row, its model size left out, kernel chosen without it, (n,)."""
    ratios = np.empty(len(rows))
    for model in {row.model for row in rows}:
        others = [row for row in known if row.model != model]
        at = [k for k, row in enumerate(rows) if row.model == model]
        mfu = np.exp(throughput.foretell(others, [rows[k].set_up for k in at], kernel(others)))
        per_token = [rows[k].set_up.peak_flops / rows[k].set_up.flops_per_token / rows[k].tokens_per_second for k in at]
        ratios[at] = mfu * np.array(per_token)
    return ratios


# ---- verdicts --------------------------------------------------------------------------------------------------------


def chances(rows: Sequence[Row]) -> dict[str, list[float]]:
    """For each rule the share of transfer (ties half), papers weighted alike, with its 90 % Wilson interval over papers."""
    papers: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if (rule := verdicts.screen(row).rule) and (won := WON.get(row.get("winner", ""))) is not None:
            papers[rule][row.get("group", "")].append(won)
    return {rule: _wilson([float(np.mean(won)) for won in groups.values()]) for rule, groups in papers.items()}


WON = {"transfer": 1.0, "tie": 0.5, "scratch": 0.0}


def _wilson(shares: Sequence[float], z: float = 1.6449) -> list[float]:
    """Centre and interval of a mean of shares, as if each paper were one draw (Wilson 1927); the centre is shrunk to ½."""
    n, p = len(shares), float(np.mean(shares))
    centre = (p + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    return [round(value, 4) for value in (centre, centre - half, centre + half)]


# ---- all of it -------------------------------------------------------------------------------------------------------


def band90(ratios: Array) -> float:
    """The factor x/÷ that holds nine in ten of the ratios."""
    return float(np.exp(np.quantile(np.abs(np.log(ratios)), 0.9)))


def fit_all(folder: Path) -> dict[str, Any]:
    """Everything of `fits.json`, from the tables in `folder`."""
    runs = published.whole_runs(published.read(folder / "training_runs.csv", []))
    known = peaks(published.read(folder / "memory_truth.csv", []))
    speeds = throughput.benchmark(folder / "mfu_mosaic_benchmark.csv")
    best = kernel(speeds)
    return {
        "version": 1,
        "gpu_hours": {
            "saturation": saturation(runs),
            "smallest": min(run.case.params for run in runs),
            "largest": max(run.case.params for run in runs),
            "band90": max(UNSEEN, band90(left_out_hours(runs, runs))),
            "band90_sibling": band90(sibling_hours(runs, runs)),
            "band90_in_step": 1.3,
        },
        "memory": memory_coefficients(known) | {"band90": band90(left_out_peaks(known, known))},
        "throughput": {"kernel": vars(best), "band90": band90(left_out_throughput(speeds, speeds))},
        "verdict": chances(published.read(folder / "ft_vs_scratch.csv", [])),
    }


def refit(folder: Path) -> None:
    """Write `tables/fits.json` anew."""
    FITS.write_text(json.dumps(_rounded(fit_all(folder)), indent=1) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value
