"""LoRA of rank 16 on all linear layers of a LLaMA of SmolLM2-135M's shape: our engine against Trainer with PEFT.

    python -m tests.benchmarks.lora

Random weights (speed does not depend on them), the same for all; rows of 256 tokens, four a step. The Trainer's best flags
are those that were found to help: bf16 (where the CPU is faster with it) and fused AdamW; gradient checkpointing is off, as
is its default.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks import contenders
from tests.benchmarks.contenders import Run, Steps

CONTENDERS = ("ours", "trainer-defaults", "trainer-best-flags")
ROWS_A_STEP, STEPS, CONTEXT = 4, 7, 256
SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}
RECIPE = {
    "learning_rate": 1e-3,
    "epochs": 1,
    "tokens_a_step": ROWS_A_STEP * CONTEXT,
    "tokens_a_pass": ROWS_A_STEP * CONTEXT,
    "max_tokens": CONTEXT,
    "betas": [0.9, 0.95],
    "weight_decay": 0.0,
    "clip": 1.0,
    "schedule": "wsd",
    "warmup_share": 0.0,
    "decay_share": 0.0,
    "rank": 16,
    "alpha": 32,
}


def measure() -> list[dict[str, Any]]:
    runs = contenders.interleaved("tests.benchmarks.lora", CONTENDERS)
    what = f"LoRA r16, all linear layers, 135M LLaMA, {ROWS_A_STEP} x {CONTEXT} tokens a step"
    return [contenders.row(what, runs["ours"], runs[name], 0.02) for name in CONTENDERS[1:]]


def contender(name: str) -> Run:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tasks.trainers import Job
    from tasks.trainers.causal.packing import Packed, Tokens

    torch.manual_seed(0)
    steps, draw = Steps(), torch.Generator().manual_seed(0)
    ids = torch.randint(0, 2000, (STEPS * ROWS_A_STEP * CONTEXT,), generator=draw).tolist()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        LlamaForCausalLM(LlamaConfig(**SHAPE)).save_pretrained(folder)
        job = Job("lora", RECIPE, folder, [], [], 0, folder, on_progress=steps.tick, metrics=folder / "metrics.jsonl")
        data = Packed(Tokens.of([ids]), job)
        data.steps = STEPS
        if name == "ours":
            return _ours(data, job, steps)
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return _theirs(model, data, steps, best=name == "trainer-best-flags")


def _ours(data: Any, job: Any, steps: Steps) -> Run:
    from tasks.trainers.causal import bases, lora
    from tasks.trainers.fit import fit

    fit(lora.adapt(job), data, bases.next_token, job)
    loss = json.loads(job.metrics.read_text().splitlines()[-1])["loss"]
    return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": "ours"}


def _theirs(model: Any, data: Any, steps: Steps, best: bool) -> Run:
    import torch
    from peft import LoraConfig, get_peft_model

    from tasks.trainers.fit import has_fast_bfloat16

    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    batches = [data(step)[0] for step in range(STEPS)]
    rows = [
        {"input_ids": given, "labels": given, "shift_labels": wanted}
        for batch in batches
        for given, wanted in zip(batch.inputs["input_ids"], batch.targets, strict=True)
    ]
    bfloat16 = has_fast_bfloat16(torch.device("cpu"))
    flags = {"bf16": bfloat16, "optim": "adamw_torch_fused"} if best else {}
    loss = contenders.trainer(adapted, rows, ROWS_A_STEP, RECIPE, steps, **flags)
    said = f"{'bf16, ' * bfloat16}fused AdamW" if best else "defaults (float32)"
    return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": f"transformers Trainer with PEFT, {said}"}


if __name__ == "__main__":
    contenders.main(measure, contender, __doc__)
