"""What a person at a terminal sees of a run: what the stages say and, under it, one line with progress and time left.

Flows say their lines through `say`; only `make run` shows them (`Terminal`), elsewhere they go to Prefect's logs alone.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any

from prefect import get_run_logger

from tasks import workspace

log = logging.getLogger("crossover")
SECONDS_BETWEEN_LINES = 15.0
"""Of progress, where the output is not a terminal."""


def say(line: str, where: str = "") -> None:
    """To the log of the flow or task run, and to the terminal."""
    get_run_logger().info(line)
    log.info(line if not where or line.startswith(f"{where}: ") else f"{where}: {line}")


class Ahead:
    """The stages that a run may still have before it, and how long they took last time."""

    def __init__(self, stages: list[str]) -> None:
        self.stages, self.total = list(stages), len(stages)
        self._path = workspace.shared() / "stage_seconds.json"

    def progress(self, stage: str, told: dict[str, Any] | None) -> None:
        """Show one line: where the stage is, its time left, and that of what may follow as far as it is known."""
        parts = [f"[{self.total - len(self.stages) + 1} of {self.total}] {stage}"]
        if told:
            note = f" ({told['note']})" if told.get("note") else ""
            parts.append(f"{told['what']}: {told['done']:,.0f} of {told['total']:,.0f} {told['unit']}{note}")
        left = self._left(stage, told.get("eta_seconds") if told else None)
        log.debug(" · ".join(parts + ([left] if left else [])))

    def finished(self, stage: str, seconds: float | None) -> None:
        """`seconds`: null for a stage that did not run to its end."""
        self.stages.remove(stage)
        if seconds is not None:
            self._path.write_text(json.dumps(self._last() | {stage: round(seconds, 1)}, indent=1))

    def _left(self, stage: str, eta: float | None) -> str:
        """Of the stage, and apart of those after it: which of them DVC need not run shows only when it comes to them."""
        last = self._last()
        later = [last.get(other, last.get(other.partition("@")[0])) for other in self.stages if other != stage]
        known = sum(seconds for seconds in later if seconds is not None)
        said = [f"about {duration(eta)} left"] if eta is not None else []
        return ", ".join(said + ([f"then up to {duration(known)} by earlier runs"] if known else []))

    def _last(self) -> dict[str, float]:
        try:
            return dict(json.loads(self._path.read_text()))
        except (FileNotFoundError, ValueError):
            return {}


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Terminal(logging.Handler):
    """Lines (INFO) stay; progress (DEBUG) is one line that is written over, or one every 15 s where nobody watches."""

    def __init__(self) -> None:
        super().__init__()
        self._watched = sys.stderr.isatty()
        self._said, self._last = time.monotonic(), ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno > logging.DEBUG:
            self._write(text, end="\n")
        elif self._watched:
            self._write(text[:119], end="")
        elif text != self._last and time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said, self._last = time.monotonic(), text
            self._write(text, end="\n")

    def _write(self, text: str, end: str) -> None:
        print(("\r\x1b[K" if self._watched else "") + text, end=end, file=sys.stderr, flush=True)


def show() -> None:
    """From now on, show this process's runs at the terminal."""
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.handlers = [Terminal()]


def artifact_key(*words: str) -> str:
    """Stable and as Prefect wants it: small letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
