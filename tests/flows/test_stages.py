"""DVC's graph as Prefect tasks, on a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas import State
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun, TaskRunResult

from flows import lock, stages, workplace
from tasks.params import Params, load
from tasks.stage import UserError
from tests.flows.conftest import PROJECT, sh, working_in
from tests.flows.toy_flow import toy

ALL = {"audit", "screen@lora", "shortlist", "pilot@lora", "decide", "train"}


def run() -> State:
    return toy(load(), return_state=True)


def tasks_of(state: State) -> dict[str, TaskRun]:
    """Name to task run, once the server has recorded them all."""
    run = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        for _ in range(100):
            found = client.read_task_runs(flow_run_filter=run)
            if len(found) == len(ALL) and all(one.state and one.state.is_final() for one in found):
                break
            time.sleep(0.1)
    return {one.name: one for one in found}


def names(state: State) -> dict[str, str]:
    return {name: one.state_name or "" for name, one in tasks_of(state).items()}


def upstreams(tasks: dict[str, TaskRun]) -> dict[str, set[str]]:
    by_id = {one.id: name for name, one in tasks.items()}
    return {
        name: {by_id[needed.id] for needed in one.task_inputs.get("wait_for", []) if isinstance(needed, TaskRunResult)}
        for name, one in tasks.items()
    }


def test_every_edge_of_the_graph_is_an_edge_in_prefect(finished: tuple[Path, State]) -> None:
    state = finished[1]
    assert state.is_completed(), state.message
    tasks = tasks_of(state)
    assert {name: one.state_name for name, one in tasks.items()} == dict.fromkeys(ALL, "Completed")
    with working_in(finished[0]):
        assert upstreams(tasks) == stages.graph()
    assert upstreams(tasks)["pilot@lora"] == {"screen@lora", "shortlist"}


def test_a_second_run_is_all_cached_with_the_same_edges(repo: Path) -> None:
    state = run()
    assert state.is_completed()
    assert names(state) == dict.fromkeys(ALL, "Cached")
    assert upstreams(tasks_of(state)) == stages.graph()
    assert sh("git", "status", "--short", cwd=repo) == ""


def test_a_mistake_hands_on_its_code_and_line_stops_the_rest_and_leaves_no_record_deleted(repo: Path) -> None:
    before = (repo / "data/rows.csv.dvc").read_text()
    (repo / "data/rows.csv").write_text("WRONG")
    state = run()
    assert workplace.exit_code(state) == 2
    assert state.message == "audit: data/rows.csv: row 3 says WRONG; mend it"
    assert names(state) == dict.fromkeys(ALL, "NotReady") | {"audit": "WrongInput"}
    assert (repo / "data/rows.csv.dvc").read_text() != before  # the new row is tracked
    assert sh("git", "status", "--short", cwd=repo).split() == ["M", "data/rows.csv.dvc"]


def test_after_sigterm_no_stage_goes_on_and_the_next_run_continues(repo: Path, tmp_path: Path) -> None:
    flow, stage = start_slow_flow(repo, tmp_path / "pid")
    flow.terminate()
    assert flow.wait(60) == 75
    assert not Path(f"/proc/{stage}").exists()
    state = run()
    # Only the stage that the changed budget concerns; its new output equals the old one.
    assert names(state) == dict.fromkeys(ALL, "Cached") | {"decide": "Completed"}


def test_after_kill_9_no_stage_goes_on_and_the_next_run_closes_the_books(repo: Path, tmp_path: Path) -> None:
    flow, stage = start_slow_flow(repo, tmp_path / "pid")
    killed = UUID(json.loads((repo / ".dvc/tmp/flow.lock").read_text())["flow_run"])
    flow.kill()
    flow.wait()
    wait_until(lambda: not Path(f"/proc/{stage}").exists())
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(killed).state_name == "Running"
        (repo / "params.yaml").write_text("wrong: 1")
        assert not toy(Params(), return_state=True).is_completed()
        assert client.read_flow_run(killed).state_name == "Crashed"


def test_no_shell_stands_between_dvc_and_a_stage() -> None:
    stages_of = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    commands = [one.get("do", one)["cmd"] for one in stages_of.values()]
    assert [command for command in commands if not command.startswith("exec python -m tasks.")] == []


def start_slow_flow(repo: Path, pid: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The toy flow in a process of its own, with another budget, stuck in `decide`; with the pid of that stage."""
    settings = repo / "params.yaml"
    settings.write_text(settings.read_text().replace("budget_usd: 5 ", "budget_usd: 6 "))
    code = (
        "import sys; from flows.toy_flow import toy; from flows.workplace import exit_code;"
        "sys.exit(exit_code(toy(return_state=True)))"
    )
    slow = {"TOY_SLOW": "results/decision.json", "TOY_PID": str(pid), "SHELL": "/bin/sh"}  # dash keeps itself in between
    flow = subprocess.Popen([sys.executable, "-c", code], cwd=repo, env=os.environ | slow)
    wait_until(lambda: pid.exists() and bool(pid.read_text()))
    return flow, int(pid.read_text())


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(900):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come true within 90 s")


def test_a_second_flow_says_who_holds_the_workspace(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SECONDS_TO_WAIT", 0.5)
    lines: list[str] = []
    with lock.hold(repo / ".dvc/tmp/flow.lock", lines.append):
        state = run()
    assert workplace.exit_code(state) == 75
    assert state.message
    assert f"another run works here (pid {os.getpid()}, since 20" in state.message


def test_the_graph_is_read_from_dvc_whatever_it_is(repo: Path) -> None:
    (repo / "dvc.yaml").write_text(
        "stages:\n  a:\n    cmd: echo > x\n    outs: [x]\n  b:\n    cmd: cat x\n    deps: [x, params.yaml]\n"
    )
    assert stages.graph() == {"a": set(), "b": {"a"}}
    assert stages.changed(stages.graph(), stages.status()) == {"a", "b"}


def test_a_broken_graph_is_one_line(repo: Path) -> None:
    (repo / "dvc.yaml").write_text("stages:\n  a:\n    outs: [x]\n")
    with pytest.raises(UserError, match=r"dvc\.yaml") as raised:
        stages.graph()
    assert "\n" not in str(raised.value)
