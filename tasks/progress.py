"""Progress of long work: one line on stderr every two seconds, or, where somebody else shows it, in a file.

A flow names a file in CROSSOVER_PROGRESS and reads its last line: {"done", "total", "unit", "what", "eta_seconds"}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field

SECONDS_BETWEEN_LINES = 2.0


@dataclass
class Progress:
    """Counts `total` units of `what`; the ETA assumes that units cost alike, so weigh them if they do not."""

    what: str
    total: float
    unit: str = "steps"
    _start: float = field(default_factory=time.monotonic)
    _said: float = 0.0

    def at(self, done: float, note: str = "") -> None:
        """Report `done` units; prints at most every two seconds, and always at the end."""
        now = time.monotonic()
        if now - self._said < SECONDS_BETWEEN_LINES and done < self.total:
            return
        self._said = now
        eta = (now - self._start) / done * (self.total - done) if done else None
        if path := os.environ.get("CROSSOVER_PROGRESS"):
            self._tell(path, done, eta, note)
        else:
            self._print(done, eta, note)

    def _print(self, done: float, eta: float | None, note: str) -> None:
        left = "" if eta is None else f", {eta:.0f} s left"
        about = f" ({note})" if note else ""
        print(f"{self.what}: {done:,.0f} of {self.total:,.0f} {self.unit}{about}{left}", file=sys.stderr)

    def _tell(self, path: str, done: float, eta: float | None, note: str) -> None:
        line = {"done": done, "total": self.total, "unit": self.unit, "what": self.what, "eta_seconds": eta, "note": note}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
