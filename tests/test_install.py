"""What `make install` leaves is the locked set, quiet, and both servers start with it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import tasks
from tasks.doctor.packages import locked, version

LOCKS = [Path("requirements.lock"), Path("requirements-dev.lock")]


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_what_is_installed_is_what_is_locked(lock: Path) -> None:
    wanted = locked(lock)
    assert {name: version(name) for name in wanted} == wanted


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_a_lock_pins_every_line_by_hash_and_names_no_place(lock: Path) -> None:
    text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE)
    assert not re.search(r"https?:|file:|--find-links|--index|@ ", text)
    entries = re.split(r"\n(?! )", text.strip())
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)


def test_the_lock_fulfils_every_dependency_but_torch_whose_build_is_the_users_choice() -> None:
    dependencies = tomllib.loads(Path("pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {requirement.name: requirement for requirement in map(Requirement, dependencies)}
    pins = locked(LOCKS[0])
    assert "torch" not in pins
    assert wanted.pop("torch").specifier.contains((version("torch") or "0").partition("+")[0])
    assert [name for name, one in wanted.items() if not one.specifier.contains(pins[name.lower().replace(".", "-")])] == []


def test_telemetry_is_off_in_what_the_flows_and_through_them_the_tasks_import() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import flows\n{ASK}"], env=bare(), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {
        "prefect server": False,
        "prefect client": True,
        "mlflow": True,
        "mlflow jobs": False,
        "hugging face": True,
        "dvc": True,
    }


ASK = """
import json, os
from prefect.settings import get_current_settings
from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION
from mlflow.telemetry.utils import MLFLOW_DISABLE_TELEMETRY
from huggingface_hub import constants
print(json.dumps({
    "prefect server": get_current_settings().server.analytics_enabled,
    "prefect client": os.environ["DO_NOT_TRACK"] == "1",
    "mlflow": MLFLOW_DISABLE_TELEMETRY.get(),
    "hugging face": constants.HF_HUB_OFFLINE and constants.HF_HUB_DISABLE_TELEMETRY,
    "dvc": os.environ["DVC_NO_ANALYTICS"] == "1",
    "mlflow jobs": MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get(),
}))
"""


def bare() -> dict[str, str]:
    """The environment without what this process has set already."""
    return {name: value for name, value in os.environ.items() if name not in tasks.QUIET}


def test_a_variable_that_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    command = [sys.executable, "-c", "import os, tasks; print(os.environ['HF_HUB_OFFLINE'])"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


def test_both_servers_start_and_answer(tmp_path: Path) -> None:
    """Side by side, as `make ui` has them; a wrong FastAPI kills Prefect's at its import."""
    prefect_port, mlflow_port = free_port(), free_port()
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    prefect = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(prefect_port)]
    mlflow = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(mlflow_port), "--backend-store-uri", store]
    with running(prefect, tmp_path) as one, running([*mlflow, "--workers", "1"], tmp_path) as other:
        assert json.loads(answer(one, f"http://127.0.0.1:{prefect_port}/api/admin/version")) == version("prefect")
        assert answer(other, f"http://127.0.0.1:{mlflow_port}/version") == version("mlflow")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(module: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m ...` in a process group of its own, which is gone afterwards."""
    environment = os.environ | {"PREFECT_HOME": str(folder / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    with (folder / f"{module[0]}.log").open("w") as log:
        command = [sys.executable, "-m", *module]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def answer(server: "subprocess.Popen[bytes]", url: str) -> str:
    """What `url` says, as soon as it says anything; pytest's timeout is the end of waiting for a server that lives."""
    while server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return str(reply.read().decode())
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server ended with {server.returncode} before it answered")


def install(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "infra").mkdir(parents=True)
    shutil.copy("infra/install.sh", folder / "infra")
    (folder / "Makefile").touch()
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own = {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run([folder / "infra/install.sh", "repository"], env=quiet | own, capture_output=True, text=True)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True).stdout


def test_a_bare_download_becomes_a_repository_with_one_commit_also_where_git_knows_no_name(tmp_path: Path) -> None:
    project = tmp_path / "download"
    assert install(project).returncode == 0
    assert git(project, "log", "--format=%s") == "Crossover, as downloaded\n"
    assert git(project, "status", "--porcelain") == ""


def test_a_clone_keeps_its_history(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "Makefile").touch()
    git(tmp_path, "add", "Makefile")
    git(tmp_path, "-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "--message", "theirs")
    assert install(tmp_path).returncode == 0
    assert git(tmp_path, "log", "--format=%s") == "theirs\n"


def test_a_download_below_an_unrelated_repository_gets_its_own(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert install(tmp_path / "download").returncode == 0
    assert git(tmp_path / "download", "rev-parse", "--show-toplevel").strip() == str(tmp_path / "download")


def test_a_folder_that_another_repository_tracks_is_refused_in_one_line(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "part").mkdir()
    (tmp_path / "part/Makefile").touch()
    git(tmp_path, "add", "part/Makefile")
    done = install(tmp_path / "part")
    assert done.returncode == 2
    assert "needs a repository of its own" in done.stderr
    assert done.stderr.count("\n") == 1
