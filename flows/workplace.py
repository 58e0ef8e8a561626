"""What every flow of the graph has around its work: the settings, the lock, the data under DVC, one-line failures."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas import State, StateType
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL
from prefect.states import Cancelled, Crashed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import form, lock, stages, tracked, worktrees
from flows.terminal import say
from tasks import workspace
from tasks.params import Params
from tasks.stage import Interrupted, UserError, die_with_parent

ALIVE = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
Work = Callable[[Params], list[str]]
SETTINGS: dict[str, Any] = {
    "task_runner": ThreadPoolTaskRunner(max_workers=64),  # a task that waits for its turn holds a thread
    "persist_result": False,
    "result_serializer": "json",
    "validate_parameters": True,
}
"""For `@flow`."""


def in_workspace(work: Work) -> Callable[[Params], list[str] | State[Any]]:
    """`work` with the settings that hold, alone in this workspace; a user's mistake becomes a state with one line."""

    @functools.wraps(work)
    def flow(params: Params = Params()) -> list[str] | State[Any]:  # noqa: B008 (frozen)
        try:
            return _alone(work, params)
        except UserError as error:
            if isinstance(error, stages.StageFailed):
                get_run_logger().error(str(error))  # the terminal has shown it, as the stage's last line
            else:
                say(str(error))
            log_no_traceback()
            kind = Cancelled if error.exit_code == Interrupted.exit_code else Failed
            return kind(name=stages.STATE_NAMES.get(error.exit_code, "Failed"), message=str(error))

    return flow


def log_no_traceback() -> None:
    """Prefect logs one for each deployed run that ends badly; a user's mistake has its line and needs none."""
    logging.getLogger("prefect.flow_runs").addFilter(_no_traceback)


def address(run: UUID) -> str:
    """Of a flow run's page in the Prefect UI."""
    root = PREFECT_UI_URL.value() or str(PREFECT_API_URL.value() or "").removesuffix("/api")
    return f"{root}/runs/flow-run/{run}"


def _no_traceback(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Engine execution exited")


def exit_code(state: State[Any]) -> int:
    """Of a flow run that ended so."""
    codes = {name: code for code, name in stages.STATE_NAMES.items()}
    return 0 if state.is_completed() else codes.get(state.name or "", 1)


def bury() -> None:
    """Close the books on the runs of the work pool that no worker can be running any more: for a worker's start."""
    filters = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(ALIVE))))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(
            flow_run_filter=filters, work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=["crossover"]))
        ):
            state: State[None] = Crashed(message="its worker ended before it")
            client.set_flow_run_state(run.id, state, force=True)


def tidy() -> None:
    """Forget the looks of `watch` that ended well more than an hour ago: one a minute would fill the database."""
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    filters = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED])),
        end_time=FlowRunFilterEndTime(before_=hour_ago),
    )
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=["watch"])), flow_run_filter=filters):
            client.delete_flow_run(run.id)


def _alone(work: Work, params: Params) -> list[str]:
    if worktrees.in_own_worktree():
        die_with_parent()  # the worker
    path = workspace.root() / ".dvc" / "tmp" / "flow.lock"
    with lock.hold(path, say, flow_run=str(flow_run.get_id())) as left:
        if left:
            _crashed(left)
        settled = form.apply(params)
        tracked.track(settled.data.path)
        lines = work(settled)
        for line in lines:
            say(line)
        if worktrees.in_own_worktree():
            worktrees.reap()
        return lines


def _crashed(left: dict[str, Any]) -> None:
    """Close the books on a run whose process was killed: it cannot say so itself."""
    try:
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(left["flow_run"]))
            if run.state and run.state.is_running():
                state: State[None] = Crashed(message=f"its process {left['pid']} was killed; a later run went on from there")
                client.set_flow_run_state(run.id, state, force=True)
    except (ObjectNotFound, KeyError, ValueError):
        return
