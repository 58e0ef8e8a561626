"""How contenders are timed: each a fresh process on one core, interleaved, CPU-seconds of the median step after warm-up."""

from __future__ import annotations

import importlib.metadata
import importlib.util
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
        "versions": versions("torch", "transformers", "accelerate", "peft", *(["trl"] if "TRL" in theirs[0]["flags"] else [])),
    }


def versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def recipe(rows_a_step: int, context: int, **changes: Any) -> dict[str, Any]:
    """What the benchmarks of language models train with: one learning rate throughout, rows of `context` tokens."""
    same = {"learning_rate": 1e-3, "epochs": 1, "betas": [0.9, 0.95], "weight_decay": 0.1, "clip": 1.0, "optimizer": "adamw"}
    flat = {"schedule": "wsd", "warmup_share": 0.0, "decay_share": 0.0}
    sizes = dict.fromkeys(("tokens_a_step", "tokens_a_pass"), rows_a_step * context)
    return same | flat | sizes | {"max_tokens": context} | changes


def rows_of(batches: Sequence[Any]) -> list[dict[str, Any]]:
    """Our batches as rows for transformers' Trainer."""
    pairs = [pair for batch in batches for pair in zip(batch.inputs["input_ids"], batch.targets, strict=True)]
    return [{"input_ids": given, "labels": given, "shift_labels": wanted} for given, wanted in pairs]


def trainer(model: Any, rows: list[dict[str, Any]], a_step: int, recipe: dict[str, Any], steps: Steps, **flags: Any) -> float:
    """Train with transformers' Trainer on `rows` in their order, `a_step` of them a step; the loss of the last step."""
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(**_arguments(recipe, a_step) | flags)
    return _loss(_in_order(Trainer, rows)(model, arguments, train_dataset=rows, callbacks=[_clock(steps)]))


def trl(model: Any, rows: list[dict[str, Any]], a_step: int, recipe: dict[str, Any], steps: Steps, **flags: Any) -> float:
    """The same with TRL's SFTTrainer. It has no `shift_labels`: a row is one token longer there, which is only foretold."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, default_data_collator
    from trl import SFTConfig, SFTTrainer

    whole = [torch.cat([row["input_ids"], row["shift_labels"][-1:]]).tolist() for row in rows]
    seen = [[1] * len(row) for row in whole]
    data = Dataset.from_dict({"input_ids": whole, "labels": whole, "attention_mask": seen})
    unused = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a")), eos_token="a", pad_token="a")
    arguments = SFTConfig(**_arguments(recipe, a_step) | {"dataset_kwargs": {"skip_prepare_dataset": True}} | flags)
    made = _in_order(SFTTrainer, data)(
        model,
        arguments,
        data_collator=default_data_collator,
        train_dataset=data,
        processing_class=unused,
        callbacks=[_clock(steps)],
    )
    return _loss(made)


def _arguments(recipe: dict[str, Any], a_step: int) -> dict[str, Any]:
    import tempfile

    return {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": a_step,
        "num_train_epochs": 1,
        "learning_rate": recipe["learning_rate"],
        "weight_decay": recipe["weight_decay"],
        "adam_beta1": recipe["betas"][0],
        "adam_beta2": recipe["betas"][1],
        "lr_scheduler_type": "constant",
        "max_grad_norm": recipe["clip"],
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }


def _in_order(kind: Any, rows: Any) -> Any:
    from torch.utils.data import SequentialSampler

    class InOrder(kind):  # type: ignore[misc]
        def _get_train_sampler(self, *_: object) -> Any:
            return SequentialSampler(rows)

    return InOrder


def _clock(steps: Steps) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: object, **__: object) -> None:
            steps.tick()

    return Clock()


def _loss(made: Any) -> float:
    made.train()
    return float([line["loss"] for line in made.state.log_history if "loss" in line][-1])


def installed(*packages: str) -> bool:
    found = [name for name in packages if not importlib.util.find_spec(name)]
    if found:
        print(f"left out, not installed: {', '.join(found)}", file=sys.stderr)
    return not found


def main(measure: Callable[[], list[dict[str, Any]]], contender: Callable[[str], Run], usage: str | None) -> None:
    match sys.argv[1:]:
        case []:
            print(json.dumps(measure(), indent=1))
        case ["contender", name]:
            print(json.dumps(contender(name)))
        case other:
            sys.exit(f"{' '.join(other)}: {usage}")
