"""A logistic model on a frozen base network's features. One pass over the images; features are kept for the process."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tasks.serving import Floats, networks
from tasks.serving.images import run_on
from tasks.trainers import Job, Spent, cpu_seconds
from tasks.trainers.linear import choose, fit
from tasks.trainers.vision import squares

_KEPT_ROWS = 50_000  # 256 MB at 1280 features
_known: dict[tuple[str, int, str], tuple[Floats, float]] = {}
"""(base, side, image) to the features and the CPU-seconds that they took."""


def train(job: Job, folder: Path) -> Spent:
    from safetensors.numpy import save_file

    assert job.base is not None
    look = squares.look_of(job.base, job.recipe["side"])
    features, earlier = _features(job, job.base, look)
    targets, middle, scale = np.array(squares.targets(job)), features.mean(0), float(features.std())
    even = (features - middle) / scale  # the same optimum, found in fewer steps
    choice = choose(even, targets, len(job.labels), job.recipe["strengths"], job.recipe["folds"], job.seed)
    weight, bias = fit(even, targets, len(job.labels), choice.strength)
    for path in (p for pattern in ("config.json", "model*.safetensors*", "preprocessor*.json") for p in job.base.glob(pattern)):
        shutil.copyfile(path, folder / path.name)
    squares.describe(folder, {"kind": "image-probe", "labels": job.labels, "look": look})
    save_file({"weight": weight / scale, "bias": bias - weight @ middle / scale}, folder / "head.safetensors")
    job.on_progress(1, 1)
    return Spent(1, 1, earlier_cpu_seconds=earlier)


def _features(job: Job, base: Path, look: dict[str, object]) -> tuple[Floats, float]:
    """Features (n, width) of the job's rows, and the CPU-seconds that earlier jobs spent on known ones."""
    side = int(str(look["side"]))
    keys = [(str(base.resolve()), side, document.image or "") for document in job.documents]
    new = list(dict.fromkeys(key for key in keys if key not in _known))
    found = {key: _known[key] for key in keys if key in _known}
    start = cpu_seconds()
    if new:
        network, width = networks.load_features(base)
        fresh = run_on((squares.seen(image, side) for _, _, image in new), network, look, len(new), width)
        each = (cpu_seconds() - start) / len(new)
        if len(_known) + len(new) > _KEPT_ROWS:
            _known.clear()
        found |= {key: (row, each) for key, row in zip(new, fresh, strict=True)}
        _known.update(found)
    earlier = sum(seconds for key, (_, seconds) in found.items() if key not in new)
    return np.stack([found[key][0] for key in keys]), earlier
