"""Score the estimators on known outcomes: families, papers, sections or model sizes left out, never the ones predicted.

    python -m tasks.validate [--refit] [TRUTH_DIR] [validation.json]

TRUTH_DIR holds tables with the names and columns of `tasks/tables` (its default); tables that it lacks come from there.
Fits that leave something out see the shipped rows and those of TRUTH_DIR.
Prints measure, figure reached and target, and writes the same to validation.json: a list of {measure, reached, target, met,
n}; `met` is null where no target was set. `--refit` first makes `tables/fits.json` anew from TRUTH_DIR.
"""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks import fitting, memory, plausible, published, throughput, verdicts
from tasks.cost import GOODPUT, TABLES, fits
from tasks.plausible import implausible
from tasks.published import Row, WholeRun
from tasks.published_peaks import memory_case
from tasks.stage import UserError

Array = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True)
class Measure:
    measure: str
    """With its unit."""
    reached: float
    target: str
    """Such as "<= 23", "88-92"; in words where it is no number; empty: none was set."""
    n: int
    """Rows, cases or papers that it was measured on."""

    @property
    def met(self) -> bool | None:
        """None where no number was set, or nothing measured."""
        limits = re.fullmatch(r"(?:(<=|>=) )?([\d.]+)(?:-([\d.]+))?", self.target)
        if limits is None or math.isnan(self.reached):
            return None
        reached = float(self.reached)
        if limits[3]:
            return float(limits[2]) <= reached <= float(limits[3])
        return reached <= float(limits[2]) if limits[1] == "<=" else reached >= float(limits[2])


def main(truth: Path, written: Path) -> list[Measure]:
    started = time.process_time()
    measures = [*hours(truth), *speed(truth), *peaks(truth), *bad_runs(truth), *contested(truth), *base_ranking()]
    measures += [*curves(truth), *decisions()]
    _show(measures)
    print(f"in {time.process_time() - started:.0f} CPU-seconds (at most 60 were wanted)")
    text = json.dumps(record(measures), indent=1)
    try:
        written.write_text(text + "\n")
    except OSError as error:
        raise UserError(f"{written}: cannot be written: {error.strerror}") from None
    return measures


def _table(truth: Path, name: str) -> Path:
    return truth / name if (truth / name).exists() else TABLES / name


def record(measures: Sequence[Measure]) -> list[dict[str, object]]:
    """The rows of validation.json; `reached` is null where nothing could be measured."""
    numbers = [None if math.isnan(one.reached) else float(one.reached) for one in measures]
    return [asdict(one) | {"reached": number, "met": one.met} for one, number in zip(measures, numbers, strict=True)]


def _with_shipped(rows: Sequence[T], shipped: Sequence[T]) -> list[T]:
    """All of both, equal ones once."""
    return list(dict.fromkeys([*rows, *shipped]))


def _rows(truth: Path, name: str) -> list[dict[str, str]]:
    return published.read(_table(truth, name), [])


# ---- GPU-hours -------------------------------------------------------------------------------------------------------


def hours(truth: Path) -> list[Measure]:
    """Size only, one run of the same code, measured in-step MFU: families left out of the fit."""
    runs = published.whole_runs(_rows(truth, "training_runs.csv"))
    known = _with_shipped(runs, published.whole_runs(_rows(TABLES, "training_runs.csv")))
    alone, sibling = fitting.left_out_hours(runs, known), fitting.sibling_hours(runs, known)
    band = math.log(fits()["gpu_hours"]["band90"])
    return [
        _error("GPU-hours, size only: median error", alone, "<= 23"),
        _within("GPU-hours, size only: within 1.5 x", alone, math.log(1.5), ""),
        _within("GPU-hours, size only: inside the 90 % band", alone, band, ">= 88"),
        _error("GPU-hours, one run of the same code: median error", sibling, "<= 11.5"),
        _error("GPU-hours, in-step MFU: median error", _in_step(runs), "<= 10"),
    ]


def _in_step(runs: Iterable[WholeRun]) -> Array:
    return np.array([run.mfu / (run.mfu_reported * GOODPUT) for run in runs if run.mfu_reported])


