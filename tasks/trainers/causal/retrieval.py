"""The yardstick for questions and answers: the stored answer of the nearest question by TF-IDF.

Words or characters: whichever finds the better answers (chrF) to training questions when their own answer is hidden. Imports
neither torch nor transformers.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from tasks import answers, documents, serving
from tasks.serving.retrieval import asked
from tasks.stage import UserError
from tasks.trainers import Job, Spent

ASKED = 300  # training questions that choose between words and characters


def train(job: Job, folder: Path) -> Spent:
    """Recipe: `analyzers` to choose from, `max_terms`."""
    from safetensors.numpy import save_file

    pairs = [documents.answered(document) for document in job.documents]
    questions, known = [asked(prompt) for prompt, _ in pairs], [answer for _, answer in pairs]
    tried = {analyzer: _index(questions, analyzer, job.recipe) for analyzer in job.recipe["analyzers"]}
    scores = {analyzer: _score(features, known) for analyzer, (_, features) in tried.items()}
    analyzer = max(scores, key=lambda name: scores[name])
    vectorizer, features = tried[analyzer]
    by_term = features.tocsc()
    by_term.sort_indices()
    tables = {
        "idf": vectorizer.idf_.astype(np.float32),
        "starts": by_term.indptr.astype(np.int64),
        "questions": by_term.indices.astype(np.int32),
        "weights": by_term.data.astype(np.float32),
    }
    save_file(tables, folder / "retrieval.safetensors")
    _write(folder / "vocabulary.json", list(vectorizer.get_feature_names_out()))
    _write(folder / "answers.json", known)
    otherwise = min(Counter(known).items(), key=lambda item: (-item[1], item[0]))[0]
    about = {"kind": "retrieval", "labels": [], "analyzer": analyzer, "otherwise": otherwise, "chrf_by_analyzer": scores}
    _write(folder / "serving.json", about)
    job.on_progress(1, 1)
    return Spent(1, 1)


def _index(questions: list[str], analyzer: str, recipe: dict[str, Any]) -> tuple[Any, Any]:
    """The vectorizer and the questions as unit vectors, (n, terms)."""
    terms = partial(serving.analyze, analyzer=analyzer)
    made = TfidfVectorizer(analyzer=terms, sublinear_tf=True, dtype=np.float32, max_features=recipe["max_terms"])
    try:
        return made, made.fit_transform(questions)
    except ValueError:
        raise UserError("baseline: no question of a chat holds a word to look for; check data.messages") from None


def _score(features: Any, known: list[str]) -> float:
    """chrF of the answers found for some of the questions, each with its own answer out of sight."""
    rows = np.linspace(0, len(known) - 1, min(ASKED, len(known))).astype(int)
    near = (features[rows] @ features.T).toarray()
    near[np.arange(len(rows)), rows] = -1
    found = [known[place] for place in near.argmax(1)]
    return round(float(answers.score("chrf", answers.given(found, [known[row] for row in rows]))[0]), 4)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
