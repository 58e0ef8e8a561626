"""Which rows an optimizer step trains on, and how they are split into passes: pure functions of the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tasks import serving

Order = Callable[[int], list[list[int]]]
"""An epoch to the rows of each of its steps."""


def kept(order: Order) -> Order:
    """The same, drawn once an epoch: steps are asked for one after the other."""
    return lru_cache(maxsize=1)(order)


def passes(step: int, a_epoch: int, order: Order, lengths: Sequence[int] | NDArray[np.int64], tokens: int) -> list[list[int]]:
    """The rows of each pass of a step, of like length together: at most `tokens` long with padding, but at least one row."""
    epoch, place = divmod(step, a_epoch)
    rows = order(epoch)[place]
    return [[rows[i] for i in part] for part in serving.by_length([int(lengths[row]) for row in rows], tokens)]
