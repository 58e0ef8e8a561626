"""MLflow as a projection of the records in `results/`: `python -m tasks.tracking` brings it to show what they say.

Whatever ran, and wherever, a run is looked up by its tag `record.sha256` among those of the same version of the data, and
created once; a creation that was cut short is completed by the next call. A tracking that fails fails nothing else: one
line, exit code 0.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks import ledger, params, records, runs, stage, workspace
from tasks.params import Params
from tasks.runs import RESULTS, Run
from tasks.workspace import locked

if TYPE_CHECKING:
    from mlflow import MlflowClient

SETTINGS = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # 7 by default: an outage then blocks for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
METRICS_A_BATCH = 1000  # MLflow's limit of one log_batch


def main() -> None:
    try:
        added = project(params.load())
        print(f"MLflow: {added} runs added" if added else "MLflow shows all records", file=sys.stderr)
    except stage.UserError:
        raise
    except Exception as error:
        print(
            f"MLflow at {address()} is not up to date, `python -m tasks.tracking` mends it: {line(error)}",
            file=sys.stderr,
        )


def project(settings: Params, metrics: Path | None = None) -> int:
    """Bring MLflow to show the records; gives the number of runs added. `metrics` are a training's JSON lines.

    Raises whatever MLflow raises when it is out of reach or locked.
    """
    if not (RESULTS / "audit.json").exists():
        return 0
    parent, children = runs.planned(settings, metrics)
    shown = workspace.shared() / "mlflow-shows"
    digest = _digest([parent, *children])
    if shown.exists() and shown.read_text() == digest:  # spares the import of MLflow, which takes seconds
        return 0
    with locked("mlflow"):
        api = client()
        where = experiment(api, settings.use_case.name)
        known, begun = found(api, where, parent.record_sha256)
        missing = [run for run in (parent, *children) if run.record_sha256 not in known]
        above = (known | begun).get(parent.record_sha256)
        for run in missing:
            run_id = begun.get(run.record_sha256) or begin(api, where, run, above)
            above = above or run_id
            complete(api, run_id, run)
        shown.write_text(_digest([parent, *children]))
    return len(missing)


def parent_of(settings: Params) -> tuple[str, str | None]:
    """Ids of the experiment and of the parent run of this version of the data; None if somebody deleted that run."""
    project(settings)
    api = client()
    where = experiment(api, settings.use_case.name)
    version = runs.planned(settings)[0].record_sha256
    return where, found(api, where, version)[0].get(version)


def store() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file in the main checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.main_checkout() / 'mlflow.db'}"


def client() -> MlflowClient:
    """A client of the store, silent, without telemetry."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=store(), registry_uri=store())


def experiment(api: MlflowClient, name: str) -> str:
    """The id of the use case's experiment. Its files lie where they can be read with and without the server."""
    if found := api.get_experiment_by_name(name):
        return str(found.experiment_id)
    here = not store().startswith("http") or urlsplit(store()).hostname in ("localhost", "127.0.0.1", "::1")
    place = (workspace.main_checkout() / "mlartifacts" / name).as_uri() if here else None
    tags = {"mlflow.experimentKind": "custom_model_development"}
    return str(api.create_experiment(name, artifact_location=place, tags=tags))


def _digest(planned: list[Run]) -> str:
    """Of the store and of what it is to show; a store that was deleted and made anew has another."""
    database = Path(store().removeprefix("sqlite:///"))
    made = database.stat().st_ino if database.exists() else None
    return records.sha256_of([store(), made, [run.record_sha256 for run in planned]])


def found(api: MlflowClient, where: str, version: str) -> tuple[dict[str, str], dict[str, str]]:
    """Of this version of the data: `record.sha256` to run id, of the complete runs and of those cut short."""
    ended: dict[str, str] = {}
    begun: dict[str, str] = {}
    token: str | None = None
    while True:
        page = api.search_runs([where], f"tags.`data.version` = '{version}'", max_results=1000, page_token=token)
        for run in page:
            into = ended if run.info.status == "FINISHED" else begun
            into[run.data.tags.get("record.sha256", "")] = run.info.run_id
        token = page.token
        if not token:
            return ended, begun


def begin(api: MlflowClient, where: str, run: Run, above: str | None) -> str:
    """Create the run, under the run `above`; it is running until `complete`."""
    tags = run.tags | {"record.sha256": run.record_sha256} | ({"mlflow.parentRunId": above} if above else {})
    start = run.millis - round(run.seconds * 1000)
    return str(api.create_run(where, start_time=start, tags=lineage() | tags, run_name=run.name).info.run_id)


def complete(api: MlflowClient, run_id: str, run: Run) -> None:
    """Everything but the run itself; doing it twice gives the same run."""
    from mlflow.entities import Metric, Param

    start = run.millis - round(run.seconds * 1000)
    metrics = [Metric(name, float(value), run.millis, 0) for name, value in run.metrics.items() if math.isfinite(value)]
    for i, line in enumerate(run.steps):
        when = start + round(run.seconds * 1000 * (i + 1) / len(run.steps))
        numbers = {name: value for name, value in line.items() if name != "step" and math.isfinite(value)}
        metrics += [Metric(name, value, when, int(line["step"])) for name, value in numbers.items()]
    api.log_batch(run_id, metrics[:METRICS_A_BATCH], [Param(name, value) for name, value in run.params.items()])
    for first in range(METRICS_A_BATCH, len(metrics), METRICS_A_BATCH):
        api.log_batch(run_id, metrics[first : first + METRICS_A_BATCH])
    for path in run.files:
        if path.exists():
            api.log_artifact(run_id, str(path))
    api.set_terminated(run_id, end_time=run.millis)


def lineage() -> dict[str, str]:
    """Tags that say where a run was recorded, as far as that is known: git commit and Prefect run."""
    flow_run = os.environ.get("PREFECT__FLOW_RUN_ID") or os.environ.get("CROSSOVER_FLOW_RUN_ID")
    source = {"mlflow.source.name": "crossover", "mlflow.source.type": "LOCAL", "mlflow.source.git.commit": ledger.head()}
    tags = source | {"prefect.flow_run_id": flow_run}
    return {name: value for name, value in tags.items() if value}


def address() -> str:
    """The store, without the password that it may hold."""
    return _without_password(store())


def line(error: Exception) -> str:
    """The first line of an error of MLflow."""
    return _without_password((str(error).strip().splitlines() or [type(error).__name__])[0])[:300]


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@]*@", "//", text)


if __name__ == "__main__":
    stage.run(main)
