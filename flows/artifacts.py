"""The decision record, its curves and the way to MLflow, as Prefect artifacts of the run."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows import servers
from flows.terminal import artifact_key
from tasks import formats, records
from tasks.params import Params
from tasks.records import Cell, Decision, Option, Pilot, Span
from tasks.report import words

MLFLOW_PORT = 5000
"""Where `make ui` starts MLflow if the port is free."""


def decision(params: Params, record: Decision) -> None:
    """The record as a page and as a table of curves; the keys are stable, so that Prefect keeps their versions."""
    name = params.use_case.name
    create_markdown_artifact(page(name, record), artifact_key(name, "decision"), "The decision record")
    cells = [
        cell
        for folder in ("screen", "pilot")
        for branch in params.pilots.branches
        for cell in records.read(Pilot, Path("results", folder, f"{branch}.json")).cells
    ]
    create_markdown_artifact(curves(record, cells), artifact_key(name, "curves"), "The learning curves measured")


def mlflow(params: Params, experiment: str, run: str) -> None:
    """A link to the use case's run in the MLflow UI; it works while `make ui` (or the team's server) is up."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    root = uri if uri.startswith("http") else servers.noted().get("mlflow", {}).get("url", f"http://127.0.0.1:{MLFLOW_PORT}")
    link = f"{root.rstrip('/')}/#/experiments/{experiment}/runs/{run}"
    create_link_artifact(link, "The runs in MLflow", artifact_key(params.use_case.name, "mlflow"), "The measurements in MLflow")


def page(name: str, record: Decision) -> str:
    """The decision record as markdown."""
    verdict, metric = record.verdict, record.metric
    target = "" if metric.target is None else f", target {metric.target:g}"
    lines = [
        f"# {name}: {what(verdict.branch, verdict.base_model) or verdict.status.replace('_', ' ')}",
        verdict.reason,
        "",
        f"{record.n_rows:,} training rows; {metric.name}{target}; valid until {record.expires_on}.",
        "",
        f"| branch | | {metric.name} (90 %) | USD (90 %) | hours | meets target | excluded by |",
        "|---|---|---|---|---|---|---|",
        *(_row(option) for option in record.branches),
        "",
        "**What would change it**",
        *_flips(record),
        "",
        f"**Rule of thumb**: {record.rule_of_thumb.says}, which {'agrees' if record.rule_of_thumb.agrees else 'disagrees'}: "
        f"{record.rule_of_thumb.reason}",
    ]
    return "\n".join(lines)


def _flips(record: Decision) -> list[str]:
    """A line for each setting that changes the verdict, with its value now; then those that change nothing."""
    lines = [
        f"- **{words.constraint(flip.constraint)}**, now {words.amount(flip.constraint, flip.now)}: "
        + words.mind(record.model_copy(update={"flips": [flip]}))
        for flip in record.flips
        if flip.at is not None
    ]
    idle = dict.fromkeys(words.constraint(flip.constraint) for flip in record.flips if flip.at is None)
    return lines + ([f"- No value that was tried, on one side at least: {', '.join(idle)}"] if idle else [])


def _row(option: Option) -> str:
    seen = option.predicted
    value = "?" if seen.value is None else f"{seen.value:.3f} ({_number(seen.low90)} to {_number(seen.high90)})"
    excluded = "; ".join(f"{ex.constraint} ({ex.value} against {ex.limit})" for ex in option.excluded_by)
    hours = span(option.hours, formats.short)
    chance = "" if option.p_target is None else f"{option.p_target:.0%}"
    cells = (
        what(option.branch, option.base_model),
        option.status,
        value,
        span(option.cost_usd, formats.short),
        hours,
        chance,
        excluded,
    )
    return f"| {' | '.join(cells)} |"


def curves(record: Decision, cells: list[Cell]) -> str:
    """Mean of the metric over the seeds, for each rung measured, and the prediction for all rows."""
    values: dict[tuple[str, str | None], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in {cell.key: cell for cell in cells}.values():
        values[cell.branch, cell.base_model][cell.n].append(getattr(cell.quality, record.metric.name))
    rungs = sorted({cell.n for cell in cells})
    lines = [
        f"{record.metric.name}, mean of the seeds, by number of training rows",
        "",
        f"| branch | {' | '.join(f'{rung:,}' for rung in rungs)} | {record.n_rows:,} (predicted) |",
        "|---" * (len(rungs) + 2) + "|",
    ]
    for option in record.branches:
        seen = values.get((option.branch, option.base_model), {})
        shown = [f"{mean(seen[rung]):.3f}" if rung in seen else "" for rung in rungs]
        lines.append(f"| {what(option.branch, option.base_model)} | {' | '.join(shown)} | {_number(option.predicted.value)} |")
    return "\n".join(lines)


def what(branch: str | None, base_model: str | None) -> str:
    """`lora on MiniLM-L6`, `scratch`; empty without a branch."""
    return f"{branch} on {base_model}" if branch and base_model else branch or ""


def span(value: Span | None, write: Callable[[float], str]) -> str:
    """`0.02 (0.01 to 0.03)`; the one amount where all three are the same to the digits written."""
    if value is None:
        return "?"
    middle, low, high = write(value.value), write(value.low), write(value.high)
    return middle if low == middle == high else f"{middle} ({low} to {high})"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"
