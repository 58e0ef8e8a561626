"""Which rows each pilot cell trains on and is measured on: a ladder of nested subsets, or cross-validation.

A ladder needs three rungs below what is left beside the held-out rows. With fewer rows than that, five folds of the
whole training split take its place: one rung, and the folds are the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.documents import Document, share

HELDOUT_SHARE = 0.2
HELDOUT_MOST = 2000  # rows; a standard error of one point at 80 % accuracy
FOLDS = 5
FEWEST_RUNGS = 3


@dataclass(frozen=True)
class Step:
    """One cell to measure: `train` rows, `heldout` rows, and the seed that drew them."""

    n: int
    seed: int
    train: tuple[Document, ...]
    heldout: tuple[Document, ...]


@dataclass(frozen=True)
class Ladder:
    regime: Literal["ladder", "cross-validation"]
    screen: list[Step]
    pilot: list[Step]
    """The upper rungs; empty with cross-validation, where the screen has measured all there is."""
    whole: list[Step]
    """One step with every row that is not held out, for branches whose full run costs less than their pilots."""


def ladder(documents: list[Document], rungs: list[int], seeds: int) -> Ladder:
    """All steps for these training rows. Each is a function of the rows' groups alone, never of their order."""
    heldout, pool = _set_aside(documents)
    usable = [rung for rung in rungs if rung <= len(pool)]
    if len(usable) < min(FEWEST_RUNGS, len(rungs)):
        return Ladder("cross-validation", _folds(documents), [], [])
    low = usable[: (len(usable) + 1) // 2]
    high = usable[len(low) :]
    whole = [Step(len(pool), 0, tuple(pool), heldout)] if len(pool) > usable[-1] else []
    return Ladder("ladder", _steps(pool, heldout, low, seeds), _steps(pool, heldout, high, seeds), whole)


def subset(pool: list[Document], n: int, seed: int) -> tuple[Document, ...]:
    """The first `n` rows in an order that only the seed and each row's id decide: smaller subsets lie in larger ones."""
    return tuple(sorted(pool, key=lambda d: (share("subset", seed, d.id), d.id))[:n])


def _steps(pool: list[Document], heldout: tuple[Document, ...], rungs: list[int], seeds: int) -> list[Step]:
    return [Step(n, seed, subset(pool, n, seed), heldout) for n in rungs for seed in range(seeds)]


def _set_aside(documents: list[Document]) -> tuple[tuple[Document, ...], list[Document]]:
    """Held-out rows and the rest; whole groups, by the hash of the group, so that a new row moves no old one."""
    part = min(HELDOUT_SHARE, HELDOUT_MOST / len(documents))
    heldout = tuple(d for d in documents if share("heldout", d.group) < part)
    return heldout, [d for d in documents if share("heldout", d.group) >= part]


def _folds(documents: list[Document]) -> list[Step]:
    folds = [[d for d in documents if int(share("fold", d.group) * FOLDS) == fold] for fold in range(FOLDS)]
    rest = [[d for other in folds if other is not fold for d in other] for fold in folds]
    return [
        Step(len(train), seed, tuple(train), tuple(held)) for seed, (train, held) in enumerate(zip(rest, folds, strict=True))
    ]
