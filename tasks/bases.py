"""Which base model to pilot first: a ranking from one cheap look at the user's data, before anything is fine-tuned.

The look: every candidate reads a few hundred training rows once, frozen, and a linear probe on its mean states is scored on
held-out folds of them. A doubling of the layers counts as much as one standard error of that score, for fine-tuning changes
deep models more than a probe can show. How good the ranking is against piloting every candidate is
measured by `tests/benchmarks/bases.py`. It does not say how good any of them will be, nor weigh licences, size or cost:
hard limits come before it (`tasks.constraints`).
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
    """Mean log-likelihood, nats, that a linear probe gives the label of a row it has not seen."""
    layers: int
    parameters: int
    fertility: float | None
    """Tokens a word: what the text costs to read."""


NOISE = 0.02
"""Nats: about one standard error of a probe's score on 300 rows; what a doubling of the layers is worth. Not tuned."""


def ranking(screened: Sequence[Screened]) -> list[Screened]:
    """Best first; of equals the smaller model."""
    return sorted(screened, key=lambda one: (-one.probe - NOISE * math.log2(max(one.layers, 1)), one.parameters, one.name))


def ranked(cells: Sequence[Cell], candidates: Sequence[Candidate]) -> list[RankedBase]:
    """The candidates that a screen of branch `probe` has measured, best first, with what else counts beside the rank.

    The score is that of the largest rung on which all of them were measured, the mean over its seeds. A candidate without
    a cell, or of unknown shape, is left out.
    """
    about = {one.name: one for one in candidates if one.shape}
    mine = [cell for cell in cells if cell.branch == "probe" and cell.base_model in about and cell.quality.log_loss is not None]
    rungs = [{cell.n for cell in mine if cell.base_model == name} for name in {cell.base_model for cell in mine}]
    shared = max(set.intersection(*rungs), default=None) if rungs else None
    losses: dict[str, list[float]] = {}
    for cell in mine:
        if cell.n == shared:
            losses.setdefault(str(cell.base_model), []).append(cell.quality.log_loss or 0.0)
    found = [_screened(about[name], -sum(each) / len(each)) for name, each in losses.items()]
    return [_record(place, one, about[one.name]) for place, one in enumerate(ranking(found), 1)]


def _screened(base: Candidate, probe: float) -> Screened:
    assert base.shape
    return Screened(base.name, probe, int(base.shape["layers"]), base.parameters, base.fertility)


def _record(place: int, one: Screened, base: Candidate) -> RankedBase:
    return RankedBase(
        rank=place,
        name=one.name,
        probe_log_loss=-one.probe,
        layers=one.layers,
        parameters=one.parameters,
        fertility=one.fertility,
        licence=base.licence,
        model_gb=base.bytes / 1e9,
    )
