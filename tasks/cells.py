"""One pilot measurement, a cell, measured once: kept under a key of all that it depends on, outside DVC's outputs.

A killed pilot goes on at the next cell; more seeds or rungs reuse the old ones; one more row measures again only the
subsets that hold it. The key holds no hash of the code: a change of a trainer that changes what a cell measures must
raise `engine` in the recipe.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tasks import documents, images, ledger, machine, side_by_side, workspace
from tasks.documents import Document
from tasks.ladder import Step
from tasks.metrics import quality
from tasks.progress import Progress
from tasks.recipes import recipe
from tasks.records import Candidate, Cell, Measured, Quality, sha256_of
from tasks.serving import Told, silent
from tasks.trainers import STARTS_FROM_A_BASE

PROCESS_GB = 1.0
"""Python, torch and transformers, 0.4 once imported, and what else comes and goes."""
PASS = 2048  # tokens that are trained on, or scored, at once


def bases_of(branch: str, candidates: list[Candidate]) -> list[Candidate | None]:
    """The base models that a branch is measured with; [None] for branches that start from nothing."""
    return list(candidates) if branch in STARTS_FROM_A_BASE else [None]


def key_of(branch: str, task: str, base: Candidate | None, step: Step) -> str:
    parts = {
        "branch": branch,
        "base": base.sha256 if base else None,
        "recipe": recipe(branch, task, step.n),
        "seed": step.seed,
        "train": documents.sha256(step.train),
        "heldout": documents.sha256(step.heldout),
    }
    return sha256_of(parts)


def stored(key: str) -> Cell | None:
    path = _path(key)
    return Cell.model_validate_json(path.read_bytes()) if path.exists() else None


def refill(record: str) -> None:
    """Put the cells of a record that git holds (`results/screen/lora.json`, say) into the store: a new clone has none."""
    text = ledger.show(record, "HEAD")
    for cell in json.loads(text)["cells"] if text else []:
        if not _path(cell["key"]).exists():
            _keep(Cell.model_validate(cell))


def measure_all(
    branch: str, task: str, wanted: list[tuple[Candidate | None, Step]], labels: list[str], what: str
) -> list[Cell]:
    """The cells wanted, in the order given: from the store, or measured side by side. Shows progress in rows."""
    from tasks import trainers

    keys = [key_of(branch, task, base, step) for base, step in wanted]
    known = {key: stored(key) for key in keys}
    missing = [pair for key, pair in zip(keys, wanted, strict=True) if known[key] is None]
    missing.sort(key=lambda pair: -pair[1].n)  # the longest first, so that no core waits for it at the end
    if missing:
        trainers.module_of(branch, task)  # imported once, for all processes
        progress = Progress(what, sum(step.n for _, step in missing), "rows")
        side_by_side.each(
            lambda pair, told: measure(branch, task, *pair, labels, told),
            missing,
            lambda shares: progress.at(*_progress(task, missing, shares)),
            max(gb_of(branch, task, base, step.n) for base, step in missing),
        )
    return [known[key] or _measured(key) for key in keys]


def gb_of(branch: str, task: str, base: Candidate | None, n: int) -> float:
    """The memory of a process that measures a cell of n rows, 1e9 bytes; without the shape of a base, that of any work.

    In float32: the weights (with gradients and two moments where all are trained), three copies of PASS tokens' logits, and of
    each token of a pass what a layer keeps for the way back: 14 numbers a unit of its width (4 of them attention's scores of
    256 tokens) and 4 a unit within, as `torch.autograd.graph.saved_tensors_hooks` counts them of SmolLM2-135M. 10 more a unit
    of width are freed memory that malloc holds; to give it back at once took 1.7 times the CPU-seconds. The peaks measured
    stand in `tests/test_cells.py`.
    """
    if base is None or base.shape is None or task == "image-classification":
        return side_by_side.GB_A_PROCESS
    plan, shape = recipe(branch, task, n), base.shape
    step = plan.get("tokens_a_step") or plan.get("rows_a_step", 16) * plan.get("max_tokens", 128)
    weights: float = base.parameters * (4 if branch in ("full", "continued") else 1)
    layers = 1 if branch in ("prompt", "probe") else shape["layers"]
    kept: float = layers * min(step, plan.get("tokens_a_pass", PASS)) * (24 * shape["width"] + 4 * shape["mlp"])
    logits: float = 3 * PASS * shape["vocab"] if task == "text-generation" else 0
    return PROCESS_GB + 4e-9 * (weights + kept + logits)


def _progress(task: str, missing: list[tuple[Candidate | None, Step]], shares: list[float]) -> tuple[float, str]:
    """Rows done, and what is being measured."""
    now = []
    for share, (base, step) in zip(shares, missing, strict=True):
        if 0 < share < 1:
            scoring = ", scoring" if share >= _trained(task) else ""
            now.append(f"{base.name + ', ' if base else ''}{step.n} rows, seed {step.seed}{scoring}")
    done = sum(share * step.n for share, (_, step) in zip(shares, missing, strict=True))
    return done, "; ".join(now)


def _trained(task: str) -> float:
    """The share of a cell that is done, for the progress alone, when it is trained: the rest is scoring."""
    return 0.5 if task == "text-generation" else 0.9


def _measured(key: str) -> Cell:
    cell = stored(key)
    assert cell is not None
    return cell


def measure(
    branch: str, task: str, base: Candidate | None, step: Step, labels: list[str], told: Callable[[float], None]
) -> Cell:
    """Train on the step's rows, score its held-out rows; `told` hears the share that is done. Kept before it returns."""
    from tasks import shelf, trainers

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        plan, share = recipe(branch, task, step.n), _trained(task)
        job = trainers.Job(
            branch=branch,
            recipe=plan,
            base=shelf.folder(base.name) if base else None,
            labels=labels,
            documents=step.train,
            seed=step.seed,
            folder=folder,
            checkpoints=None,
            on_progress=lambda done, total: told(share * (done / max(total, 1))),
            metrics=None,
            task=task,
        )
        trained = trainers.train(job)
        start = time.process_time()
        reached = quality_of(task, folder, step.heldout, labels, lambda scored: told(share + (1 - share) * scored))
        predict_cpu_seconds = time.process_time() - start
        model_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    cell = Cell(
        key=key_of(branch, task, base, step),
        branch=branch,
        base_model=base.name if base else None,
        base_sha256=base.sha256 if base else None,
        recipe=plan,
        seed=step.seed,
        n=step.n,
        n_heldout=len(step.heldout),
        train_sha256=documents.sha256(step.train),
        heldout_sha256=documents.sha256(step.heldout),
        quality=reached,
        cut_rows=trained.cut_rows,
        cut_tokens=trained.cut_tokens,
        measured=Measured(
            cpu_seconds=round(trained.cpu_seconds, 3),
            wall_seconds=round(trained.wall_seconds, 3),
            predict_cpu_seconds=round(predict_cpu_seconds, 3),
            peak_gb=round(trained.peak_gb, 3),
            model_gb=round(model_bytes / 1e9, 4),
            tokens=trained.tokens,
            machine=machine.name(),
            cores=machine.cores(),
        ),
    )
    _keep(cell)
    return cell


def quality_of(
    task: str,
    folder: Path,
    heldout: Sequence[Document],
    labels: list[str],
    told: Told = silent,
) -> Quality:
    """What the model in `folder` makes of held-out rows, by the measures of the task; `told` hears the share of the answers."""
    from tasks import answers, serving

    if task == "text-generation":
        return answers.quality(answers.measured(serving.load_generator(folder), heldout, told))
    probabilities = serving.load(folder).probabilities(images.inputs(heldout))
    return quality(np.array(documents.label_numbers(heldout, labels)), probabilities.astype(np.float64))


def _path(key: str) -> Path:
    return workspace.shared() / "cells" / key[:2] / f"{key}.json"


def _keep(cell: Cell) -> None:
    path = _path(cell.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(cell.model_dump(mode="json")))
    part.replace(path)
