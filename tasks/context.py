"""What the data does not say: the machine found, the team and the objectives declared, and where these contradict.

It is for people, and for the report. No measuring stage depends on it but for declared values in it, empty ones included:
what a point is worth (`tasks.stopping`), and, of more base models than are screened, what licences allow (`tasks.look`).
DVC would want a param of its own to stand in everybody's params.yaml. It holds no clock and no host name.
What is found is this machine, now; the stage does not run again because a disk filled up.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks import judge, params, records, stage
from tasks.params import Params
from tasks.records import Context

GPU_USD_LEAST = 0.2
"""USD an hour: the cheapest rented GPU that public price lists of March 2026 name (RTX 3090, RunPod) costs 0.22."""
CPU_USD_MOST = 1.0
"""USD an hour: above this, a machine of a few cores without a GPU is priced like a GPU."""
PILOT_HOURS = 0.2
"""About what the pilots themselves take on two cores, with the settings that params.yaml comes with."""


def main(record: Path) -> None:
    """`python -m tasks.context CONTEXT.json`, with the settings in params.yaml."""
    settings = params.load()
    judge.check(settings)
    found = infrastructure(Path.cwd())
    records.write(context(settings, found), record)


def context(settings: Params, found: dict[str, Any]) -> Context:
    """The record, for the machine in `found` (see `infrastructure`)."""
    declared = {
        name: getattr(settings, name).model_dump(mode="json") for name in ("team", "objective", "constraints", "hardware")
    }
    return Context(infrastructure=found, remarks=remarks(settings, found), **declared)


def infrastructure(folder: Path) -> dict[str, Any]:
    """CPU model, cores that this process may use, memory and free disk in 1e9 bytes (null: not known), GPUs."""
    gpus, how = _gpus()
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "disk_free_gb": round(shutil.disk_usage(folder).free / 1e9),
        "gpus": gpus,
        "gpus_found_by": how,
        "system": f"{platform.system()} {platform.machine()}",
    }


def remarks(settings: Params, found: dict[str, Any]) -> list[str]:
    """Where what is declared contradicts itself or the machine, or leaves the decision blind. Nothing is excluded here."""
    return [*_blind(settings), *_about_hardware(settings, found), *_about_limits(settings), *_about_team(settings)]


def _blind(settings: Params) -> Iterable[str]:
    objective = settings.objective
    if objective.target is None and objective.value_per_point_usd is None:
        yield (
            "objective.target and objective.value_per_point_usd are both empty: the verdict can only rank quality against "
            "cost, it cannot say what is good enough"
        )
    if objective.target == 1:
        yield "objective.target = 1: no model is always right, so nothing will meet it"
    if objective.value_per_point_usd is None and objective.month_of_delay_usd is not None:
        yield "objective.month_of_delay_usd is given, value_per_point_usd is not: waiting has a price, quality has none"
    if settings.constraints.budget_usd is None and settings.constraints.deadline_hours is None:
        yield "constraints.budget_usd and deadline_hours are both empty: nothing limits what a training may take"


def _about_hardware(settings: Params, found: dict[str, Any]) -> Iterable[str]:
    hardware, constraints = settings.hardware, settings.constraints
    low, high = hardware.usd_per_gpu_hour or (GPU_USD_LEAST, CPU_USD_MOST)
    price = f"hardware.usd_per_gpu_hour = [{low:g}, {high:g}]"
    if hardware.gpu and high < GPU_USD_LEAST:
        yield f"{price} is the price of a CPU, but hardware.gpu = {hardware.gpu}: give what an hour of that GPU costs"
    if not hardware.gpu and low > CPU_USD_MOST:
        yield f"{price} is the price of a GPU, but hardware.gpu is empty: name the GPU, or give the price of this machine"
    if not hardware.gpu and hardware.count > 1:
        yield f"hardware.count = {hardware.count} counts GPUs, but hardware.gpu is empty: it changes nothing"
    if not hardware.gpu and found["gpus"]:
        yield f"this machine has {_named(found['gpus'])}, but hardware.gpu is empty: the decision is made for its CPU"
    if hardware.gpu and not _has(found["gpus"], hardware.gpu) and not constraints.data_may_leave:
        yield (
            f"hardware.gpu = {hardware.gpu} is not in this machine, and constraints.data_may_leave = false: "
            "right only if that GPU stands in a cluster of your own"
        )


def _about_limits(settings: Params) -> Iterable[str]:
    constraints, hardware = settings.constraints, settings.hardware
    if constraints.budget_usd == 0:
        yield "constraints.budget_usd = 0: only what costs nothing fits, and no hour of training does"
    if constraints.deadline_hours is not None and constraints.deadline_hours < PILOT_HOURS:
        yield (
            f"constraints.deadline_hours = {constraints.deadline_hours:g} is shorter than the pilots themselves take, "
            f"about {PILOT_HOURS * 60:.0f} minutes on two cores"
        )
    if constraints.budget_usd and constraints.deadline_hours and (hours := _affordable(settings)) < constraints.deadline_hours:
        yield (
            f"constraints.budget_usd = {constraints.budget_usd:g} may pay for only {hours:.3g} hours of {hardware.count} x "
            f"{hardware.gpu or 'this machine'}, so the deadline of {constraints.deadline_hours:g} hours cannot be used up"
        )
    if not constraints.licences and constraints.third_party_weights:
        yield "constraints.licences is empty: no base model is allowed, which third_party_weights = true does not change"


def _about_team(settings: Params) -> Iterable[str]:
    team, constraints = settings.team, settings.constraints
    if team.engineers == 0:
        yield "team.engineers = 0: nobody would keep the model; a model that nobody keeps gets worse unnoticed"
    if team.engineers and team.usd_per_hour == 0:
        yield "team.usd_per_hour = 0: people's time counts as free, so effort is left out of every comparison"
    if not constraints.third_party_weights and not team.has_trained_from_scratch:
        yield (
            "constraints.third_party_weights = false leaves only models trained from scratch and simple baselines, "
            "and team.has_trained_from_scratch = false"
        )


def _affordable(settings: Params) -> float:
    """Infinite without a declared price."""
    price = (settings.hardware.usd_per_gpu_hour or (0.0, 0.0))[1] * settings.hardware.count
    return (settings.constraints.budget_usd or 0) / price if price else float("inf")


def _has(gpus: list[dict[str, Any]], name: str) -> bool:
    wanted = name.casefold().split("-")[0]
    return any(wanted in gpu["name"].casefold() for gpu in gpus)


def _named(gpus: list[dict[str, Any]]) -> str:
    return ", ".join(gpu["name"] for gpu in gpus)


def _cpu() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    """What this process may use: of the machine, or of its control group where that has less."""
    found = [int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")]
    found += [int(line) for line in _lines("/sys/fs/cgroup/memory.max") if line.strip().isdigit()]
    return round(min(found) / 1e9, 1) if found else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _gpus() -> tuple[list[dict[str, Any]], str]:
    """Name and memory of each GPU, and how they were looked for. GPUs of other makers than NVIDIA are not seen."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except FileNotFoundError:
        return [], "no nvidia-smi here"
    except (OSError, subprocess.SubprocessError):
        return [], "nvidia-smi is here, but fails"
    named = [line.rpartition(",") for line in done.stdout.splitlines() if line.strip()]
    return [{"name": name.strip(), "memory_gb": _gigabytes(mib)} for name, _, mib in named], "nvidia-smi"


def _gigabytes(mib: str) -> float | None:
    return round(float(mib) * 2**20 / 1e9, 1) if mib.strip().isdigit() else None


if __name__ == "__main__":
    stage.run(main)
