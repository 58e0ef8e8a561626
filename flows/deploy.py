"""Puts all of prefect.yaml on a Prefect server, with the forms filled in from params.yaml: `python -m flows.deploy`.

Deploying again keeps what people switched on and off in the UI. Two use cases on one server keep apart: where a name is
taken by another one's deployment, this one's gets the use case as suffix; the tag finds it either way.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from flows.stages import environment
from tasks import params, workspace
from tasks.stage import UserError

POOL = "crossover"
QUEUES = {"measuring": 1, "quick": 4}
"""Work queue to how many of its runs go on at the same time."""


def deploy() -> list[str]:
    """Make the work pool and all deployments, or bring them up to date; their names."""
    with get_client(sync_client=True) as client:
        _make_pool(client)
        filled = _filled(client)
    from ruamel.yaml import YAML

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prefect.yaml")
        YAML(typ="safe", pure=True).dump(filled, path)
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path)]
        done = subprocess.run(command, cwd=workspace.main_checkout(), capture_output=True, text=True, env=environment())
    if done.returncode:
        raise UserError(f"prefect.yaml could not be deployed: {' '.join((done.stderr or done.stdout).split())[-600:]}")
    return [str(one["name"]) for one in filled["deployments"]]


def _make_pool(client: SyncPrefectClient) -> None:
    try:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", description="Runs of Crossover on this machine"))
    except ObjectAlreadyExists:
        return  # its limits may have been changed by people
    for name, limit in QUEUES.items():
        queue = client.create_work_queue(name=name, work_pool_name=POOL)
        client.update_work_queue(queue.id, concurrency_limit=limit)


def _filled(client: SyncPrefectClient) -> dict[str, Any]:
    """prefect.yaml with this repository, its branch, the settings and the use case."""
    from ruamel.yaml import YAML

    main = workspace.main_checkout()
    text = (main / "prefect.yaml").read_text().replace("{{ repository }}", str(main)).replace("{{ branch }}", _branch(main))
    settings = params.load(main / "params.yaml")
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    content.pop("definitions")
    for one in content["deployments"]:
        name = settings.use_case.name
        one["tags"] = [name]
        if one["entrypoint"].split(":")[0] not in ("flows/promote.py", "flows/watch.py"):
            one["parameters"] = {"params": settings.model_dump(mode="json")}
        there = _there(client, one["name"])
        if there and name not in there.tags:
            one["name"] += f"-{name}"
            there = _there(client, one["name"])
        for schedule, known in zip(one.get("schedules", []), there.schedules if there else [], strict=False):
            schedule["active"] = known.active
    return content


def _there(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    flow = name.split("-")[0]
    try:
        return client.read_deployment_by_name(f"{flow}/{name}")
    except ObjectNotFound:
        return None


def _branch(main: Path) -> str:
    """The branch checked out, or the commit where there is none: what the runs will see."""
    for command in (["symbolic-ref", "--quiet", "--short", "HEAD"], ["rev-parse", "--verify", "HEAD"]):
        done = subprocess.run(["git", "-C", str(main), *command], capture_output=True, text=True)
        if done.returncode == 0 and _has_commit(main):
            return done.stdout.strip()
    raise UserError(f"{main}: no commit yet; deployed runs work on what is committed: `git add -A && git commit`")


def _has_commit(main: Path) -> bool:
    return (
        subprocess.run(["git", "-C", str(main), "rev-parse", "--quiet", "--verify", "HEAD"], capture_output=True).returncode
        == 0
    )


if __name__ == "__main__":
    try:
        print("deployed:", ", ".join(deploy()), "on", os.environ.get("PREFECT_API_URL", "the server of the Prefect profile"))
    except UserError as error:
        sys.exit(str(error))
