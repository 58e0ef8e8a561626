"""The yardstick for domain text: an interpolated byte n-gram model with modified Kneser-Ney smoothing.

Chen and Goodman 1998 (TR-10-98, section 3, equation 18 and the discounts of 17): runs of the highest order count as
often as they occur, shorter ones as often as different bytes come before them; each count is lowered by one of three
discounts, and what that frees is shared out by the next shorter run. Bytes beyond what was seen get 1/256 of the rest.
The order is the one that foretells a held-out tenth of the training rows best. Imports neither torch nor transformers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.documents import Document, share
from tasks.serving import ngram
from tasks.serving.ngram import EDGE, Keys
from tasks.trainers import Job, Spent

Tables = dict[str, NDArray[Any]]


def train(job: Job, folder: Path) -> Spent:
    """Recipe: `orders` to choose from (up to 8), `max_entries` of all tables together, `max_new_bytes` of a continuation."""
    from safetensors.numpy import save_file

    texts = [document.text for document in job.documents]
    order, bits = _order(job)
    tables = fit(texts, order)
    while order > 1 and sum(len(table) for table in tables.values()) > job.recipe["max_entries"]:
        order -= 1
        tables = fit(texts, order)
    save_file(tables, folder / "ngram.safetensors")
    about = {
        "kind": "ngram",
        "labels": [],
        "order": order,
        "max_new_bytes": job.recipe["max_new_bytes"],
        "held_out_bits_per_byte": bits,
    }
    (folder / "serving.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    job.on_progress(1, 1)
    return Spent(1, 1, sum(len(text.encode()) for text in texts))


def _order(job: Job) -> tuple[int, dict[str, float]]:
    """The order with the fewest bits per byte on the rows held out, and the bits of each that was tried."""
    held = [d for d in job.documents if share("ngram", job.seed, d.group) < 0.1]
    kept = [d for d in job.documents if share("ngram", job.seed, d.group) >= 0.1]
    orders: list[int] = job.recipe["orders"]
    if not held or not kept or len(orders) == 1:
        return orders[len(orders) // 2], {}
    bits = {order: _bits_per_byte(kept, held, order) for order in orders}
    return min(orders, key=lambda order: bits[order]), {str(order): round(value, 4) for order, value in bits.items()}


def _bits_per_byte(kept: Sequence[Document], held: Sequence[Document], order: int) -> float:
    tables = fit([d.text for d in kept], order)
    texts = [d.text.encode() for d in held]
    nats = [-np.log(ngram.probabilities(tables, ngram.runs(ngram.with_edges(t, order), order)[:-1])).sum() for t in texts]
    return float(sum(nats) / np.log(2) / max(sum(map(len, texts)), 1))


def fit(texts: Sequence[str], order: int) -> Tables:
    """The tables that `tasks.serving.ngram` describes."""
    keys = np.concatenate([ngram.runs(ngram.with_edges(text.encode(), order), order) for text in texts])
    counted = _counts(keys, order)
    tables: Tables = {}
    for k, (known, counts) in enumerate(counted, 1):
        before = known >> np.uint64(8)
        starts = np.flatnonzero(np.concatenate([[True], before[1:] != before[:-1]]))
        kinds, discounts = np.minimum(counts, 3), _discounts(counts)
        totals = np.add.reduceat(counts, starts)
        freed = np.add.reduceat(discounts[kinds], starts) / totals
        widths = np.diff(np.append(starts, len(known)))
        own = (counts - discounts[kinds]) / np.repeat(totals, widths)
        rest = ngram.probabilities(tables, ngram.shorter(known, k - 1))
        tables[f"contexts.{k}"], tables[f"weights.{k}"] = before[starts], freed.astype(np.float32)
        tables[f"keys.{k}"], tables[f"shares.{k}"] = known, (own + np.repeat(freed, widths) * rest).astype(np.float32)
    return tables


def _counts(keys: Keys, order: int) -> list[tuple[Keys, NDArray[np.int64]]]:
    """For each order from 1: its runs, sorted, and their counts. Runs that begin at a text's edge have no bytes before them
    that could differ: they count as often as they occur."""
    known, counts = np.unique(keys, return_counts=True)
    found = [(known, counts)]
    raw = (known, counts)
    for k in range(order - 1, 0, -1):
        tails = ngram.shorter(known, k)
        known, different = np.unique(tails, return_counts=True)
        raw = _summed(ngram.shorter(raw[0], k), raw[1])
        at_edge = (known >> np.uint64(8 * (k - 1))) == EDGE if k > 1 else np.zeros(len(known), bool)
        found.append((known, np.where(at_edge, raw[1], different)))
    return found[::-1]


def _summed(keys: Keys, counts: NDArray[np.int64]) -> tuple[Keys, NDArray[np.int64]]:
    known, place = np.unique(keys, return_inverse=True)
    return known, np.bincount(place, weights=counts).astype(np.int64)


def _discounts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """What to take off a count of 0, 1, 2 and 3 or more. Where too few counts are so small to estimate it: a half."""
    once, twice, thrice, four = ((counts == times).sum() for times in (1, 2, 3, 4))
    if min(once, twice, thrice) == 0:
        return np.array([0.0, 0.5, 0.5, 0.5])
    y = once / (once + 2 * twice)
    found = np.array([0.0, 1 - 2 * y * twice / once, 2 - 3 * y * thrice / twice, 3 - 4 * y * four / thrice])
    discounts: NDArray[np.float64] = np.clip(found, [0.0, 0.1, 0.1, 0.1], [0.0, 0.95, 1.95, 2.95])
    return discounts
