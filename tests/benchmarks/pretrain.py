"""Pretraining of a LLaMA of 10 million weights: our engine against transformers' Trainer and TRL's SFTTrainer, same tokens.

    python -m tests.benchmarks.pretrain          TRL's rows need PYTHONPATH=.venv/references (`make bench`)

Same first weights, rows, optimizer and learning rate; bfloat16 losses agree to 0.02. The Trainer's best flags are those that
were found to help: bf16 (where the CPU is faster with it), torch.compile, fused AdamW. Compilation falls into the warm-up,
for both. CPU utilisation is model FLOPs over what a matrix product of 2048 x 2048 reaches in the same process and precision.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import contenders
from tests.benchmarks.contenders import Run, Steps

CONTENDERS = ("ours", "ours-compiled", "trainer-defaults", "trainer-best-flags")
TRL = ("trl-defaults",)
ROWS_A_STEP, STEPS, VOCABULARY, CONTEXT = 8, 11, 8192, 256
RECIPE = contenders.recipe(ROWS_A_STEP, CONTEXT)


def measure() -> list[dict[str, Any]]:
    beside = TRL if contenders.installed("trl", "datasets") else ()
    runs = contenders.interleaved("tests.benchmarks.pretrain", (*CONTENDERS, *beside))
    what = f"pretraining, 10M LLaMA, {ROWS_A_STEP} x {CONTEXT} tokens a step"
    compared = [("ours", "trainer-defaults"), ("ours-compiled", "trainer-best-flags"), ("ours", "trainer-best-flags")]
    compared += [("ours", name) for name in beside]
    rows = [contenders.row(f"{what}, {runs[a][0]['flags']}", runs[a], runs[b], 0.02) for a, b in compared]
    return rows + [_utilisation(runs[name]) for name in ("ours", "ours-compiled")]


def _utilisation(runs: list[Run]) -> dict[str, Any]:
    reached, peak = (median(run[name] for run in runs) / 1e9 for name in ("flops", "peak_flops"))
    return {
        "area": "training",
        "measure": f"pretraining, 10M LLaMA, GFLOP/s of one core, {runs[0]['flags']}",
        "ours": round(reached, 1),
        "theirs": round(peak, 1),
        "ratio": round(reached / peak, 3),
        "against": "a matrix product of 2048 x 2048 in the same precision",
        "versions": contenders.versions("torch"),
    }


def contender(name: str) -> Run:
    import numpy as np
    import torch

    from tasks.trainers import Job, fit
    from tasks.trainers.causal import llama, scratch
    from tasks.trainers.causal.packing import Packed
    from tasks.trainers.causal.tokens import Tokens

    draw = np.random.default_rng(0)
    table = draw.integers(1, VOCABULARY, (VOCABULARY, 4))  # four likely followers of each token: something to learn
    ids = [0]
    for choice in draw.integers(0, 4, STEPS * ROWS_A_STEP * CONTEXT):
        ids.append(int(table[ids[-1], choice]))
    steps = Steps()
    with tempfile.TemporaryDirectory() as place:
        job = Job(
            "scratch", RECIPE, None, [], [], 0, Path(place), on_progress=steps.tick, metrics=Path(place) / "metrics.jsonl"
        )
        data = Packed(Tokens.of([ids]), job)
        data.steps = STEPS
        model = scratch.model_for(job, llama.Shape(VOCABULARY, 6, 320, CONTEXT))
        if name.startswith("ours"):
            return _ours(model, data, job, steps, compiled=name == "ours-compiled")
        llama.save(model, Path(place), 0)
        from transformers import LlamaForCausalLM

        theirs = LlamaForCausalLM.from_pretrained(place, dtype=torch.float32)
    rows = contenders.rows_of([data(step)[0] for step in range(STEPS)])
    if name in TRL:
        loss = contenders.trl(theirs, rows, ROWS_A_STEP, RECIPE, steps)
        return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": "TRL SFTTrainer, defaults"}
    best = name == "trainer-best-flags"
    bfloat16 = fit.has_fast_bfloat16(torch.device("cpu"))
    flags = {"bf16": bfloat16, "torch_compile": True, "optim": "adamw_torch_fused"} if best else {}
    loss = contenders.trainer(theirs, rows, ROWS_A_STEP, RECIPE, steps, **flags)
    said = f"{'bf16, ' * bfloat16}torch.compile, fused AdamW" if best else "defaults (float32)"
    return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": f"transformers Trainer, {said}"}


def _ours(model: Any, data: Any, job: Any, steps: Steps, compiled: bool) -> Run:
    import torch

    from tasks.trainers.causal import scratch
    from tasks.trainers.fit import fit, peak_flops

    if compiled:
        for layer in model.model.layers:
            layer.compile()
    flops = model.model.shape.flops_a_token
    fit(model, data, scratch.next_token, job, autocast=False, flops_a_token=flops)
    loss = json.loads(job.metrics.read_text().splitlines()[-1])["loss"]
    seconds = steps.seconds()
    return {
        "cpu_seconds": seconds,
        "loss": loss,
        "flags": "compiled" if compiled else "eager",
        "flops": flops * ROWS_A_STEP * CONTEXT / seconds,
        "peak_flops": peak_flops(torch.device("cpu")),
    }


if __name__ == "__main__":
    contenders.main(measure, contender, __doc__)
