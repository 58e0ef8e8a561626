"""The doctor names what is missing and how to mend it, and no secret."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from tasks.doctor import machine, packages, project, remotes
from tasks.doctor.__main__ import shown
from tasks.doctor.finding import Finding


def test_an_absent_package_is_missing_and_another_version_is_a_warning() -> None:
    pytest_version = packages.version("pytest") or ""
    assert packages.packages({"pytest": pytest_version}).level == "ok"
    assert packages.packages({"pytest": "0.1"}).level == "warn"
    found = packages.packages({"pytest": pytest_version, "no-such-package": "1.0"})
    assert found == Finding(
        "missing", "packages", "1 of 2 differ: no-such-package absent (locked 1.0)", "rm .venv/packages; make install"
    )


def test_a_lock_is_read_with_its_platform_markers(tmp_path: Path) -> None:
    hashes = " \\\n    --hash=sha256:00\n"
    lines = [
        "# by hand",
        "one==1.0" + hashes + "two==2.0 ; sys_platform == 'win32'" + hashes + "three==3.0 ; python_version > '3'",
    ]
    (tmp_path / "lock").write_text("\n".join(lines))
    assert packages.locked(tmp_path / "lock") == {"one": "1.0", "three": "3.0"}


def test_a_prefect_server_that_cannot_start_shows_its_last_words() -> None:
    found = packages.prefect_server("", "Traceback\nTypeError: Body() got an unexpected keyword argument 'min_items'\n", 1)
    assert found.level == "missing"
    assert "Body() got an unexpected keyword" in found.found
    assert found.mend


@pytest.mark.parametrize(
    ("url", "shown_as"),
    [
        ("https://user:s3cret@host/path?token=s3cret", "https://host/path"),
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200/api"),
        ("ssh://user@host/store", "ssh://host/store"),
        ("/mnt/store", "/mnt/store"),
    ],
)
def test_an_address_is_shown_without_what_is_secret_in_it(url: str, shown_as: str) -> None:
    assert machine.without_secret(url) == shown_as


def test_a_server_that_does_not_answer_is_a_warning_that_keeps_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:s3cret@127.0.0.1:1")
    found = machine.server("mlflow")
    assert found.level == "warn"
    assert "s3cret" not in f"{found.found}{found.mend}"


def test_what_dvc_would_run_is_counted_and_a_broken_graph_is_wrong() -> None:
    assert project.graph("{}", "", 0).found == "nothing to run"
    assert project.graph('{"audit": [], "decide": []}', "", 0).found == "2 stages to run: audit, decide"
    assert project.graph('{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}', "", 0).found == "5 stages to run: a, b, c, d, ..."
    assert project.graph("", "ERROR: 'dvc.yaml' is invalid.\n", 255).level == "wrong"


@pytest.mark.parametrize(
    ("settings", "data", "level", "says"),
    [
        ("data: {path: rows.csv}", [], "missing", "rows.csv is not there"),
        ("data: {path: rows.csv}", ["rows.csv"], "warn", "rows.csv has no version"),
        ("data: {path: rows.csv}", ["rows.csv", "rows.csv.dvc"], "ok", "rows.csv, 0.0 KB, has the columns named, versioned"),
        (
            "data: {path: rows.csv, label: lable}",
            ["rows.csv", "rows.csv.dvc"],
            "wrong",
            "rows.csv: no column 'lable' (data.label); it has 'text', 'label'; did you mean 'label'?",
        ),
        (
            'constraints: {budget_usd: "2.5"}',
            [],
            "wrong",
            'params.yaml: constraints.budget_usd is the text "2.5"; remove the quotes',
        ),
        (
            "use_case: {task: text-generation}\n"
            "data: {text: , messages: chat, label: }\n"
            "objective: {metric: chrf, judge: no-such-judge}\n"
            "pilots: {branches: [baseline]}",
            [],
            "wrong",
            "objective.judge = no-such-judge: no-such-judge is no program that can be run here; mend the command",
        ),
        ("data: {pth: rows.csv}", [], "wrong", "data.pth: no such setting; did you mean data.path?"),
    ],
)
def test_settings_and_data_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, data: list[str], level: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(settings)
    for name in data:
        Path(name).write_text("text,label\n")
    last = list(project.settings_and_data())[-1]
    assert last.level == level
    assert says in last.found


def test_only_what_is_missing_or_wrong_counts_and_a_way_to_mend_it_is_shown() -> None:
    lines: list[str] = []
    found = [Finding("ok", "a", "fine"), Finding("warn", "b", "odd", "mend b"), Finding("missing", "c", "gone", "mend c")]
    assert shown([*found, Finding("wrong", "d", "broken")], lines.append) == 2
    assert [line.split() for line in lines] == [
        ["ok", "a", "fine"],
        ["warn", "b", "odd"],
        ["->", "mend", "b"],
        ["missing", "c", "gone"],
        ["->", "mend", "c"],
        ["wrong", "d", "broken"],
    ]


def test_after_make_install_nothing_is_missing_here() -> None:
    done = subprocess.run([sys.executable, "-m", "tasks.doctor"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    subjects = {line[9:25].strip() for line in done.stdout.splitlines()} - {""}
    assert subjects >= {"python", "packages", "torch", "disk", "memory", "prefect server", "git", "data", "shelf", "dvc"}


# ---- a remote on S3 -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def remote(s3_server: str) -> dict[str, object]:
    return {
        "url": "s3://doctors-bucket/dvc",
        "endpointurl": s3_server,
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "s3cret",
    }


def test_a_bucket_is_missing_until_it_is_made_and_a_warning_until_it_keeps_versions(remote: dict[str, object]) -> None:
    found = remotes.s3("team", remote)
    assert (found.level, found.found) == ("missing", "s3://doctors-bucket/dvc: NoSuchBucket")
    assert found.mend == "python infra/s3_bucket.py s3://doctors-bucket/dvc"
    environment = os.environ | {
        "AWS_ENDPOINT_URL": str(remote["endpointurl"]),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
    }
    subprocess.run([sys.executable, "infra/s3_bucket.py", str(remote["url"])], env=environment, capture_output=True, check=True)
    assert remotes.s3("team", remote).level == "ok"


def test_credentials_that_are_not_there_are_missing(remote: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    found = remotes.s3("team", {key: value for key, value in remote.items() if "key" not in key})
    assert (found.level, found.found) == ("missing", "s3://doctors-bucket/dvc: NoCredentialsError")


def test_remotes_are_read_from_dvcs_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["init", "--quiet", "--no-scm"], ["remote", "add", "--quiet", "store", str(tmp_path / "store")]):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    found = list(remotes.remotes())
    assert [(f.level, f.subject) for f in found] == [("warn", "remote store"), ("ok", "remote store")]
    assert found[0].mend == "dvc remote modify store verify true"
