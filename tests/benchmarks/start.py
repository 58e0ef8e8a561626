"""How long a training process takes to start: what our branches import, against what trainers usually do.

    python -m tests.benchmarks.start

CPU-seconds of a fresh interpreter that imports and ends; the median of five, interleaved, byte code warm.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from statistics import median
from typing import Any

from tests.benchmarks.contenders import versions

IMPORTS = {
    "from scratch": "import tasks.trainers.job, tasks.trainers.causal.scratch",
    "with a transformers model": "import tasks.trainers.job, tasks.trainers.causal.full; "
    "from transformers import LlamaForCausalLM",
    "theirs": "from transformers import Trainer, AutoModelForCausalLM; import peft, mlflow, prefect",
}
ROUNDS = 5


def measure() -> list[dict[str, Any]]:
    seconds: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(ROUNDS + 1):
        for name, code in IMPORTS.items():
            seconds[name].append(_cpu_seconds(code))
    known = {name: median(taken[1:]) for name, taken in seconds.items()}
    return [_row(name, known[name], known["theirs"]) for name in IMPORTS if name != "theirs"]


def _row(name: str, ours: float, theirs: float) -> dict[str, Any]:
    return {
        "area": "start",
        "measure": f"start of a training process, {name}, CPU-seconds",
        "ours": round(ours, 2),
        "theirs": round(theirs, 2),
        "ratio": round(theirs / ours, 2),
        "against": "imports of Trainer, AutoModelForCausalLM, PEFT, MLflow and Prefect",
        "versions": versions("torch", "transformers", "peft", "mlflow", "prefect"),
    }


def _cpu_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
