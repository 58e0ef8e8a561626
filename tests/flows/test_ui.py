"""How `make ui` ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from flows import servers
from tests import use_case

ROOT = Path(__file__).parent.parent.parent
DEAF = "import signal, subprocess, sys, time; {}print(subprocess.Popen(['sleep', '300']).pid, flush=True); time.sleep(300)"
SLOW = "trap 'echo ending; sleep 2; exit 7' TERM; echo up >&2; while :; do sleep 0.1; done"
UI = f"""
import signal, subprocess
from flows import ui
from tasks.stage import die_with_parent
signal.signal(signal.SIGTERM, ui._stop)
slow = subprocess.Popen(["bash", "-c", {SLOW!r}], stderr=subprocess.PIPE, preexec_fn=die_with_parent)
slow.stderr.readline()
try:
    print("up", flush=True)
    signal.pause()
except KeyboardInterrupt:
    ui._end([slow])
print(slow.poll())
"""


def test_a_server_that_does_not_end_by_itself_is_killed_with_all_that_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "SECONDS_TO_END", 0.5)
    deaf, willing = (started(does) for does in ("signal.signal(signal.SIGTERM, signal.SIG_IGN); ", ""))
    with deaf, willing:
        child, orphan = (psutil.Process(int(one.stdout.readline())) for one in (deaf, willing) if one.stdout)
        servers.stop(deaf, willing)
        orphan.kill()
        assert (deaf.returncode, willing.returncode) == (-signal.SIGKILL, -signal.SIGTERM)
        child.wait(5)


def started(does: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", DEAF.format(does)], stdout=subprocess.PIPE, text=True)


def test_a_second_signal_does_not_cut_the_end_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = use_case.repository(tmp_path / "person", use_case.settings())
    use_case.leave()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", UI], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as ui:
        assert ui.stdout
        for line in ("up", "ending"):
            assert ui.stdout.readline().strip() == line
            ui.send_signal(signal.SIGTERM)
        assert ui.communicate(timeout=20)[0].strip() == "7"
    assert ui.returncode == 0
