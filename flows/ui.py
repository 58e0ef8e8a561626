"""`make ui`: Prefect (server, worker, all deployments) and MLflow on loopback, in the foreground until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from flows import servers
from tasks import params, workspace
from tasks.stage import UserError, die_with_parent

PREFECT_PORT, MLFLOW_PORT = 4200, 5000
SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_BETWEEN_TIDYINGS = 600.0
Process = subprocess.Popen[bytes]


def main() -> int:
    """The exit code; see tasks/stage.py."""
    signal.signal(signal.SIGTERM, _stop)
    started: list[Process] = []
    try:
        params.load(workspace.main_checkout() / "params.yaml")
        os.chdir(workspace.main_checkout())
        with servers.prefect(_port(PREFECT_PORT)) as url:
            try:
                _serve(url, started)
            finally:  # Prefect's server hears how its runs end
                _end(started)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _end(started: list[Process]) -> None:
    """A second signal cuts nothing short: `make` passes on the one that we have had from its group already."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    servers.stop(*started)
    servers.note("mlflow", None)


def _serve(url: str, started: list[Process]) -> None:
    environment = servers.environment(url)
    os.environ.update(environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"})
    mlflow_url = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not mlflow_url.startswith("http"):
        mlflow_url = f"http://127.0.0.1:{_port(MLFLOW_PORT)}"
        started.append(_mlflow(mlflow_url))
    servers.until_it_answers(f"{url}/health")
    from flows.deploy import deploy
    from flows.workplace import bury

    bury()
    deployed = deploy()
    started.append(_worker())
    servers.until_it_answers(f"{mlflow_url}/health", "MLflow", log=_log("mlflow"))
    servers.note("mlflow", {"url": mlflow_url, "pid": started[0].pid})
    print(f"Prefect: {url.removesuffix('/api')}   runs, and forms to start them: {', '.join(deployed)}", file=sys.stderr)
    print(f"MLflow:  {mlflow_url}   measurements", file=sys.stderr)
    print(f"         {mlflow_url}/#/models   the model registry, which MLflow's first page does not show", file=sys.stderr)
    print("Ctrl-C stops both; runs in progress are interrupted and can be continued.", file=sys.stderr)
    _watch_over(started)


def _watch_over(started: list[Process]) -> None:
    """Until interrupted: start anew what ended, keep the forms at params.yaml, forget old looks at the registry."""
    from flows.deploy import deploy
    from flows.workplace import bury, tidy

    seen, tidied = _changed_at(), 0.0
    while True:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        try:
            if started[-1].poll() is not None:
                print("the worker ended; starting another", file=sys.stderr)
                started[-1] = _worker()
                bury()
            if _changed_at() != seen:
                seen = _changed_at()
                deploy()
                print("params.yaml has changed: the forms now show it", file=sys.stderr)
            if time.monotonic() - tidied > SECONDS_BETWEEN_TIDYINGS:
                tidied = time.monotonic()
                tidy()
        except Exception as error:  # a locked database, a half-written file: the next look is soon
            print(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", file=sys.stderr)


def _changed_at() -> int:
    path = Path("params.yaml")
    return path.stat().st_mtime_ns if path.exists() else 0


def _worker() -> Process:
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "crossover", "--type", "process"]
    return _start("worker", command, {"PREFECT_WORKER_QUERY_SECONDS": "2"})


def _mlflow(url: str) -> Process:
    main = workspace.main_checkout()
    store = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{main / 'mlflow.db'}")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", url.rpartition(":")[2]]
    command += ["--backend-store-uri", store, "--workers", "1"]
    command += ["--no-serve-artifacts", "--default-artifact-root", (main / "mlartifacts").as_uri()]
    return _start("mlflow", command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})


def _start(name: str, command: list[str], environment: dict[str, str]) -> Process:
    """In a session of its own: Ctrl-C reaches only us, and we end it in order."""
    with _log(name).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | environment,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def _log(name: str) -> Path:
    return servers.folder() / f"{name}.log"


def _port(wanted: int) -> int:
    """The usual port, or the next one, saying who has it."""
    port = servers.free_port(wanted)
    if port != wanted:
        print(f"port {wanted} is taken{_who(wanted)}; using {port}", file=sys.stderr)
    return port


def _who(port: int) -> str:
    import psutil  # type: ignore[import-untyped]

    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid:
            return f" by {psutil.Process(one.pid).name()} (pid {one.pid})"
    return ""


def _stop(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
