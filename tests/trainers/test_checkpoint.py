"""Killed at any step, a training continues to the same bits; asked to stop, it stops within one step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import trainers
from tasks.stage import Interrupted
from tasks.trainers import Job

MakeJob = Callable[..., Job]
CHILD = """
import faulthandler, json, sys
from pathlib import Path
from tasks import stage, trainers
from tests.trainers.conftest import make_rows

faulthandler.dump_traceback_later(120, exit=True)  # a child that hangs says where

def main(told: Path) -> None:
    fields = json.loads(told.read_text())
    paths = {name: Path(fields[name]) for name in ("base", "folder", "checkpoints", "metrics")}
    rows = make_rows(96, ["negative", "positive"])
    trainers.train(trainers.Job(**fields | paths, documents=rows, on_progress=lambda done, total: print(done, flush=True)))

stage.run(main)
"""


def kill_after(step: int, job: Job, folder: Path) -> list[int]:
    """Run `job` in a process of its own that saves at every step, SIGKILL it after `step`; the steps that it told of."""
    fields = {name: str(getattr(job, name)) for name in ("branch", "base", "folder", "checkpoints", "metrics")}
    fields |= {"recipe": job.recipe, "labels": job.labels, "seed": job.seed, "checkpoint_every_seconds": 0.0}
    (folder / "job.json").write_text(json.dumps(fields))
    command = [sys.executable, "-c", CHILD, str(folder / "job.json")]
    steps = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."}) as child:
        assert child.stdout is not None
        for line in child.stdout:
            steps.append(int(line))
            if steps[-1] == step:
                child.kill()
    assert child.returncode == -signal.SIGKILL
    return steps


def job_of(make_job: MakeJob, tmp_path: Path) -> Job:
    recipe = {"dropout": 0.1, "epochs": 4}
    return make_job("full", recipe=recipe, checkpoints=tmp_path / "checkpoints", metrics=tmp_path / "metrics.jsonl")


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def uninterrupted(job: Job, tmp_path: Path) -> Path:
    trainers.train(replace(job, checkpoints=None, metrics=None, folder=tmp_path / "straight"))
    return tmp_path / "straight"


def interrupted(job: Job, after: int) -> None:
    """Send `job` SIGTERM after a step; it ends with the exit code of an interrupted stage."""

    def stop(done: int, _total: int) -> None:
        if done == after:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match=f"step {after} of") as raised:
        trainers.train(replace(job, on_progress=stop))
    assert raised.value.exit_code == 75


def test_killed_with_sigkill_a_training_resumes_to_the_same_bits(make_job: MakeJob, tmp_path: Path) -> None:
    job, seen = job_of(make_job, tmp_path), list[int]()
    steps = kill_after(4, job, tmp_path)
    trained = trainers.train(replace(job, on_progress=lambda done, _total: seen.append(done)))
    assert 3 <= seen[0] - 1 <= steps[-1], "continues from a checkpoint, not from the start"
    assert trained.steps_done == trained.steps_planned == seen[-1]
    assert weights(job.folder) == weights(uninterrupted(job, tmp_path))
    lines = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, trained.steps_planned + 1))


def test_sigterm_saves_and_stops_within_one_step_and_a_resume_gives_the_same_bits(make_job: MakeJob, tmp_path: Path) -> None:
    job, seen = job_of(make_job, tmp_path), list[int]()
    interrupted(job, after=5)
    assert not job.folder.exists()
    trainers.train(replace(job, on_progress=lambda done, _total: seen.append(done)))
    assert seen[0] == 6
    assert weights(job.folder) == weights(uninterrupted(job, tmp_path))


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(make_job: MakeJob, tmp_path: Path) -> None:
    job, seen = replace(job_of(make_job, tmp_path), checkpoint_every_seconds=0.0), list[int]()
    interrupted(job, after=6)
    newest, older = sorted((tmp_path / "checkpoints").iterdir(), reverse=True)
    damaged = bytearray((newest / "weights.safetensors").read_bytes())
    damaged[-1] ^= 1
    (newest / "weights.safetensors").write_bytes(bytes(damaged))
    trainers.train(replace(job, on_progress=lambda done, _total: seen.append(done)))
    assert older.name == "step-0000000005"
    assert seen[0] == 6
    assert weights(job.folder) == weights(uninterrupted(job, tmp_path))


@pytest.mark.parametrize("left", ["step-0000000099", ".part-1"])
def test_a_half_written_checkpoint_is_no_checkpoint(left: str, make_job: MakeJob, tmp_path: Path) -> None:
    job, seen = job_of(make_job, tmp_path), list[int]()
    interrupted(job, after=3)
    (tmp_path / "checkpoints" / left).mkdir()
    (tmp_path / "checkpoints" / left / "weights.safetensors").write_bytes(b"")
    trainers.train(replace(job, on_progress=lambda done, _total: seen.append(done)))
    assert seen[0] == 4


def test_a_checkpoint_of_other_rows_or_another_recipe_is_not_used(make_job: MakeJob, tmp_path: Path) -> None:
    job = job_of(make_job, tmp_path)
    interrupted(job, after=3)
    others = [replace(job, documents=job.documents[:-1]), replace(job, recipe=job.recipe | {"clip": 2.0}), replace(job, seed=1)]
    for other in others:
        seen: list[int] = []
        stopping = replace(
            other, on_progress=lambda done, _total, seen=seen: seen.append(done), max_seconds=0.0, checkpoints=None
        )
        with pytest.raises(Interrupted):
            trainers.train(replace(stopping, checkpoints=job.checkpoints, max_seconds=0.0))
        assert seen == [1]


def test_a_cap_stops_with_a_checkpoint_and_time_used_adds_up_over_attempts(make_job: MakeJob, tmp_path: Path) -> None:
    job, seen = job_of(make_job, tmp_path), list[int]()
    noting = replace(job, on_progress=lambda done, _total: seen.append(done))
    for _ in range(3):
        with pytest.raises(Interrupted, match="raise the cap"):
            trainers.train(replace(noting, max_seconds=0.0))
    assert seen == [1, 2, 3]
    trained = trainers.train(replace(noting, max_seconds=600.0))
    state = json.loads((sorted((tmp_path / "checkpoints").iterdir())[-1] / "state.json").read_text())["state"]
    assert trained.cpu_seconds > state["cpu_seconds"] > 0
    assert weights(job.folder) == weights(uninterrupted(job, tmp_path))


def test_only_two_checkpoints_are_kept_and_none_holds_a_pickle(make_job: MakeJob, tmp_path: Path) -> None:
    interrupted(replace(job_of(make_job, tmp_path), checkpoint_every_seconds=0.0), after=5)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-0000000004", "step-0000000005"]
    files = {path.name for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()}
    assert files == {"weights.safetensors", "moments.safetensors", "state.json", "manifest.json"}
