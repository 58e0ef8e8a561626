"""Realised beside predicted: the metric on the test rows, the hours of the training, its peak memory.

The decision's own record stays as it was; this one is made after the evaluation. Hours and memory compare only where the
training ran on the hardware that the decision was made for.
"""

from __future__ import annotations

from tasks.records import Beside, Decision, Evaluation, Option, Realised, Span, Training


def realised(decision: Decision, training: Training, evaluation: Evaluation) -> Realised:
    option = next((o for o in decision.branches if o.status == "chosen"), None)
    if option is None or evaluation.status == "nothing_to_do":
        return Realised(status="nothing_to_do", branch=None, base_model=None, quantities=[])
    took = training.measured
    quantities = [
        _beside(decision.metric.name, _predicted(option), evaluation.metrics.get(decision.metric.name)),
        _beside("hours", option.hours, took.wall_seconds / 3600 if took else None),
        _beside("peak_gb", _peak(option), took.peak_gb if took else None),
    ]
    return Realised(status="finished", branch=option.branch, base_model=option.base_model, quantities=quantities)


def _beside(name: str, predicted: Span | None, value: float | None) -> Beside:
    inside = None if predicted is None or value is None else predicted.low <= value <= predicted.high
    return Beside(name=name, predicted=predicted, realised=value, inside=inside)


def _predicted(option: Option) -> Span | None:
    p = option.predicted
    if p.value is None or p.low90 is None or p.high90 is None:
        return None
    return Span(value=p.value, low=p.low90, high=p.high90)


def _peak(option: Option) -> Span | None:
    """Only its upper end is predicted."""
    peak = option.peak_gb
    return Span(value=peak.value, low=0.0, high=peak.high) if peak else None
