"""What the stage takes over from a training that has ended: the record, the metrics, a word about what was cut off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import documents, records, train, workspace
from tasks.documents import Document
from tasks.records import Plan, Training
from tests import use_case

ROWS = [Document(f"r{i}", f"word{i}", "ab"[i % 2], f"r{i}") for i in range(40)]
PLAN = Plan(branch="full", base_model=None, recipe={"max_tokens": 8})
KEY = records.sha256_of(PLAN.model_dump(mode="json"))


@pytest.fixture(autouse=True)
def _repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    use_case.repository(tmp_path / "person", use_case.settings())
    documents.write(ROWS, Path("rows.jsonl"))
    yield
    use_case.leave()


def taken(folder: Path, **told: Any) -> Training:
    """The record of a training that left this, and a model, in `folder`."""
    ended = {"steps_done": 3, "steps_planned": 3, "cpu_seconds": 1.0, "wall_seconds": 1.0, "peak_gb": 0.1, "tokens": 9}
    ended |= {"influences": None, "cut_rows": 0, "cut_tokens": 0}
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "serving.json").write_text("{}")
    (folder / "trained.json").write_text(json.dumps(ended | told))
    train._take(folder, PLAN, Path("rows.jsonl"), Path("model"), Path("results/train.json"))
    return records.read(Training, Path("results/train.json"))


def test_rows_that_were_cut_off_are_counted_in_the_record_and_told_in_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = taken(tmp_path / "run", cut_rows=12, cut_tokens=3410)
    assert (record.cut_rows, record.cut_tokens) == (12, 3410)
    said = capsys.readouterr().err
    assert said.startswith("train: 12 of 40 rows are longer than 8 tokens (max_tokens of the recipe")
    assert said.endswith("3,410 tokens were cut off and not learnt\n")
    assert taken(tmp_path / "run").cut_rows == 0
    assert capsys.readouterr().err == ""


def test_the_steps_of_both_trainings_are_kept_and_those_of_an_older_one_do_not_stay(tmp_path: Path) -> None:
    kept = workspace.shared() / "metrics"
    for name in ("metrics", "preference"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / f"{name}.jsonl").write_text(name)
    taken(tmp_path / "run")
    assert {path.name: path.read_text() for path in kept.iterdir()} == {
        f"{KEY}.jsonl": "metrics",
        f"{KEY}.preference.jsonl": "preference",
    }
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    taken(tmp_path / "run")
    assert list(kept.iterdir()) == []
