"""What training costs and reaches on the example, and what the same training costs with transformers' Trainer.

    python -m tests.benchmarks.text_classification                       against the Trainer: CPU-seconds, three rounds
    python -m tests.benchmarks.text_classification table [ROWS [BRANCH]] one line a branch, base and size (20 minutes)

Against the Trainer: each contender a fresh process on one core, interleaved; the same base model, rows, optimizer and
number of steps. Only the training is timed, not imports, loading or tokenizing. Quality is compared on held-out rows.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tasks import serving, shelf, trainers
from tasks.documents import Document, share
from tasks.metrics import quality
from tasks.recipes import recipe
from tasks.trainers import Job, cpu_seconds

EXAMPLE = Path("data/movie-reviews.jsonl")
TASK = "text-classification"
SIZES = (120, 240, 480, 960, 2400)
HELD_OUT = 600
BASES = ("MiniLM-L6", "MiniLM-L3")
CONTENDERS = ("ours", "trainer-defaults", "trainer-best-flags")
COMPARED_ROWS = 480
ROUNDS = 3


def rows_of(seed: int = 0) -> tuple[list[Document], list[Document]]:
    """Rows to train on, in an order drawn by `seed`, and the rows held out, which are the same for all seeds."""
    lines = [json.loads(line) for line in EXAMPLE.read_text(encoding="utf-8").splitlines()]
    rows = sorted((Document(r["id"], r["text"], r["label"], r["id"]) for r in lines), key=lambda d: share("benchmark", d.id))
    return sorted(rows[HELD_OUT:], key=lambda d: share("benchmark", seed, d.id)), rows[:HELD_OUT]


def job_of(branch: str, base: str | None, rows: list[Document], folder: Path, seed: int = 0) -> Job:
    place = shelf.folder(base) if base else None
    labels = ["negative", "positive"]
    return Job(branch, recipe(branch, TASK, len(rows)), place, labels, rows, seed, folder)


def table(sizes: tuple[int, ...], branches: tuple[str, ...]) -> None:
    print(f"{'branch':9}{'base':11}{'n':>5}{'acc':>7}{'logloss':>9}{'cpu s':>8}{'wall s':>8}{'GB':>6}{'score 600: cpu s':>18}")
    train, held = rows_of()
    for branch in branches:
        for base in BASES if branch in ("probe", "lora", "full") else (None,):
            for n in sizes:
                with tempfile.TemporaryDirectory() as place:
                    _print_cell(job_of(branch, base, train[:n], Path(place) / "model"), base, held)


def _print_cell(job: Job, base: str | None, held: list[Document]) -> None:
    done = trainers.train(job)
    start = cpu_seconds()
    shares = serving.load(job.folder).probabilities([row.text for row in held]).astype(np.float64)
    scored = cpu_seconds() - start
    got = quality(np.array([job.labels.index(row.label) for row in held]), shares)
    print(
        f"{job.branch:9}{base or '-':11}{len(job.documents):5}{got.accuracy:7.3f}{got.log_loss:9.3f}{done.cpu_seconds:8.1f}"
        f"{done.wall_seconds:8.1f}{done.peak_gb:6.2f}{scored:18.1f}",
        flush=True,
    )


def measure() -> list[dict[str, Any]]:
    """The rows for benchmarks.json: CPU-seconds of the full fine-tune of MiniLM-L6, ours and the Trainer's."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for _ in range(ROUNDS):
        for name in CONTENDERS:
            runs[name].append(_fresh_process(name))
    ours = median(run["cpu_seconds"] for run in runs["ours"])
    return [_row(ours, runs["ours"][0], runs[name]) for name in CONTENDERS[1:]]


def _row(ours: float, our_run: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    theirs = median(run["cpu_seconds"] for run in runs)
    return {
        "area": "training",
        "measure": f"text classification, full fine-tune of MiniLM-L6, {COMPARED_ROWS} rows, 2 epochs, CPU-seconds of one core",
        "ours": round(ours, 2),
        "theirs": round(theirs, 2),
        "ratio": round(theirs / ours, 2),
        "against": f"transformers Trainer, {runs[0]['flags']}",
        "held_out_accuracy": [our_run["accuracy"], runs[0]["accuracy"]],
        "held_out_loss": [our_run["loss"], runs[0]["loss"]],
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "accelerate")},
    }


