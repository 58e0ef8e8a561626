"""The library takes past pilots from the ledger: the newest of each other use case."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tasks import ledger, library, records
from tasks.records import Library
from tests.decide import synthetic


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    return tmp_path


def ended(name: str, rows: int = 2400, folds: bool = False) -> None:
    """A use case decides, and the ledger holds it."""
    branches = "[baseline, probe, lora, full, scratch]"
    Path("params.yaml").write_text(f"use_case: {{name: {name}}}\npilots: {{branches: {branches}}}\n")
    given = synthetic.folded() if folds else synthetic.inputs(rows=rows, seeds=1 if rows < 2400 else 2)
    synthetic.write(given, Path("results"))
    ledger.append(f"decided {name}", {})


def test_the_newest_pilot_of_each_other_use_case_is_taken_and_none_by_cross_validation(workspace: Path) -> None:
    for name, rows in (("tickets", 1000), ("tickets", 2400), ("notes", 2400)):
        ended(name, rows)
    ended("few", folds=True)
    Path("params.yaml").write_text("use_case: {name: here}\n")
    library.main(workspace / "library.json")
    found = records.read(Library, workspace / "library.json")
    assert [pilot.use_case for pilot in found.pilots] == ["notes", "tickets"]
    full = next(one for one in found.pilots[1].curves if (one.branch, one.base_model) == ("full", "MiniLM-L6"))
    assert full.n == [n for n in synthetic.RUNGS for _ in range(2)]
    assert set(full.quality) == {"accuracy", "macro_f1", "log_loss"}
    Path("params.yaml").write_text("use_case: {name: notes}\n")
    library.main(workspace / "library.json")
    assert [pilot["use_case"] for pilot in json.loads((workspace / "library.json").read_text())["pilots"]] == ["tickets"]


def test_the_library_that_comes_with_the_project_is_empty() -> None:
    assert records.read(Library, Path(__file__).parent.parent / "library.json") == Library(pilots=[])
