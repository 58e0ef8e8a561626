"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "missing", "wrong"]
"""Wrong: it is there, but cannot be used."""


@dataclass(frozen=True)
class Finding:
    level: Level
    subject: str
    found: str
    mend: str = ""
    """What to do about it; empty where nothing is to be done."""