def _fresh_process(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.text_classification", "contender", name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    run: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return run


def contender(name: str) -> dict[str, Any]:
    """Fine-tune by one way in this process; CPU-seconds of the training, and the held-out loss and accuracy after it."""
    from tasks.trainers import text

    train, held = rows_of()
    job = job_of("full", "MiniLM-L6", sorted(train[:COMPARED_ROWS], key=lambda d: d.id), Path("unused"))
    settings = job.recipe | {"epochs": 2}
    job = Job(job.branch, settings, job.base, job.labels, job.documents, job.seed, job.folder)
    assert job.base is not None
    model = text.classifier(job.base, job)
    run, flags = _ours(job, model) if name == "ours" else _trainer(job, model, best=name == "trainer-best-flags")
    start = time.process_time()
    run()
    seconds = time.process_time() - start
    ids = serving.token_ids(serving.tokenizer(job.base), [row.text for row in held], settings["max_tokens"])
    shares = serving.softmax(serving.run(lambda tokens, mask: model.eval()(tokens, mask).logits, ids, 2, 0))
    got = quality(np.array([job.labels.index(row.label) for row in held]), shares.astype(np.float64))
    return {"cpu_seconds": seconds, "loss": round(got.log_loss, 3), "accuracy": round(got.accuracy, 3), "flags": flags}


def _ours(job: Job, model: Any) -> tuple[Callable[[], object], str]:
    from tasks.trainers import text
    from tasks.trainers.fit import fit

    assert job.base is not None
    data = text.batches(job, job.base, 0)

    def run() -> None:
        with text.only_seen_words(model, data):
            fit(model, data, text.cross_entropy, job)

    return run, "tasks.trainers.fit"


def _trainer(job: Job, model: Any, best: bool) -> tuple[Callable[[], object], str]:
    """Defaults: random batches padded to their longest row, dropout as the base model's config has it, float32."""
    import torch
    from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments

    from tasks.trainers import fit, text

    assert job.base is not None
    tokenizer = AutoTokenizer.from_pretrained(job.base)
    recipe = job.recipe
    bfloat16 = best and fit.has_fast_bfloat16(torch.device("cpu"))
    if not best:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.1
    flags = {"train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused", "bf16": bfloat16} if best else {}
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=recipe["rows_a_step"],
        num_train_epochs=recipe["epochs"],
        learning_rate=recipe["learning_rate"],
        weight_decay=recipe["weight_decay"],
        lr_scheduler_type=recipe["schedule"],
        warmup_steps=recipe["warmup_share"],
        max_grad_norm=recipe["clip"],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        seed=job.seed,
        dataloader_pin_memory=False,
        **flags,
    )
    ids = serving.token_ids(serving.tokenizer(job.base), [d.text for d in job.documents], recipe["max_tokens"])
    rows = [{"input_ids": row, "labels": label} for row, label in zip(ids, text.targets(job), strict=True)]
    trainer = Trainer(model, arguments, DataCollatorWithPadding(tokenizer), train_dataset=rows)
    said = "defaults" if not best else "group_by_length, fused AdamW, no dropout" + (", bf16" if bfloat16 else "")
    return trainer.train, said


def main() -> None:
    match sys.argv[1:]:
        case []:
            print(json.dumps(measure(), indent=1))
        case ["contender", name]:
            print(json.dumps(contender(name)))
        case ["table", *rest]:
            sizes = tuple(map(int, rest[0].split(","))) if rest else SIZES
            table(sizes, tuple(rest[1].split(",")) if len(rest) > 1 else trainers.BRANCHES["text-classification"])
        case other:
            sys.exit(f"{' '.join(other)}: see the docstring for what can be asked")


if __name__ == "__main__":
    main()
