"""MLflow as a projection of the records, with a real store."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import records, tracking, workspace
from tasks.records import Judged
from tests import use_case
from tests.use_case import NAME, pilots, settings

ROOT = Path(__file__).parent.parent
# MLflow 3.17 against SQLAlchemy 2.1; not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Iterator[Path]:
    """A use case with records, the current folder of this test, and a store where people look for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = use_case.repository(tmp_path / "person", settings())
    use_case.trained(180)
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    yield folder
    use_case.leave()


def all_runs() -> list[Any]:
    api = tracking.client()
    found = api.get_experiment_by_name(NAME)
    return list(api.search_runs([found.experiment_id])) if found else []


def by_kind(kind: str) -> list[Any]:
    return [run for run in all_runs() if run.data.tags.get("kind") == kind]


@pytest.mark.usefixtures("repo")
def test_every_record_is_one_run_under_the_use_case_at_its_data() -> None:
    pilots("full", [10, 20], "screen")
    pilots("baseline", [40])
    assert tracking.project(settings()) == 1 + 6 + 3
    (parent,) = by_kind("use case")
    children = [run for run in all_runs() if run is not parent and run.info.run_id != parent.info.run_id]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    (cell,) = (run for run in by_kind("cell") if run.info.run_name == "full 20 rows seed 1")
    assert cell.data.params["recipe.epochs"] == "3"
    assert (cell.data.params["branch"], cell.data.params["n"], cell.data.params["seed"]) == ("full", "20", "1")
    assert (cell.data.metrics["accuracy"], cell.data.metrics["cpu_seconds"]) == (0.7, 0.2)
    assert cell.info.end_time - cell.info.start_time == 200
    assert parent.data.tags["dvc.md5"] == cell.data.tags["dvc.md5"] == "d41d8cd9"
    assert len(parent.data.tags["mlflow.source.git.commit"]) == 40


@pytest.mark.usefixtures("repo")
def test_a_second_call_adds_nothing_and_a_new_cell_adds_one_run() -> None:
    pilots("full", [10, 20], seeds=1)
    tracking.project(settings())
    assert tracking.project(settings()) == 0
    pilots("full", [10, 20, 40], seeds=1)
    assert tracking.project(settings()) == 1
    assert len(by_kind("cell")) == 3


@pytest.mark.usefixtures("repo")
def test_other_data_is_another_parent_and_records_made_from_the_old_rows_wait() -> None:
    pilots("full", [10], seeds=1)
    tracking.project(settings())
    records.write(use_case.audit("train-2"), Path("results/audit.json"))
    lock = {
        "audit": {"outs": [{"path": "data/split/train.jsonl", "md5": "new"}]},
        "pilot@full": {"deps": [{"path": "data/split/train.jsonl", "md5": "old"}]},
        "train": {"deps": [{"path": "data/split/train.jsonl", "md5": "new"}]},
    }
    Path("dvc.lock").write_text(json.dumps({"stages": lock}))
    tracking.project(settings())
    assert len(by_kind("use case")) == 2
    assert len(by_kind("training")) == 2
    assert len(by_kind("cell")) == 1


@pytest.mark.usefixtures("repo")
def test_old_files_of_branches_that_are_not_asked_for_are_not_read() -> None:
    pilots("lora", [10])
    tracking.project(settings())
    assert by_kind("cell") == []


@pytest.mark.usefixtures("repo")
def test_a_run_that_was_cut_short_is_completed_not_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    pilots("full", [10], seeds=1)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tracking.project(settings())
    assert [run.info.status for run in all_runs()] == ["RUNNING"]
    tracking.project(settings())
    assert len(by_kind("use case")) == 1
    assert {run.info.status for run in all_runs()} == {"FINISHED"}


@pytest.mark.usefixtures("repo")
def test_the_steps_of_a_training_are_a_curve_without_its_infinite_values() -> None:
    kept = workspace.shared() / "metrics"
    kept.mkdir()
    plan_sha256 = records.sha256_of(use_case.plan().model_dump(mode="json"))
    lines = [{"step": step, "loss": 1 / step, "lr": 0.1, "grad_norm": float("inf")} for step in range(1, 1201)]
    (kept / f"{plan_sha256}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    margins = [{"step": step, "reward_margin": 0.1 * step} for step in (1, 2)]
    (kept / f"{plan_sha256}.preference.jsonl").write_text("".join(json.dumps(line) + "\n" for line in margins))
    tracking.project(settings())
    (run,) = by_kind("training")
    history = tracking.client().get_metric_history(run.info.run_id, "train.loss")
    assert [(m.step, m.value) for m in history[:2]] == [(1, 1.0), (2, 0.5)]
    assert len(history) == 1200
    assert "train.grad_norm" not in run.data.metrics
    history = tracking.client().get_metric_history(run.info.run_id, "preference.reward_margin")
    assert [(m.step, m.value) for m in history] == [(1, 0.1), (2, 0.2)]


def command(repo: Path, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.tracking"],
        cwd=repo,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
    )
    return done.returncode, done.stdout + done.stderr


def test_an_mlflow_that_is_down_is_one_line_without_its_password_and_no_failure(repo: Path) -> None:
    code, said = command(repo, MLFLOW_TRACKING_URI="http://me:secret@127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert code == 0
    assert said.startswith("MLflow at http://127.0.0.1:9 is not up to date, `python -m tasks.tracking` mends it: ")
    assert said.count("\n") == 1
    assert "secret" not in said


def test_the_command_says_one_line(repo: Path) -> None:
    pilots("full", [10], seeds=1)
    assert command(repo) == (0, "MLflow: 5 runs added\n")
    assert command(repo) == (0, "MLflow shows all records\n")


def test_a_store_that_was_lost_is_filled_again(repo: Path, empty_store: Path) -> None:
    assert tracking.project(settings()) == 4
    (repo / "mlflow.db").rename(repo / "lost.db")
    (repo / "mlflow.db").write_bytes(empty_store.read_bytes())
    assert command(repo) == (0, "MLflow: 4 runs added\n")


def test_the_files_of_a_run_are_readable_without_a_server(repo: Path) -> None:
    tracking.project(settings())
    (run,) = by_kind("evaluation")
    assert run.info.artifact_uri.startswith((repo / "mlartifacts" / NAME).as_uri())
    assert (repo / "mlartifacts" / NAME / run.info.run_id / "artifacts" / "evaluation.json").exists()


@pytest.mark.usefixtures("repo")
def test_what_a_judge_says_of_the_model_and_its_baselines_is_shown() -> None:
    seen = use_case.evaluated()
    heard = {
        "metrics": seen.metrics | {"judge": 0.7},
        "baselines": {name: of | {"judge": 0.4} for name, of in seen.baselines.items()},
        "judge": Judged(command="./judge", value=0.7, diff=[seen.diff[0].model_copy(update={"value": 0.3})]),
    }
    records.write(seen.model_copy(update=heard), Path("results/evaluation.json"))
    tracking.project(settings())
    metrics = by_kind("evaluation")[0].data.metrics
    assert (metrics["judge"], metrics["tfidf.judge"], metrics["judge.ahead_of.majority"]) == (0.7, 0.4, 0.3)
    assert metrics["ahead_of.majority"] == seen.diff[0].value
