"""A small repository with a graph of the same shape, and one real Prefect server for all tests here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.schemas import State
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows import servers
from tasks import workspace
from tasks.params import load

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
PARAMS = {
    "branches: [baseline, probe, lora, full, scratch]": "branches: [lora]",
    "data/movie-reviews.jsonl": "data/rows.csv",
}


def sh(*command: str, cwd: Path, check: bool = True) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repo = tmp_path_factory.mktemp("template")
    for name in ("flows", "tasks", "infra"):
        shutil.copytree(PROJECT / name, repo / name, ignore=shutil.ignore_patterns("__pycache__", "tables"))
    shutil.copy(HERE / "toy_flow.py", repo / "flows")
    shutil.copy(HERE / "toy_stage.py", repo)
    shutil.copy(HERE / "toy_dvc.yaml", repo / "dvc.yaml")
    shutil.copy(PROJECT / "prefect.yaml", repo)
    text = (PROJECT / "params.yaml").read_text()
    for old, new in PARAMS.items():
        assert old in text
        text = text.replace(old, new)
    (repo / "params.yaml").write_text(text)
    (repo / ".gitignore").write_text((PROJECT / ".gitignore").read_text() + "/model.json\n")
    sh("git", "init", "-q", "-b", "main", ".", cwd=repo)
    sh("git", "config", "user.email", "a@b.c", cwd=repo)
    sh("git", "config", "user.name", "a", cwd=repo)
    sh("dvc", "init", "-q", cwd=repo)
    (repo / "data").mkdir()
    (repo / "data" / "rows.csv").write_text("text,label\na,1\nb,2\n")
    sh("git", "add", "-A", cwd=repo)
    sh("git", "commit", "-q", "-m", "start", cwd=repo)
    return repo


@pytest.fixture(scope="session")
def finished(template: Path, api: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State]:
    """A copy in which the toy flow has run, results committed, and how it ended."""
    from tests.flows.toy_flow import toy

    assert servers.answers(f"{api}/health")
    here = tmp_path_factory.mktemp("finished") / "repo"
    shutil.copytree(template, here, symlinks=True)
    with working_in(here):
        state = toy(load(), return_state=True)
        untracked = sh("git", "ls-files", "--others", "--exclude-standard", cwd=here).split()
        assert {path.split("/")[0] for path in untracked} == {"data", "dvc.lock", "results"}
        assert [path for path in untracked if path.startswith("data/")] == ["data/rows.csv.dvc"]
        assert sh("git", "diff", cwd=here) == ""
        sh("git", "add", "-A", cwd=here)
        sh("git", "commit", "-qm", "results", cwd=here)
    return here, state


@pytest.fixture
def repo(finished: tuple[Path, State], tmp_path: Path) -> Iterator[Path]:
    """A copy of that, to work in; the current folder."""
    here = tmp_path / "repo"
    shutil.copytree(finished[0], here, symlinks=True)
    with working_in(here):
        yield here


@contextmanager
def working_in(here: Path) -> Iterator[None]:
    """As a process that was started there."""
    places = (workspace.root, workspace.shared, workspace.main_checkout)
    before = Path.cwd()
    os.chdir(here)
    for place in places:
        place.cache_clear()
    try:
        yield
    finally:
        os.chdir(before)
        for place in places:
            place.cache_clear()


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Prefect server, for this process and those that it starts."""
    home = tmp_path_factory.mktemp("prefect")
    url = f"http://127.0.0.1:{servers.free_port()}/api"
    settings = servers.QUIET | {"PREFECT_HOME": str(home), "PREFECT_API_URL": url}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", url.split(":")[2][:-4]]
    with pytest.MonkeyPatch.context() as patch, (home / "log").open("w") as log:
        for name, value in settings.items():
            patch.setenv(name, value)
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            servers.until_it_answers(f"{url}/health", log=home / "log", process=server)
            with temporary_settings({PREFECT_API_URL: url, PREFECT_HOME: home}):
                yield url
                APILogHandler().flush()  # otherwise this process waits at its end for a server that is gone
        finally:
            servers.stop(server)
