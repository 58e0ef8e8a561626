"""Caps stop a training with a checkpoint and exit code 75; raised, it goes on. What influenced the weights is recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import documents
from tasks.caps import cap
from tasks.params import Hardware
from tasks.records import Influences, Plan, sha256_of_file
from tasks.stage import UserError
from tests.trainers.language import make_job, sentences

HERE = Hardware(usd_per_gpu_hour=(0.05, 0.10))
GPUS = Hardware(gpu="A100", count=4, usd_per_gpu_hour=(1.0, 2.0))


def test_money_counts_at_the_highest_price_of_all_the_hardware() -> None:
    assert cap({"CROSSOVER_MAX_USD": "1"}, HERE).seconds == pytest.approx(36_000)  # type: ignore[union-attr]
    assert cap({"CROSSOVER_MAX_USD": "1"}, GPUS).seconds == pytest.approx(450)  # type: ignore[union-attr]


def test_of_several_caps_the_first_reached_holds_and_says_so() -> None:
    found = cap({"CROSSOVER_MAX_HOURS": "2", "CROSSOVER_MAX_KWH": "0.1", "CROSSOVER_WATTS": "200"}, HERE)
    assert found is not None
    assert found.seconds == pytest.approx(1800)
    assert "CROSSOVER_MAX_KWH = 0.1" in found.words
    assert cap({}, HERE) is None


def test_energy_counts_at_the_power_of_the_declared_hardware_unless_the_launch_names_another() -> None:
    told = {"CROSSOVER_MAX_KWH": "1"}
    assert cap(told, HERE.model_copy(update={"watts": 100.0})).seconds == pytest.approx(36_000)  # type: ignore[union-attr]
    assert cap(told, GPUS.model_copy(update={"watts": 250.0})).seconds == pytest.approx(3600)  # type: ignore[union-attr]
    other = cap(told | {"CROSSOVER_WATTS": "500"}, GPUS)
    assert other is not None
    assert (other.seconds, "at 500 W" in other.words) == (pytest.approx(7200), True)


@pytest.mark.parametrize("given", [{"CROSSOVER_MAX_KWH": "1"}, {"CROSSOVER_MAX_USD": "a lot"}, {"CROSSOVER_MAX_HOURS": "0"}])
def test_a_cap_that_cannot_be_held_is_the_users_mistake(given: dict[str, str]) -> None:
    with pytest.raises(UserError, match=next(iter(given))):
        cap(given, HERE)


def test_a_cap_of_money_wants_a_declared_price() -> None:
    with pytest.raises(UserError, match=r"CROSSOVER_MAX_USD = 1: give hardware\.usd_per_gpu_hour"):
        cap({"CROSSOVER_MAX_USD": "1"}, Hardware(usd_per_gpu_hour=None))


def start(folder: Path, **told: object) -> subprocess.CompletedProcess[str]:
    job = make_job("scratch", folder, None)
    documents.write(sentences(160), folder / "rows.jsonl")
    plan = Plan(task="text-generation", branch="scratch", base_model=None, recipe=job.recipe)
    (folder / "job.json").write_text(
        json.dumps({"plan": plan.model_dump(mode="json"), "rows": str(folder / "rows.jsonl")} | told)
    )
    command = [sys.executable, "-m", "tasks.trainers.job", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_capped_training_stops_with_75_and_a_raised_cap_continues_and_the_rows_alone_influenced_it(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    stopped = start(tmp_path / "run", max_seconds=1e-6, cap="CROSSOVER_MAX_USD = 1e-9 is")
    assert stopped.returncode == 75, stopped.stderr
    assert "stopped at step 1 of" in stopped.stderr
    assert "CROSSOVER_MAX_USD = 1e-9 is used up; raise the cap" in stopped.stderr
    assert start(tmp_path / "run", max_seconds=1e6).returncode == 0
    lines = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, lines[-1] + 1)), "no step was done twice"
    trained = json.loads((tmp_path / "run" / "trained.json").read_text())
    known = Influences.model_validate(trained["influences"])
    assert known.own_data_only
    assert known.rows == documents.sha256(sentences(160))
    assert known.code["tasks.trainers.causal.llama"] == sha256_of_file(Path("tasks/trainers/causal/llama.py"))
    assert "torch" in known.packages
    assert "transformers" not in known.packages
    assert (known.base, known.other_files, known.connections) == ({}, {}, [])
    (tmp_path / "straight").mkdir()
    assert start(tmp_path / "straight").returncode == 0
    models = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("run", "straight")]
    assert models[0] == models[1]


def test_another_file_that_is_read_or_a_connection_is_told(tmp_path: Path) -> None:
    code = """
import json, socket, sys
from pathlib import Path
from tasks.trainers.influences import influences, watch
seen, rows, other = watch(), Path(sys.argv[1]), Path(sys.argv[2])
rows.read_text(); other.read_text()
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError:
    pass
print(influences(seen, rows, "x", {}, Path("unused")).model_dump_json())
"""
    for name in ("rows", "other"):
        (tmp_path / name).write_text(name)
    command = [sys.executable, "-c", code, str(tmp_path / "rows"), str(tmp_path / "other")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = Influences.model_validate_json(done.stdout)
    assert list(told.other_files) == [str(tmp_path / "other")]
    assert told.connections == ["('127.0.0.1', 9)"]
    assert not told.own_data_only
