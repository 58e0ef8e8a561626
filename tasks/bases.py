"""Which base model to pilot first: a ranking from one cheap look at the user's data, before anything is fine-tuned.

The look: every candidate reads a few hundred training rows once, frozen, and a linear probe on its mean states is scored on
held-out rows. A doubling of the layers counts as much as one standard error of that score, for fine-tuning changes
deep models more than a probe can show. How good the ranking is against piloting every candidate is
measured by `tests/benchmarks/bases.py`, for encoders of text. Models that generate text are ranked by the bits per byte that
they need as they are, depth left out; that ranking was not measured. It does not say how good any of them will be, nor weigh
licences, size or cost: hard limits come beside it (`tasks.constraints`, `tasks.look`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.records import Candidate, Cell, RankedBase


@dataclass(frozen=True)
class Screened:
    """What is known of a candidate before it is piloted."""

    name: str
    probe: float
    """Mean log-likelihood, nats, that a linear probe gives the label of a row it has not seen (or minus bits per byte)."""
    layers: int | None
    parameters: int
    fertility: float | None
    """Tokens a word: what the text costs to read."""


NOISE = 0.02
"""Nats: about one standard error of a probe's score on 300 rows; what a doubling of the layers is worth. Not tuned."""


def ranking(screened: Sequence[Screened], depth_is_worth: float = NOISE) -> list[Screened]:
    """Best first; of equals the smaller model. Depth counts if that of all of them is known."""
    worth = depth_is_worth if all(one.layers for one in screened) else 0.0
    return sorted(screened, key=lambda one: (-one.probe - worth * math.log2(one.layers or 1), one.parameters, one.name))


def ranked(cells: Sequence[Cell], candidates: Sequence[Candidate]) -> list[RankedBase]:
    """The candidates that a screen of branch `probe` (or `prompt`, of bits per byte) has measured, best first.

    With what else counts beside the rank. The score is that of the largest rung on which all of them were measured, the mean
    over its seeds; of folds, over all of them. A candidate without a cell is left out.
    """
    about = {one.name: one for one in candidates}
    mine = [(cell, score) for cell in cells if cell.base_model in about and (score := _score(cell)) is not None]
    rungs = [{cell.n for cell, _ in mine if cell.base_model == name} for name in {cell.base_model for cell, _ in mine}]
    shared = max(set.intersection(*rungs), default=None) if rungs else None
    scores: dict[str, list[float]] = {}
    for cell, score in mine:
        if cell.n == shared:
            scores.setdefault(str(cell.base_model), []).append(score)
    generates = any(cell.branch == "prompt" for cell, _ in mine)
    found = [_screened(about[name], sum(each) / len(each)) for name, each in scores.items()]
    order = ranking(found, 0.0 if generates else NOISE)
    return [_record(place, one, about[one.name], generates) for place, one in enumerate(order, 1)]


def _score(cell: Cell) -> float | None:
    """More is better; None for what is no look."""
    loss = {"probe": cell.quality.log_loss, "prompt": cell.quality.bits_per_byte}.get(cell.branch)
    return None if loss is None else -loss


def _screened(base: Candidate, probe: float) -> Screened:
    layers = int(base.shape["layers"]) if base.shape else None
    return Screened(base.name, probe, layers, base.parameters, base.fertility)


def _record(place: int, one: Screened, base: Candidate, generates: bool) -> RankedBase:
    return RankedBase(
        rank=place,
        name=one.name,
        probe_log_loss=None if generates else -one.probe,
        bits_per_byte=-one.probe if generates else None,
        layers=one.layers,
        parameters=one.parameters,
        fertility=one.fertility,
        licence=base.licence,
        model_gb=base.bytes / 1e9,
    )
