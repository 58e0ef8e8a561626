"""A logistic model on the frozen base model's mean states. One pass over the texts; embeddings are kept for the process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks import serving
from tasks.trainers import Job, Spent, cpu_seconds, text
from tasks.trainers.linear import choose, fit

_KEPT_ROWS = 50_000  # 77 MB at 384 states
_known: dict[tuple[str, int, str], tuple[serving.Floats, float]] = {}
"""(base, max_tokens, text) to the embedding and the CPU-seconds that it took."""


def train(job: Job, folder: Path) -> Spent:
    from safetensors.numpy import save_file

    assert job.base is not None
    encoder = serving.encoder(job.base).eval()
    ids, cut = text.token_ids(job, job.base)
    features, earlier = _features(job, encoder, ids)
    targets, scale = np.array(text.targets(job)), float(features.std())
    choice = choose(features / scale, targets, len(job.labels), job.recipe["strengths"], job.recipe["folds"], job.seed)
    weight, bias = fit(features / scale, targets, len(job.labels), choice.strength)
    text.copy(job.base, folder, ("config.json", "model*.safetensors*", *text.TOKENIZER))
    text.describe(folder, job, "probe", text.max_tokens(job, job.base))
    save_file({"weight": weight / scale, "bias": bias}, folder / "head.safetensors")
    job.on_progress(1, 1)
    return Spent(1, 1, sum(map(len, ids)), earlier_cpu_seconds=earlier).with_cut(cut)


def _features(job: Job, encoder: object, ids: list[list[int]]) -> tuple[serving.Floats, float]:
    """Embeddings (n, hidden) of the job's rows, and the CPU-seconds that earlier jobs spent on known ones."""
    assert job.base is not None
    limit = text.max_tokens(job, job.base)
    keys = [(str(job.base.resolve()), limit, d.text) for d in job.documents]
    new = [row for row, key in enumerate(keys) if key not in _known]
    found = {key: _known[key] for key in keys if key in _known}
    start = cpu_seconds()
    fresh = serving.embed(encoder, [ids[row] for row in new])
    each = (cpu_seconds() - start) / max(len(new), 1)
    made = {keys[row]: (fresh[place], each) for place, row in enumerate(new)}
    if len(_known) + len(made) > _KEPT_ROWS:
        _known.clear()
    _known.update(made)
    both = found | made
    earlier = sum(seconds for _, seconds in found.values())
    return np.stack([both[key][0] for key in keys]), earlier
