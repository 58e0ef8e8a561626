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
