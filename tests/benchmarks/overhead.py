"""What the loop around a training step costs: our engine and transformers' Trainer, both with metrics at every step.

    python -m tests.benchmarks.overhead

A LLaMA so small (2 layers of 32) that the loop shows, in float32. Overhead is CPU-milliseconds of the median step beyond a
bare loop of torch on the same model and batches: forward, backward, clipping, fused AdamW. Same weights, rows and losses, and
the same kernels of matrix products: those that our engine asks for take 1 ms longer on matrices of this size.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import contenders
from tests.benchmarks.contenders import Run, Steps

CONTENDERS = ("ours", "trainer", "bare")
ROWS_A_STEP, STEPS, CONTEXT = 4, 300, 16
SHAPE = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
RECIPE = contenders.recipe(ROWS_A_STEP, CONTEXT)


def measure() -> list[dict[str, Any]]:
    runs = contenders.interleaved("tests.benchmarks.overhead", CONTENDERS)
    ours, theirs, bare = (1000 * median(run["cpu_seconds"] for run in runs[name]) for name in CONTENDERS)
    losses = [runs[name][0]["loss"] for name in CONTENDERS]
    return [
        {
            "area": "training",
            "measure": "overhead of the loop with metrics, CPU-ms a step beyond a bare loop of torch",
            "ours": round(ours - bare, 2),
            "theirs": round(theirs - bare, 2),
            "ratio": round((theirs - bare) / max(ours - bare, 0.01), 2),  # the clock tells no less apart
            "against": f"{runs['trainer'][0]['flags']}; a bare step takes {bare:.2f} ms",
            "last_loss": losses,
            "losses_agree": max(losses) - min(losses) <= 1e-3,
            "versions": contenders.versions("torch", "transformers"),
        }
    ]


def contender(name: str) -> Run:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tasks.trainers import Job
    from tasks.trainers.causal import bases
    from tasks.trainers.causal.packing import Packed
    from tasks.trainers.causal.tokens import Tokens
    from tasks.trainers.fit import fit

    torch.set_float32_matmul_precision("medium")
    steps, draw = Steps(), torch.Generator().manual_seed(0)
    ids = torch.randint(0, 20, (STEPS * ROWS_A_STEP * CONTEXT,), generator=draw).tolist()
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    with tempfile.TemporaryDirectory() as place:
        told = Path(place) / "metrics.jsonl"
        job = Job("full", RECIPE, None, [], [], 0, Path(place), on_progress=steps.tick, metrics=told)
        data = Packed(Tokens.of([ids]), job)
        data.steps = STEPS
        if name == "ours":
            fit(model, data, bases.next_token, job, autocast=False)
            loss = json.loads(told.read_text().splitlines()[-1])["loss"]
            return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": "ours"}
        if name == "bare":
            loss = _bare(model, data, steps)
            return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": "a bare loop"}
        rows = contenders.rows_of([data(step)[0] for step in range(STEPS)])
        loss = contenders.trainer(model, rows, ROWS_A_STEP, RECIPE, steps, optim="adamw_torch_fused")
    return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": "transformers Trainer, fused AdamW"}


def _bare(model: Any, data: Any, steps: Steps) -> float:
    import torch

    from tasks.trainers.causal import bases
    from tasks.trainers.fit import adamw

    device = torch.device("cpu")
    optimizer = adamw(list(model.parameters()), RECIPE, device)
    batches, loss = [data(step)[0] for step in range(STEPS)], torch.zeros(())
    model.train()
    for batch in batches:
        loss = bases.next_token(model, batch) / batch.weight
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), RECIPE["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps.tick()
    return float(loss.detach())


if __name__ == "__main__":
    contenders.main(measure, contender, __doc__)
