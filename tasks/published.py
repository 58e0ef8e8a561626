"""The rows of published training runs as calls of the estimators.

A row is a dictionary of texts, as `csv.DictReader` gives it. Each reader returns what an estimator needs, or a text: the
reason why the row cannot be estimated. No reader raises, whatever the cells hold.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.cost import Gpu, find_gpu
from tasks.plausible import Run, implausible, whole_run_mfu
from tasks.stage import UserError

Row = Mapping[str, str]


def read(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV; cells are stripped, missing ones empty. UserError if the file or one of `columns` is missing."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            rows = [{k: (v or "").strip() for k, v in row.items() if k} for row in table]
            names = table.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}; give a CSV in UTF-8") from None
    if missing := [name for name in columns if name not in names]:
        raise UserError(f"{path}: column {missing[0]} is missing; it has {', '.join(names) or 'no columns'}")
    return rows


def number(text: str | None) -> float | None:
    """A cell as a finite number; None for anything else."""
    try:
        value = float((text or "").replace(",", "").lstrip("~"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# ---- training_runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CostCase:
    params: float
    """Active ones."""
    tokens: float
    gpu: Gpu
    flops: float
    """As 6ND counts."""
    flag: str
    """What to be told beside the estimate; empty: nothing."""


UNLIKE_TRAINING = {
    "distill": "distilled: the teacher's FLOPs are unknown",
    "prun": "pruned from a larger model: its FLOPs are unknown",
    "benchmark": "single benchmark steps, not a run",
    "rl": "reinforcement learning: sampling takes more time than training",
    "dpo": "preference tuning: the reference model's FLOPs are not in 6ND",
}


def cost_case(row: Row) -> CostCase | str:
    kind = row.get("kind", "").lower()
    if reason := next((why for word, why in UNLIKE_TRAINING.items() if re.search(rf"\b{word}", kind)), None):
        return reason
    gpu = find_gpu(row.get("gpu", ""))
    if gpu is None:
        return f"gpu is {row.get('gpu', '')!r}: not one GPU of known peak"
    params = _billions(row, "active_b", 1e4) if row.get("active_b") or "moe" in kind else _billions(row, "params_b", 1e4)
    tokens = _billions(row, "tokens_b", 1e6)
    if isinstance(params, str) or isinstance(tokens, str):
        return params if isinstance(params, str) else str(tokens)
    share = 4 / 6 if "lora" in kind else 1.0
    return CostCase(params, tokens, gpu, 6 * params * tokens * share, _cost_flag(row, params, gpu))


def _billions(row: Row, column: str, largest: float) -> float | str:
    text = row.get(column, "")
    value = number(text)
    if value is None:
        return f"{column} is {text!r}, not a number of billions" if text else f"{column} is empty"
    if not 0 < value <= largest:
        return f"{column} is {text}: billions lie between 0 and {largest:,.0f}"
    return value * 1e9


def _cost_flag(row: Row, params: float, gpu: Gpu) -> str:
    remarks = []
    if gpu.name not in {"A100", "H100", "H800", "TPUv3", "TPUv4"}:
        remarks.append(f"no published run on {gpu.name}: taken to be as busy as {'H100' if gpu.new else 'A100'}")
    if params < 0.5e9 and (number(row.get("n_gpus")) or 16) <= 8:
        remarks.append("a small model on one node: hand-optimised code can be twice as fast")
    if "vision" in row.get("kind", "").lower():
        remarks.append("vision: tokens must be patches")
    return "; ".join(remarks)


def run_of(row: Row) -> Run:
    """A row with its outcomes, for the rules of plausibility. A number that is missing or no number is unknown."""
    known = {name: number(row.get(name)) for name in ("params_b", "active_b", "tokens_b")}
    params, tokens = known["active_b"] or known["params_b"], known["tokens_b"]
    return Run(
        gpu=row.get("gpu", ""),
        params=params * 1e9 if params else None,
        tokens=tokens * 1e9 if tokens else None,
        n_gpus=number(row.get("n_gpus")),
        wall_days=number(row.get("wall_days")),
        gpu_hours=number(row.get("gpu_hours")),
        mfu_reported=number(row.get("mfu_reported")),
        cost_usd=number(row.get("cost_usd_reported")),
        energy_mwh=number(row.get("energy_mwh")),
        lora="lora" in row.get("kind", "").lower(),
    )


@dataclass(frozen=True)
class WholeRun:
    """A published run that whole-run efficiency can be learnt from."""

    id: str
    case: CostCase
    hours: float
    mfu: float
    mfu_reported: float | None

    @property
    def family(self) -> str:
        """The letters that the id starts with: all Llamas are one family, all SmolLMs another."""
        return re.match("[a-z]*", self.id)[0]  # type: ignore[index]

    @property
    def code(self) -> str:
        """The family and its generation, which share one code: llama2, pythia, smollm."""
        return re.match(r"[a-z]*\d?", self.id)[0] if self.family == "llama" else self.family  # type: ignore[index]


def whole_runs(rows: Iterable[Row]) -> list[WholeRun]:
    """Plausible runs that somebody read in the source and whose size, tokens, hours and GPU are known; repeats dropped."""
    seen: set[tuple[float, float, float]] = set()
    kept = []
    for row in rows:
        case, run = cost_case(row), run_of(row)
        if isinstance(case, str) or not run.gpu_hours or row.get("verified", "").startswith("M") or implausible(run):
            continue
        key = case.params, case.tokens, run.gpu_hours
        if key not in seen:
            seen.add(key)
            mfu = whole_run_mfu(run, case.gpu) or math.nan
            kept.append(WholeRun(row.get("id", "").lower(), case, run.gpu_hours, mfu, run.mfu_reported))
    return kept
