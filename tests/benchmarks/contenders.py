"""How contenders are timed: each a fresh process on one core, interleaved, CPU-seconds of the median step after warm-up."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

ROUNDS = 3
WARM_UP = 3  # steps that are not timed: allocation, and compilation where a contender compiles
Run = dict[str, Any]


class Steps:
    """Collects the process's CPU-seconds after each step."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def tick(self, *_: object) -> None:
        self.at.append(time.process_time())

    def seconds(self) -> float:
        """Of the median step."""
        after = self.at[WARM_UP - 1 :]
        return median(b - a for a, b in itertools.pairwise(after))


def interleaved(module: str, names: Sequence[str], rounds: int = ROUNDS) -> dict[str, list[Run]]:
    """What each contender printed in each round: A B C A B C ..."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            runs[name].append(_fresh_process(module, name))
    return runs


def _fresh_process(module: str, name: str) -> Run:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", module, "contender", name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    run: Run = json.loads(done.stdout.splitlines()[-1])
    return run


def row(measure: str, ours: Sequence[Run], theirs: Sequence[Run], close: float) -> dict[str, Any]:
    """One row of benchmarks.json, in CPU-seconds a step; `close` is how far the last losses may be apart."""
    mine, other = (median(run["cpu_seconds"] for run in runs) for runs in (ours, theirs))
    losses = [ours[0]["loss"], theirs[0]["loss"]]
    return {
        "area": "training",
        "measure": f"{measure}, CPU-seconds a step on one core",
        "ours": round(mine, 4),
        "theirs": round(other, 4),
        "ratio": round(other / mine, 2),
        "against": theirs[0]["flags"],
        "last_loss": losses,
        "losses_agree": abs(losses[0] - losses[1]) <= close,
        "versions": versions("torch", "transformers", "accelerate", "peft"),
    }


def versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def trainer(model: Any, rows: list[dict[str, Any]], a_step: int, recipe: dict[str, Any], steps: Steps, **flags: Any) -> float:
    """Train with transformers' Trainer on `rows` in their order, `a_step` of them a step; the loss of the last step."""
    import tempfile

    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class InOrder(Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: object) -> SequentialSampler:
            return SequentialSampler(rows)

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: object, **__: object) -> None:
            steps.tick()

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=a_step,
        num_train_epochs=1,
        learning_rate=recipe["learning_rate"],
        weight_decay=recipe["weight_decay"],
        adam_beta1=recipe["betas"][0],
        adam_beta2=recipe["betas"][1],
        lr_scheduler_type="constant",
        max_grad_norm=recipe["clip"],
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        **flags,
    )
    made = InOrder(model, arguments, train_dataset=rows, callbacks=[Clock()])
    made.train()
    return float([line["loss"] for line in made.state.log_history if "loss" in line][-1])


def main(measure: Callable[[], list[dict[str, Any]]], contender: Callable[[str], Run], usage: str | None) -> None:
    match sys.argv[1:]:
        case []:
            print(json.dumps(measure(), indent=1))
        case ["contender", name]:
            print(json.dumps(contender(name)))
        case other:
            sys.exit(f"{' '.join(other)}: {usage}")
