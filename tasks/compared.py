"""One trained model beside its baselines on the same test rows: the evaluation record of every task, from scores and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks import documents, metrics, records
from tasks.documents import Document
from tasks.metrics import Floats
from tasks.records import Difference, Evaluation, Slice, Training

Qualities = Mapping[str, dict[str, float]]


def evaluation(
    training: Training,
    rows: Sequence[Document],
    qualities: Qualities,
    draws: Mapping[str, Floats],
    metric: str,
    slices: list[Slice],
) -> Evaluation:
    """`qualities` and bootstrap `draws` of the metric by name: `model`, the others are its baselines.

    Baselines without draws have no such metric: they are listed, and not compared.
    """
    low, high = metrics.interval(draws["model"])
    return Evaluation(
        status="finished",
        model={
            "branch": training.branch,
            "base_model": training.base_model.name if training.base_model else None,
            "files_sha256": records.sha256_of(training.files),
            "metric": metric,
            "value": qualities["model"][metric],
            "low95": low,
            "high95": high,
        },
        baselines={name: quality for name, quality in qualities.items() if name != "model"},
        metrics=qualities["model"],
        diff=differences(qualities, draws, metric),
        slices=slices,
        steps_done=training.steps_done,
        steps_planned=training.steps_planned,
        test_sha256=documents.sha256(rows),
        rows=len(rows),
    )


def differences(qualities: Qualities, draws: Mapping[str, Floats], metric: str) -> list[Difference]:
    """Of the model to each baseline that has draws of this metric."""
    return [_difference(name, qualities, draws, metric) for name in draws if name != "model"]


def _difference(name: str, qualities: Qualities, draws: Mapping[str, Floats], metric: str) -> Difference:
    differences = draws["model"] - draws[name]
    low, high = metrics.interval(differences)
    value = qualities["model"][metric] - qualities[name][metric]
    return Difference(against=name, value=value, low95=low, high95=high, p=metrics.two_sided_p(differences))
