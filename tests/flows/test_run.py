"""`make run`: in place, and with another file as params.yaml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from flows import lock
from tests.flows.conftest import PROJECT


def test_a_run_with_other_settings_waits_for_no_run_in_the_checkout_and_misses_a_column_at_once(repo: Path) -> None:
    shutil.copy(PROJECT / "shelf.yaml", repo)
    text = (repo / "params.yaml").read_text().replace("[MiniLM-L6, MiniLM-L3]", "[]")
    (repo / "other.yaml").write_text(text.replace("label: label ", "label: lable "))
    with lock.hold(repo / ".dvc/tmp/run.lock", print):
        done = subprocess.run(
            [sys.executable, "-m", "flows.run", "other.yaml"],
            cwd=repo,
            env=os.environ | {"PYTHONPATH": str(repo)},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 2, done.stderr
    assert "data/rows.csv: no column 'lable' (data.label); it has 'text', 'label'; did you mean 'label'?" in done.stderr
    assert "another run" not in done.stderr


def test_a_judge_that_cannot_be_started_is_one_line_before_anything_runs(template: Path, tmp_path: Path) -> None:
    here = tmp_path / "repo"
    shutil.copytree(template, here, symlinks=True)
    text = (here / "params.yaml").read_text()
    for old, new in {
        "task: text-classification": "task: text-generation",
        "text: text ": "text: ",
        "  messages: ": "  messages: chat ",
        "label: label ": "label: ",
        "metric: accuracy": "metric: chrf",
        "  judge: ": "  judge: python-of-nowhere judge.py ",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (here / "params.yaml").write_text(text)
    environment = os.environ | {"PYTHONPATH": str(here)}
    command = [sys.executable, "-m", "flows.run"]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (
        2,
        "params.yaml: objective.judge = python-of-nowhere judge.py: python-of-nowhere is no program that can be run here; "
        "mend the command, or leave the setting empty\n",
    )
    assert not (here / "results").exists()
