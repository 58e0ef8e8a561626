"""How long the host of a GPU is busy with one training pass: the constants of `tasks.target`. `python -m tests.benchmarks.host`

Trains BERTs so narrow that nothing is left to compute, on one core; prints CPU-milliseconds a step by layers and the line
through them. What it leaves out: launching on a GPU costs a little more than calling a CPU kernel, and another CPU is
faster or slower. Published figures to compare with are few, so `target.OUTSIDE` is wide.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks import machine
from tasks.recipes import recipe
from tasks.trainers import Job
from tasks.trainers.fit import Batch, fit

LAYERS, WARM_UP, STEPS = (1, 2, 4, 6, 12), 20, 100


class Tiny:
    """16 rows of 8 random tokens a step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, step: int) -> list[Batch]:
        torch.manual_seed(step)
        return [Batch({"input_ids": torch.randint(0, 100, (16, 8))}, torch.randint(0, 2, (16,)), 16, 128)]


def loss(model: Any, batch: Batch) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(**batch.inputs).logits.float(), batch.targets, reduction="sum")


def milliseconds(layers: int) -> float:
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": layers}
    model = BertForSequenceClassification(BertConfig(vocab_size=100, max_position_embeddings=16, **sizes))
    job = Job("full", recipe("full", "text-classification", 400), None, ["a", "b"], [], 0, Path("unused"))
    fit(model, Tiny(WARM_UP), loss, job)
    start = time.process_time()
    fit(model, Tiny(STEPS), loss, job)
    return 1000 * (time.process_time() - start) / STEPS


def main() -> None:
    torch.set_num_threads(1)
    took = [min(milliseconds(layers) for _ in range(2)) for layers in LAYERS]
    for layers, each in zip(LAYERS, took, strict=True):
        print(f"{layers:2} layers: {each:5.1f} ms")
    slope, start = np.polyfit(LAYERS, took, 1)
    print(f"{start:.1f} ms a pass and {slope:.1f} ms a layer, torch {torch.__version__}, {machine.name()}")


if __name__ == "__main__":
    main()
