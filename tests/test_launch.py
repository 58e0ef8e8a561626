"""A job of this machine: started once, found again, cancelled, and never an orphan."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import launch
from tasks.launch import Spec
from tasks.stage import UserError

JOB = """
import sys, time
from pathlib import Path
from tasks import stage
def main(folder: Path) -> None:
    with (folder / "starts").open("a") as file: file.write("x")
    print("working", file=sys.stderr, flush=True)
    {body}
stage.run(main)
"""


def spec(folder: Path, body: str) -> Spec:
    folder.mkdir(exist_ok=True)
    return Spec([sys.executable, "-c", JOB.format(body=body), str(folder)], folder)


@pytest.mark.parametrize(
    ("body", "state", "code", "message"),
    [
        ("pass", "succeeded", 0, ""),
        ("raise stage.UserError('mend it')", "failed", 2, "mend it"),
        ("raise stage.Interrupted('saved')", "interrupted", 75, "saved"),
        ("1 / 0", "failed", 1, "a bug in Crossover; the traceback is in the log"),
    ],
)
def test_the_end_of_a_job_is_known_from_what_it_wrote_itself(
    tmp_path: Path, body: str, state: str, code: int, message: str
) -> None:
    assert launch.run(spec(tmp_path / "run", body)) == launch.Status(state, code, message)  # type: ignore[arg-type]


def test_a_job_killed_without_a_word_is_lost_and_its_log_is_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status = launch.run(spec(tmp_path / "run", "import os; os.kill(os.getpid(), 9)"))
    assert (status.state, status.exit_code) == ("lost", None)
    assert "working" in launch.log_tail(tmp_path / "run")
    assert "working" in capfd.readouterr().err


def test_a_second_start_waits_for_the_first_job_and_starts_none(tmp_path: Path) -> None:
    job = spec(tmp_path / "run", "time.sleep(1)")
    launch.submit(job)
    assert launch.run(job).state == "succeeded"
    assert (tmp_path / "run" / "starts").read_text() == "x"


def test_a_job_that_was_found_dying_is_started_again_after_it_has_ended(tmp_path: Path) -> None:
    job = spec(tmp_path / "run", "time.sleep(2 if (folder / 'starts').read_text() == 'x' else 0)")
    handle = launch.submit(job)
    while not (tmp_path / "run" / "starts").exists():
        time.sleep(0.02)
    os.kill(handle["pid"], signal.SIGTERM)
    assert launch.run(job).state == "succeeded"


def test_cancelling_ends_the_job_and_all_that_it_started(tmp_path: Path) -> None:
    job = spec(tmp_path / "run", "import subprocess; subprocess.run(['sleep', '60'])")
    handle = launch.submit(job)
    while not (tmp_path / "run" / "starts").exists():
        time.sleep(0.02)
    launch._place("here").cancel(handle)
    assert launch.attached(tmp_path / "run") is None
    deadline = time.monotonic() + 10
    while running(handle["pid"]) and time.monotonic() < deadline:  # the kernel takes a moment
        time.sleep(0.02)
    assert running(handle["pid"]) == []


def test_cancelling_ends_also_what_ignores_the_first_signal(tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    script = f'trap "" TERM; echo yes > {deaf}; sleep 60'
    handle = launch.submit(spec(tmp_path / "run", f"import subprocess; subprocess.run(['sh', '-c', {script!r}])"))
    while not deaf.exists():
        time.sleep(0.02)
    launch._place("here").cancel(handle)
    deadline = time.monotonic() + 10
    while running(handle["pid"]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running(handle["pid"]) == []


def running(group: int) -> list[str]:
    """The processes of the group that are not dead, as `ps` shows them."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[0] == str(group) and not line.split()[1].startswith("Z")]


def test_a_job_does_not_outlive_the_process_that_waits_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    wait = (
        "from pathlib import Path; from tasks import launch; from tests.test_launch import spec;"
        f"launch.run(spec(Path({str(folder)!r}), 'time.sleep(60)'))"
    )
    waiter = subprocess.Popen([sys.executable, "-c", wait], env=os.environ | {"PYTHONPATH": "."})
    while not (folder / "starts").exists():
        time.sleep(0.02)
    waiter.kill()
    waiter.wait()
    deadline = time.monotonic() + 10
    while launch.attached(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert launch.attached(folder) is None


def test_an_unknown_place_is_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSOVER_LAUNCHER", "moon")
    with pytest.raises(UserError, match="CROSSOVER_LAUNCHER = moon: can so far be here"):
        launch.run(spec(tmp_path / "run", "pass"))
