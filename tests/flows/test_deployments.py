"""All of prefect.yaml on a real server, a worker, and runs made over the API as the UI makes them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError

from flows import deploy, form, servers, worktrees
from tasks.params import Params, load
from tasks.stage import UserError
from tests.flows.conftest import sh, working_in

NAMES = ["audit", "choose", "train", "evaluate", "register", "lifecycle", "promote", "watch"]
TOY = """  - name: toy
    entrypoint: flows/toy_flow.py:toy
    pull: *worktree
    work_pool: *measuring
"""


@pytest.fixture(scope="module")
def deployed(finished: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository whose deployments are on the server."""
    repo = tmp_path_factory.mktemp("deployed") / "repo"
    shutil.copytree(finished[0], repo, symlinks=True)
    text = (repo / "prefect.yaml").read_text()
    (repo / "prefect.yaml").write_text(text.replace("deployments:\n", "deployments:\n" + TOY, 1))
    with working_in(repo):
        deploy.deploy()
        yield repo


def by_name(client: SyncPrefectClient, name: str) -> Any:
    return client.read_deployment_by_name(f"{name}/{name}")


def bytes_of(repo: Path) -> dict[str, str]:
    """Every file of the checkout but git's and DVC's own, hashed."""
    files = [path for path in repo.rglob("*") if path.is_file() and not {".git", ".dvc"} & set(path.relative_to(repo).parts)]
    return {str(path.relative_to(repo)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_with_another_budget_works_in_its_worktree_and_leaves_the_checkout_alone(deployed: Path) -> None:
    (deployed / "params.yaml").write_text((deployed / "params.yaml").read_text() + "# an edit in progress\n")
    before = bytes_of(deployed)
    with get_client(sync_client=True) as client:
        given = {"params": {"constraints": {"budget_usd": 77}}}
        run = client.create_flow_run_from_deployment(by_name(client, "toy").id, parameters=given).id
        state = ended(client, run)
        tasks = {task.name: task.state_name for task in client.read_task_runs()}
    assert state.is_completed(), state.message
    assert tasks["decide"] == "Completed"
    assert bytes_of(deployed) == before
    changed = sh("git", "diff", "--unified=0", "params.yaml", cwd=worktrees.folder() / str(run)).splitlines()[5:]
    assert changed == [
        "-  budget_usd: 5                # the most that training may cost",
        "+  budget_usd: 77               # the most that training may cost",
    ]


def ended(client: SyncPrefectClient, run: UUID) -> Any:
    """The state in which a worker leaves the run."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", deploy.POOL, "--type", "process"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    worker = subprocess.Popen(
        command, env=os.environ | {"PREFECT_WORKER_QUERY_SECONDS": "1", "PATH": path}, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            state = client.read_flow_run(run).state
            if state and state.is_final():
                return state
            time.sleep(0.3)
        raise AssertionError(f"still {state}")
    finally:
        servers.stop(worker)


@pytest.mark.usefixtures("deployed")
def test_the_server_holds_all_deployments_with_the_use_case_as_tag_and_the_file_as_form() -> None:
    with get_client(sync_client=True) as client:
        found = {name: by_name(client, name) for name in NAMES}
    assert {tag for one in found.values() for tag in one.tags} == {"movie-reviews"}
    assert found["lifecycle"].parameters["params"]["pilots"]["branches"] == ["lora"]
    branches = found["choose"].parameter_openapi_schema["definitions"]["Pilots"]["properties"]["branches"]
    assert "scratch" in branches["items"]["enum"]
    assert branches["description"]


@pytest.mark.usefixtures("deployed")
def test_a_scheduled_lifecycle_takes_its_settings_from_the_branch_and_watch_is_scheduled() -> None:
    with get_client(sync_client=True) as client:
        weekly = by_name(client, "lifecycle").schedules[0]
        watch = by_name(client, "watch").schedules[0]
    assert (weekly.active, weekly.parameters) == (False, {"params": {}})
    assert watch.active


@pytest.mark.usefixtures("deployed")
def test_the_scheduler_of_the_installed_server_makes_runs() -> None:
    with get_client(sync_client=True) as client:
        watch = by_name(client, "watch").id
        for _ in range(300):
            if any(run.deployment_id == watch for run in client.read_flow_runs(limit=200)):
                return
            time.sleep(0.3)
    raise AssertionError("no run of `watch` was scheduled")


@pytest.mark.usefixtures("deployed")
def test_a_value_out_of_range_is_refused_with_its_field() -> None:
    given = {"params": {"constraints": {"budget_usd": -3}}}
    with get_client(sync_client=True) as client, pytest.raises(PrefectHTTPStatusError, match="budget_usd"):
        client.create_flow_run_from_deployment(by_name(client, "choose").id, parameters=given)


def test_another_use_case_on_the_server_keeps_its_own_deployments(deployed: Path) -> None:
    text = (deployed / "params.yaml").read_text()
    (deployed / "params.yaml").write_text(text.replace("name: movie-reviews", "name: other"))
    with get_client(sync_client=True) as client:
        filled = deploy._filled(client)
    (deployed / "params.yaml").write_text(text)
    assert [one["name"] for one in filled["deployments"] if one["name"].startswith("promote")] == ["promote-other"]


@pytest.mark.usefixtures("deployed")
def test_deploying_again_keeps_what_people_switched_off() -> None:
    with get_client(sync_client=True) as client:
        watch = by_name(client, "watch")
        client.update_deployment_schedule(watch.id, watch.schedules[0].id, active=False)
        filled = {one["name"]: one for one in deploy._filled(client)["deployments"]}
    assert not filled["watch"]["schedules"][0]["active"]


def test_the_checkout_of_a_person_is_not_written_to(repo: Path) -> None:
    before = (repo / "params.yaml").read_bytes()
    assert form.apply(load()) == load()
    with pytest.raises(UserError, match=r"params\.yaml"):
        form.apply(Params.model_validate({"constraints": {"budget_usd": 6}}))
    assert (repo / "params.yaml").read_bytes() == before


def test_every_value_of_the_form_can_be_written_and_read_back_with_the_comments_kept(repo: Path) -> None:
    text = (repo / "params.yaml").read_text()
    assert form.merged(text, load().model_dump(mode="json")) == text
    given: dict[str, dict[str, Any]] = {
        "data": {"id": "key", "max_rows": None},
        "constraints": {"licences": ["mit"], "max_latency_ms": 20.5},
        "hardware": {"gpu": "A100", "usd_per_gpu_hour": [1.0, 2.5]},
        "team": {"people_hours": {"full": 20.0}, "fine_tunings": [3, 1]},
        "pilots": {"branches": ["probe", "full"], "rungs": [10, 20]},
    }
    (repo / "params.yaml").write_text(form.merged(text, given))
    assert load().model_dump(mode="json", include={key: set(value) for key, value in given.items()}) == given
    kept = [line.partition("#")[2] for line in (repo / "params.yaml").read_text().splitlines() if "#" in line]
    assert kept == [line.partition("#")[2] for line in text.splitlines() if "#" in line]
