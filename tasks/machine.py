"""The machine that measures, as records name it."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path


@cache
def name() -> str:
    """What computes here, without a name that could tell whose it is."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {cores()} cores"


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))