def _error(measure: str, ratios: Array, target: str) -> Measure:
    median = float(np.median(np.abs(ratios - 1))) if len(ratios) else math.nan
    return Measure(f"{measure}, %", round(100 * median, 2), target, len(ratios))


def _within(measure: str, ratios: Array, log_factor: float, target: str) -> Measure:
    share = float((np.abs(np.log(ratios)) <= log_factor).mean()) if len(ratios) else math.nan
    return Measure(f"{measure}, %", round(100 * share, 1), target, len(ratios))


# ---- throughput and FLOPs --------------------------------------------------------------------------------------------


def speed(truth: Path) -> list[Measure]:
    rows = throughput.benchmark(_table(truth, "mfu_mosaic_benchmark.csv"))
    counted = np.array([row.tokens_per_second * row.set_up.flops_per_token / row.set_up.peak_flops / row.mfu for row in rows])
    p95 = 100 * float(np.quantile(np.abs(counted - 1), 0.95)) if rows else math.nan
    ratios = fitting.left_out_throughput(rows, _with_shipped(rows, throughput.benchmark(throughput.TABLE)))
    return [
        _error("in-step throughput, model sizes left out: median error", ratios, "<= 2.6"),
        _p90("in-step throughput, model sizes left out: error, p90", ratios),
        Measure("FLOPs: error, p95, %", round(p95, 3), "<= 0.06", len(rows)),
    ]


def _p90(measure: str, ratios: Array) -> Measure:
    p90 = float(np.quantile(np.abs(ratios - 1), 0.9)) if len(ratios) else math.nan
    return Measure(f"{measure}, %", round(100 * p90, 1), "", len(ratios))


# ---- memory ----------------------------------------------------------------------------------------------------------


def peaks(truth: Path) -> list[Measure]:
    """Sections left out; a false "fits" is a GPU that holds the prediction with its margin and not the measured peak."""
    rows = _rows(truth, "memory_truth.csv")
    known = fitting.peaks(rows)
    ratios = fitting.left_out_peaks(known, _with_shipped(known, fitting.peaks(_rows(TABLES, "memory_truth.csv"))))
    false = 0
    for (_, _, measured), ratio in zip(known, ratios, strict=True):
        # a GPU just too small for the measured peak is the hardest question that one can ask
        false += memory.fits(ratio * measured / memory.GIB, math.nextafter(measured / memory.GIB, 0))
    false += sum(_fits_after_all(row) for row in rows if row.get("mem_gb", "").startswith("OOM"))
    return [
        _error("peak memory, sections left out: median error", ratios, "<= 4"),
        _p90("peak memory, sections left out: error, p90", ratios),
        Measure('peak memory: false "fits" with 1.10 x + 1 GiB, rows', int(false), "<= 0", len(rows)),
    ]


def _fits_after_all(row: Row) -> bool:
    case = memory_case(row)
    if isinstance(case, str) or case.gpu is None:
        return False
    gib = memory.peak(case.shape, case.recipe).gib
    return gib is not None and memory.fits(gib, case.gpu.gib, case.calibrated)


# ---- plausibility ----------------------------------------------------------------------------------------------------


def bad_runs(truth: Path) -> list[Measure]:
    """Known bad reports flagged, and false alarms among the other runs of the table."""
    bad = _rows(truth, "implausible_runs.csv")
    caught = [bool(implausible(published.run_of(row))) for row in bad] + [*bad_documents().values()]
    known = {row.get("id") for row in bad}
    others = [row for row in _rows(truth, "training_runs.csv") if row.get("id") not in known]
    alarms = sum(bool(implausible(published.run_of(row))) for row in others)
    return [
        Measure("implausible published reports flagged, %", round(100 * sum(caught) / len(caught), 1), ">= 100", len(caught)),
        Measure("implausible runs: false alarms, %", round(100 * alarms / max(1, len(others)), 2), "<= 2", len(others)),
    ]


