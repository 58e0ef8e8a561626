"""A byte n-gram model: how likely each byte of a text is after the bytes before it, by counts alone.

`ngram.safetensors` holds for each order k = 1... the runs of k bytes that training has seen, as sorted whole numbers
(`keys.k`, the last byte lowest) with the probability of the last byte after the others (`shares.k`), and what comes before
the last byte (`contexts.k`) with the weight of the shorter run's answer where the longer has none (`weights.k`). The byte
255, which UTF-8 never has, stands before and after a text. `serving.json`: `order`, `max_new_bytes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Prompt, Told, one_by_one, silent

EDGE = 255
BYTES_A_BATCH = 2**20
Keys = NDArray[np.uint64]
Shares = NDArray[np.float32]


class Ngram:
    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        from safetensors.numpy import load_file

        self.order, self.max_new_bytes = int(about["order"]), int(about["max_new_bytes"])
        self.tables = load_file(folder / "ngram.safetensors")

    def nats(self, texts: Sequence[str]) -> list[float]:
        """The edge after a text is not counted: bits per byte are of the text's own bytes."""
        return [float(-np.log(self._shares(text.encode())).sum()) for text in texts]

    def answers(self, prompts: Sequence[Prompt], told: Told = silent) -> list[str]:
        return one_by_one(lambda p: self._continue(p if isinstance(p, str) else p[-1]["content"]), prompts, told)

    def _shares(self, text: bytes) -> NDArray[np.float64]:
        symbols = with_edges(text, self.order)
        parts = [
            probabilities(self.tables, runs(symbols[start : start + BYTES_A_BATCH + self.order - 1], self.order))
            for start in range(0, len(text), BYTES_A_BATCH)
        ]
        return np.concatenate(parts)[: len(text)] if parts else np.zeros(0)

    def _continue(self, prompt: str) -> str:
        last = [EDGE] * (self.order - 1) + list(prompt.encode())
        made = bytearray()
        while len(made) < self.max_new_bytes:
            context = 0
            for byte in last[len(last) - self.order + 1 :]:
                context = context << 8 | byte
            shares = probabilities(self.tables, np.uint64(context << 8) + np.arange(256, dtype=np.uint64))
            byte = int(shares.argmax())
            if byte == EDGE:
                break
            made.append(byte)
            last.append(byte)
        return made.decode("utf-8", "ignore")


def with_edges(text: bytes, order: int) -> NDArray[np.uint8]:
    """The text's bytes with `order` - 1 edges before and one after."""
    return np.frombuffer(b"\xff" * (order - 1) + text + b"\xff", np.uint8)


def runs(symbols: NDArray[np.uint8], order: int) -> Keys:
    """Each run of `order` symbols as one number, the last symbol lowest: shape (symbols - order + 1,)."""
    n = len(symbols) - order + 1
    made = np.zeros(n, np.uint64)
    for place in range(order):
        made = made << np.uint64(8) | symbols[place : place + n].astype(np.uint64)
    return made


def shorter(keys: Keys, order: int) -> Keys:
    """The last `order` symbols of each run."""
    return keys if order == 8 else keys & np.uint64((1 << 8 * order) - 1)


def probabilities(tables: dict[str, Any], keys: Keys) -> NDArray[np.float64]:
    """Of the last byte of each run after the others, (n,): that of the longest run known, weighted down to it."""
    found = np.full(len(keys), 1 / 256)
    order = 1
    while f"keys.{order}" in tables:
        own = shorter(keys, order)
        found *= look_up(tables[f"contexts.{order}"], tables[f"weights.{order}"], own >> np.uint64(8), 1.0)
        share = look_up(tables[f"keys.{order}"], tables[f"shares.{order}"], own, 0.0)
        found = np.where(share > 0, share, found)
        order += 1
    return found


def look_up(known: Keys, values: Shares, wanted: Keys, otherwise: float) -> NDArray[np.float64]:
    """The value beside each wanted key among the known ones, which are sorted."""
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, values[place], otherwise).astype(np.float64)
