"""Measure the trained model on the untouched test rows, beside honest baselines, with paired bootstrap intervals.

Baselines are fitted on the same training rows: the most frequent label, and TF-IDF (for
images: pixels and edges) with a linear model. The champion of
the registry is none of this stage's business: that comparison is `promote`'s.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks import compared, documents, evaluate_texts, images, metrics, params, records, stage
from tasks.documents import Document
from tasks.metrics import Floats, Ints
from tasks.records import Evaluation, Slice, Training
from tasks.stage import Refused

FEWEST_ROWS_OF_A_SLICE = 10


@dataclass(frozen=True)
class Scored:
    """What one model says of the test rows: its probabilities (n, k) and the likeliest class (n,)."""

    probabilities: Floats
    guesses: Ints


def main(model: Path, training: Path, train: Path, test: Path, out: Path, answers: Path) -> None:
    """`answers` is an empty file where nothing answers (labels, texts, nothing trained): DVC wants one."""
    settings = params.load()
    done, metric = records.read(Training, training), settings.objective.metric
    if done.status == "nothing_to_do":
        records.write(_nothing_to_do(), out)
        evaluate_texts.keep([], {}, answers)
        return
    if done.steps_done < done.steps_planned:
        raise Refused(
            f"{training}: {done.steps_done} of {done.steps_planned} steps done; finish the training before its evaluation"
        )
    rows, known = documents.read(test), documents.read(train)
    if settings.use_case.task == "text-generation":
        written = evaluate_texts.scores(model, known, rows)
        evaluate_texts.keep(rows, written, answers)
        records.write(evaluate_texts.evaluation(done, known, rows, written, metric, settings.objective.judge), out)
        return
    labels = done.labels
    scored = {"model": _score(model, rows)} | _baselines(known, rows, labels, settings.use_case.task)
    records.write(evaluation(done, rows, scored, metric), out)
    evaluate_texts.keep([], {}, answers)


def evaluation(training: Training, rows: list[Document], scored: dict[str, Scored], metric: str) -> Evaluation:
    """The record for these scores; `scored["model"]` is the trained model, the others are its baselines."""
    labels, k = np.array(documents.label_numbers(rows, training.labels)), len(training.labels)
    counts = metrics.resamples(len(rows))
    draws = {name: metrics.score(metric, labels, s.guesses, k, counts) for name, s in scored.items()}
    qualities = {name: metrics.quality(labels, s.probabilities).known() for name, s in scored.items()}
    return compared.evaluation(training, rows, qualities, draws, metric, _slices(rows, labels, scored["model"].guesses))


def _slices(rows: list[Document], labels: Ints, guesses: Ints) -> list[Slice]:
    """Accuracy by label and by length or size (thirds), with Wilson's 95 % interval; slices below 10 rows are left out."""
    lengths, unit = _lengths(rows)
    short, long = np.quantile(lengths, [1 / 3, 2 / 3])
    names = np.array([row.label for row in rows])
    masks = {f"label = {label}": names == label for label in sorted(set(names.tolist()))}
    if lengths.min() < lengths.max():
        masks |= {
            f"up to {short:.0f} {unit}": lengths <= short,
            f"{short:.0f} to {long:.0f} {unit}": (lengths > short) & (lengths <= long),
            f"over {long:.0f} {unit}": lengths > long,
        }
    return [_slice(name, (labels == guesses)[mask]) for name, mask in masks.items() if mask.sum() >= FEWEST_ROWS_OF_A_SLICE]


def _lengths(rows: list[Document]) -> tuple[Ints, str]:
    """Characters of texts; pixels along the longer side of images, as they are stored."""
    if not any(row.image for row in rows):
        return np.array([len(row.text) for row in rows]), "characters"
    from tasks.serving.images import opened

    return np.array([max(opened(content).size) for content in images.inputs(rows)]), "pixels"


def _slice(name: str, right: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Slice:
    """Wilson 1927: the interval of a share, honest also near 0 and 1."""
    n, p, z = len(right), float(right.mean()), 1.959964
    centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Slice(name=name, rows=n, value=p, low95=float((centre - half) / scale), high95=float((centre + half) / scale))


def _score(folder: Path, rows: list[Document]) -> Scored:
    from tasks import serving

    probabilities = serving.load(folder).probabilities(images.inputs(rows)).astype(np.float64)
    return Scored(probabilities, probabilities.argmax(1))


def _baselines(known: list[Document], rows: list[Document], labels: list[str], task: str) -> dict[str, Scored]:
    simple = "pixels" if task == "image-classification" else "tfidf"
    return {"majority": _majority(known, rows, labels), simple: _simple(known, rows, labels, task)}


def _majority(known: list[Document], rows: list[Document], labels: list[str]) -> Scored:
    shares = np.array([sum(row.label == label for row in known) for label in labels], dtype=np.float64) / len(known)
    probabilities = np.tile(shares, (len(rows), 1))
    return Scored(probabilities, probabilities.argmax(1))


def _simple(known: list[Document], rows: list[Document], labels: list[str], task: str) -> Scored:
    """The branch `baseline`."""
    from tasks import trainers
    from tasks.recipes import recipe

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "baseline"
        plan = recipe("baseline", task, len(known))
        job = trainers.Job("baseline", plan, None, labels, known, 0, folder, None, lambda *_: None, None, task=task)
        trainers.train(job)
        return _score(folder, rows)


def _nothing_to_do() -> Evaluation:
    return Evaluation(
        status="nothing_to_do",
        model={},
        baselines={},
        metrics={},
        diff=[],
        slices=[],
        steps_done=0,
        steps_planned=0,
        test_sha256="",
        rows=0,
    )


if __name__ == "__main__":
    stage.run(main)
