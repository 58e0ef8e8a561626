"""How stages start and end."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def stage(tmp_path: Path, body: str, *arguments: str) -> tuple[int, str, dict[str, object]]:
    """Run a module whose main has `body`; gives exit code, stderr and what it said to CROSSOVER_RAN."""
    script, ran = tmp_path / "script.py", tmp_path / "ran.json"
    script.write_text(
        "from tasks import stage\nfrom pathlib import Path\ndef main(out: Path) -> None:\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "\nstage.run(main)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CROSSOVER_RAN": str(ran)},
    )
    return done.returncode, done.stderr, json.loads(ran.read_text())


@pytest.mark.parametrize(("error", "code"), [("UserError", 2), ("Refused", 3), ("Interrupted", 75)])
def test_each_kind_of_end_has_its_exit_code_and_one_line(tmp_path: Path, error: str, code: int) -> None:
    assert stage(tmp_path, f"raise stage.{error}('because')", "out") == (
        code,
        "because\n",
        {"exit_code": code, "message": "because"},
    )


def test_a_bug_shows_its_traceback_and_exits_1(tmp_path: Path) -> None:
    code, stderr, said = stage(tmp_path, "1 / 0", "out")
    assert (code, said["exit_code"]) == (1, 1)
    assert "ZeroDivisionError" in stderr


def test_a_wrong_number_of_paths_is_a_line_that_names_them(tmp_path: Path) -> None:
    code, stderr, _ = stage(tmp_path, "pass", "one", "two")
    assert code == 2
    assert stderr == "__main__: 2 paths given, needs 1: OUT\n"


def test_sigterm_ends_a_stage_as_interrupted(tmp_path: Path) -> None:
    code, _, _ = stage(tmp_path, "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", "out")
    assert code == 75


def test_a_stage_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    script, pid = tmp_path / "script.py", tmp_path / "pid"
    script.write_text(
        "import os, time\nfrom pathlib import Path\nfrom tasks import stage\ndef main(out: Path) -> None:\n"
        "    out.write_text(str(os.getpid()))\n    time.sleep(60)\nstage.run(main)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run([{sys.executable!r}, {str(script)!r}, {str(pid)!r}])"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    child = Path(f"/proc/{pid.read_text()}")
    deadline = time.monotonic() + 10
    while child.exists() and "Z (zombie)" not in (child / "status").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or "Z (zombie)" in (child / "status").read_text()
