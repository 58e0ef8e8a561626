"""`make bench`: Crossover against the usual tools, into one file. `python -m tests.benchmarks OUT.json [NAME...]`

A list of {area, measure, ours, theirs, ratio, against, versions}; ratio above 1: ours is better. Each contender is a fresh
process on one core, interleaved; what counts is CPU time, so that other work beside it disturbs little. A benchmark whose
reference is not installed is left out, and said to be.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = ("start", "overhead", "text_classification", "pretrain", "lora", "scoring")


def main(out: Path, names: list[str]) -> None:
    rows: list[dict[str, Any]] = []
    for name in names or BENCHMARKS:
        try:
            measured = importlib.import_module(f"tests.benchmarks.{name}").measure()
        except ModuleNotFoundError as error:
            print(f"{name}: left out, {error.name} is not installed", file=sys.stderr)
            continue
        rows += measured
        out.write_text(json.dumps(rows, indent=1) + "\n")
        for row in measured:
            print(
                f"{row['ratio']:7.2f} x  {row['measure']}: {row['ours']} against {row['theirs']} ({row['against']})", flush=True
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
