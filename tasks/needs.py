"""What one run of a pair needs on the hardware that the decision is for, as draws: measured here, or predicted for a GPU."""

from __future__ import annotations

import math

import numpy as np

from tasks import target
from tasks.evidence import DRAWS, Needs, Pair, deviates, measured_here, tokens_at
from tasks.params import Params
from tasks.recipes import recipe
from tasks.records import Peak

Z90 = 1.6449  # half of a 90 % interval, in standard deviations


def needs(settings: Params, pair: Pair, n: int) -> Needs:
    task, hardware = settings.use_case.task, settings.hardware
    if hardware.gpu is None or pair.branch == "baseline":  # a baseline uses no GPU: its time is that of a CPU like this one
        return measured_here(pair, task, n)
    if not pair.largest_rung:
        return Needs(np.zeros(DRAWS), None, None, reason=f"how fast {hardware.gpu} answers without training is not predicted")
    found = target.needed(
        pair.cells, pair.branch, pair.base, recipe(pair.branch, task, n), n, task, hardware.gpu, hardware.count
    )
    if isinstance(found, str):
        return Needs(None, None, None, tokens_at(pair, task, n), found)
    spread = math.log(found.hours.high90 / found.hours.value) / Z90
    return Needs(
        hours=found.hours.value * np.exp(spread * deviates("hours", *pair.key)),
        peak_gb=Peak(value=found.peak_gb, high=found.peak_gb_high),
        request_seconds=found.request_seconds,
        tokens=found.work.tokens,
        rests_on="; ".join(found.remarks),
    )