def bad_documents() -> dict[str, bool]:
    """Published contradictions, and whether the checks see them."""
    runpod = [0.22, 0.34, 0.44, 0.69, 0.79, 0.89, 1.19, 1.39, 1.99, 2.69, 3.59, 5.98]
    return {
        "PixArt-alpha: 675 A100-days in the abstract, 753 in the README": plausible.disagree(675, 753),
        "PixArt-alpha: $26,000 and $28,000": plausible.disagree(26_000, 28_000),
        "Llama 3.3 card: 12.9 t of carbon for 7.0 M H100-hours": plausible.carbon_implausible(12.9, 7.0e6, 700),
        "Llama 3: 148 of 419 failures printed as 30.1 %": plausible.share_misprinted(148, 419, 0.301),
        "a price page whose on-demand column is 1.77 x its spot column": plausible.derived([1.77 * p for p in runpod], runpod),
    }


# ---- verdicts --------------------------------------------------------------------------------------------------------


def contested(truth: Path) -> list[Measure]:
    """The rule looks at no outcome; right is the predicted winner or a tie; papers count alike and are resampled."""
    rows = [row for row in _rows(truth, "ft_vs_scratch.csv") if row.get("comparison") in verdicts.CONTESTED]
    right: dict[str, list[bool]] = {}
    for row in rows:
        favours = verdicts.screen(row).favours
        if favours:
            right.setdefault(row.get("group", ""), []).append(row.get("winner") in (favours, "tie"))
    answered = sum(map(len, right.values()))
    shares = np.array([float(np.mean(each)) for each in right.values()] or [math.nan])
    low, high = _resampled(shares)
    name = "contested verdicts from metadata (screening only)"
    return [
        Measure(f"{name}: answered, %", round(100 * answered / max(1, len(rows)), 1), "", len(rows)),
        Measure(f"{name}: right, % [{low:.0f}-{high:.0f}]", round(100 * float(shares.mean()), 1), "", answered),
    ]


def _resampled(shares: Array) -> tuple[float, float]:
    """90 % interval of the mean, percent, papers drawn with replacement."""
    random = np.random.default_rng(0)
    means = random.choice(shares, (10_000, len(shares))).mean(axis=1)
    low, high = np.quantile(means, [0.05, 0.95])
    return float(100 * low), float(100 * high)


# ---- base models -----------------------------------------------------------------------------------------------------


def base_ranking() -> list[Measure]:
    """The screen of base models against piloting them all, from the benchmark's committed measurements; trains nothing."""
    try:
        benchmark = importlib.import_module("tests.benchmarks.bases")
    except ModuleNotFoundError:
        print("base models: tests/benchmarks is not here; their figures are left out", file=sys.stderr)
        return []
    return [Measure(**row) for row in benchmark.validate()]


# ---- curves and decisions ----------------------------------------------------------------------------------------------


def curves(truth: Path) -> list[Measure]:
    """What the benchmark of learning curves measures."""
    benchmark = _benchmark("curves")
    return [Measure(**row) for row in benchmark.validate(truth)] if benchmark else []


def decisions() -> list[Measure]:
    """What the benchmark of constructed pilot tables measures."""
    benchmark = _benchmark("decisions")
    return [Measure(**row) for row in benchmark.validate()] if benchmark else []


def _benchmark(name: str) -> Any:
    """The benchmark, where its code and data are at hand (a checkout with its tests)."""
    try:
        return importlib.import_module(f"tests.benchmarks.{name}")
    except ModuleNotFoundError:
        print(f"{name}: tests/benchmarks is not here; their figures are left out", file=sys.stderr)
        return None


def _show(measures: Sequence[Measure]) -> None:
    wide = max(len(one.measure) for one in measures)
    print(f"{'measure':{wide}}  reached  target")
    for one in measures:
        verdict = {True: "reached", False: "NOT REACHED", None: ""}[one.met]
        print(f"{one.measure:{wide}}  {one.reached:7g}  {one.target:8}  {verdict:11}  n = {one.n}")


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--refit"]
    outputs = [argument for argument in given if argument.endswith(".json")] or ["validation.json"]
    truths = [argument for argument in given if not argument.endswith(".json")] or [str(TABLES)]
    try:
        if len(outputs) > 1 or len(truths) > 1 or not Path(truths[0]).is_dir():
            raise UserError(f"tasks.validate: {' '.join(given)}: give one folder of tables and one .json file to write")
        if "--refit" in sys.argv:
            fitting.refit(Path(truths[0]))
        main(Path(truths[0]), Path(outputs[0]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
