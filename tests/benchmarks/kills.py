"""Kill a training from scratch with SIGKILL at random moments, again and again; it must end in the bits of one that was not.

    python -m tests.benchmarks.kills [KILLS]                             50 kills take three minutes of one core

Packed data, a checkpoint at every step: a kill may hit a step, the writing of a checkpoint, or the start itself.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
from tasks import trainers
from tests.trainers.language import make_job
folder = Path(sys.argv[1])
job = make_job("scratch", folder, None, recipe={"epochs": 60})
trainers.train(replace(job, checkpoints=folder / "checkpoints", metrics=folder / "metrics.jsonl", checkpoint_every_seconds=0.0))
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "."}
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], env=environment)


def steps(folder: Path) -> list[int]:
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("}")]


def main(kills: int) -> None:
    draw, done = random.Random(0), 0
    with tempfile.TemporaryDirectory() as place:
        straight, killed = Path(place) / "straight", Path(place) / "killed"
        began = time.monotonic()
        assert start(straight).wait() == 0
        seconds, planned = time.monotonic() - began, len(steps(straight))
        while done < kills:
            child = start(killed)
            try:
                child.wait(draw.uniform(0.2, 1.2) * (2 + (seconds - 2) / 10))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                done += 1
                continue
            assert child.returncode == 0, f"ended with {child.returncode} after {done} kills"
            _same(straight, killed, planned)
            for path in sorted(killed.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        assert start(killed).wait() == 0
        _same(straight, killed, planned)
    print(json.dumps({"kills": done, "steps": planned, "bits_differ": False, "steps_lost_or_twice": 0}))


def _same(straight: Path, killed: Path, planned: int) -> None:
    assert steps(killed) == list(range(1, planned + 1)), "a step was lost or done twice"
    models = [(folder / "model" / "model.safetensors").read_bytes() for folder in (straight, killed)]
    assert models[0] == models[1], "other bits"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
