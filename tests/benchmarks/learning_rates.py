"""How much the learning rate of a language model's recipe matters: bits per byte of held-out texts, by rate.

    python -m tests.benchmarks.learning_rates data/movie-reviews.jsonl scratch - 400 0.001 0.003    branch, base, rows, rates
    python -m tests.benchmarks.learning_rates data/metamath.jsonl lora SmolLM2-135M 100 0.0002 0.0005    a minute or two a rate
    ... 100 0.0002 tokens_a_step=512                                     with other settings of the recipe changed as well

The texts of the file, without labels; all else as the recipe has it. One seed: differences below 0.01 are noise.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tasks import answers, serving, shelf, trainers
from tasks.documents import Document, share
from tasks.recipes import recipe

TASK = "text-generation"
HELD_OUT = 200


def rows_of(data: Path) -> list[Document]:
    lines = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    return sorted((Document(r["id"], r["text"], "", r["id"]) for r in lines), key=lambda d: share("benchmark", d.id))


def measured(data: Path, branch: str, base: str | None, n: int, changes: dict[str, Any]) -> tuple[float, float]:
    """Bits per byte and CPU-seconds of a training on `n` rows."""
    rows, plan = rows_of(data), recipe(branch, TASK, n) | changes
    with tempfile.TemporaryDirectory() as place:
        folder, found = Path(place) / "model", shelf.folder(base) if base else None
        took = trainers.train(trainers.Job(branch, plan, found, [], rows[HELD_OUT:][:n], 0, folder, task=TASK))
        rows_measured = answers.measured(serving.load_generator(folder), rows[:HELD_OUT])
    return float(answers.score("bits_per_byte", rows_measured)[0]), took.cpu_seconds


def main() -> None:
    if len(sys.argv) < 6:
        sys.exit(str(__doc__))
    data, branch, base, n = Path(sys.argv[1]), sys.argv[2], sys.argv[3].strip("-") or None, int(sys.argv[4])
    own = recipe(branch, TASK, n).get("learning_rate")
    more = {name: json.loads(value) for name, is_setting, value in (a.partition("=") for a in sys.argv[5:]) if is_setting}
    for rate in (float(argument) for argument in sys.argv[5:] if "=" not in argument):
        bits, seconds = measured(data, branch, base, n, {"learning_rate": rate, **more})
        mark = "  <- the recipe's" if rate == own and not more else ""
        what = ", ".join(
            [data.stem, branch, base or "no base", f"{n} rows", f"rate {rate:g}", *(f"{k} {v}" for k, v in more.items())]
        )
        print(f"{what}: {bits:.3f} bits per byte, {seconds:.0f} CPU-s{mark}", flush=True)


if __name__ == "__main__":
    main()
