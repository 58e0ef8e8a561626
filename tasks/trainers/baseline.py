"""The honest yardstick: TF-IDF of words or of characters with a logistic model, or the most frequent label.

Which of the three, and how strongly it is regularised, is chosen by cross-validation on the training rows alone.
Imports neither torch nor transformers.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from tasks import serving
from tasks.trainers import Job, Spent
from tasks.trainers.linear import Choice, choose, fit


def train(job: Job, folder: Path) -> Spent:
    from safetensors.numpy import save_file

    texts = [document.text for document in job.documents]
    targets = np.array([job.labels.index(document.label) for document in job.documents])
    k = len(job.labels)
    best = Choice(score=-np.log(k), strength=0.0)
    analyzer, features, terms, idf = "none", None, list[str](), np.zeros(0, np.float32)
    for name in job.recipe["analyzers"]:
        vectorizer = _vectorizer(name, job.recipe)
        candidate = vectorizer.fit_transform(texts)
        choice = choose(candidate, targets, k, job.recipe["strengths"], job.recipe["folds"], job.seed)
        if choice.score > best.score:
            best, analyzer, features = choice, name, candidate
            terms, idf = list(vectorizer.get_feature_names_out()), vectorizer.idf_.astype(np.float32)
    if features is None:
        weight, bias = np.zeros((k, 0), np.float32), _log_shares(targets, k)
    else:
        weight, bias = fit(features, targets, k, best.strength)
    save_file({"idf": idf, "weight": weight, "bias": bias}, folder / "linear.safetensors")
    (folder / "vocabulary.json").write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
    about = {"kind": "linear", "labels": job.labels, "analyzer": analyzer, "strength": best.strength}
    (folder / "serving.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
    job.on_progress(1, 1)
    return Spent(steps_done=1, steps_planned=1)


def _vectorizer(analyzer: str, recipe: dict[str, Any]) -> Any:
    terms = partial(serving.analyze, analyzer=analyzer)
    return TfidfVectorizer(analyzer=terms, sublinear_tf=True, dtype=np.float32, max_features=recipe["max_terms"])


def _log_shares(targets: NDArray[np.int64], k: int) -> serving.Floats:
    """Log of each label's share, one row added to each label (Laplace), so that none is impossible."""
    counts = np.bincount(targets, minlength=k) + 1
    shares: serving.Floats = np.log(counts / counts.sum()).astype(np.float32)
    return shares
