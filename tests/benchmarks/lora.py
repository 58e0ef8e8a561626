"""LoRA of rank 16 on all linear layers of a LLaMA of SmolLM2-135M's shape: our engine against Trainer and TRL with PEFT.

    python -m tests.benchmarks.lora          TRL's rows need PYTHONPATH=.venv/references (`make bench`)

Random weights (speed does not depend on them), the same for all; rows of 256 tokens, four a step. The Trainer's best flags
are those that were found to help: bf16 (where the CPU is faster with it) and fused AdamW; gradient checkpointing is off, as
is its default. TRL's are the same, with the gradient checkpointing off that is on by default there.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks import contenders
from tests.benchmarks.contenders import Run, Steps

CONTENDERS = ("ours", "trainer-defaults", "trainer-best-flags")
TRL = ("trl-defaults", "trl-best-flags")
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
RECIPE = contenders.recipe(ROWS_A_STEP, CONTEXT, weight_decay=0.0, rank=16, alpha=32)


def measure() -> list[dict[str, Any]]:
    names = (*CONTENDERS, *(TRL if contenders.installed("trl", "datasets") else ()))
    runs = contenders.interleaved("tests.benchmarks.lora", names)
    what = f"LoRA r16, all linear layers, 135M LLaMA, {ROWS_A_STEP} x {CONTEXT} tokens a step"
    return [contenders.row(what, runs["ours"], runs[name], 0.02) for name in names[1:]]


def contender(name: str) -> Run:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tasks.trainers import Job
    from tasks.trainers.causal.packing import Packed
    from tasks.trainers.causal.tokens import Tokens

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
    return _theirs(model, data, steps, name)


def _ours(data: Any, job: Any, steps: Steps) -> Run:
    from tasks.trainers.causal import bases, lora
    from tasks.trainers.fit import fit

    fit(lora.adapt(job), data, bases.next_token, job)
    loss = json.loads(job.metrics.read_text().splitlines()[-1])["loss"]
    return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": "ours"}


def _theirs(model: Any, data: Any, steps: Steps, name: str) -> Run:
    import torch
    from peft import LoraConfig, get_peft_model

    from tasks.trainers.fit import has_fast_bfloat16

    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    rows, best = contenders.rows_of([data(step)[0] for step in range(STEPS)]), name.endswith("best-flags")
    bfloat16 = has_fast_bfloat16(torch.device("cpu"))
    flags = {"bf16": bfloat16, "optim": "adamw_torch_fused"} if best else {}
    said = f"{'bf16, ' * bfloat16}fused AdamW" if best else "defaults"
    if name in TRL:
        off = {"gradient_checkpointing": False} if best else {}
        loss = contenders.trl(adapted, rows, ROWS_A_STEP, RECIPE, steps, **flags | off)
        return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": f"TRL SFTTrainer with PEFT, {said}"}
    loss = contenders.trainer(adapted, rows, ROWS_A_STEP, RECIPE, steps, **flags)
    return {"cpu_seconds": steps.seconds(), "loss": loss, "flags": f"transformers Trainer with PEFT, {said}"}


if __name__ == "__main__":
    contenders.main(measure, contender, __doc__)
