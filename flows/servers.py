"""The Prefect server of this repository: it lives as long as somebody uses it, on loopback, with SQLite in the shared folder.

Each user holds a shared lock, which the kernel frees when its holder ends, however it ends. The keeper, the server's
parent, stops it as soon as it can have that lock alone. `servers.json` names what runs. This module must import quickly.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tasks import workspace
from tasks.stage import UserError, die_with_parent

SECONDS_TO_START = 180.0
SECONDS_TO_FLUSH = 2.0
"""For the server to write the last events of a run before it stops."""
SECONDS_TO_END = 8.0
"""Between SIGTERM and SIGKILL: a web server waits for a request that a browser has not finished, for ever if need be."""
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "true",
    "PREFECT_CLI_PROMPT": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
}


def folder() -> Path:
    path = workspace.shared() / "prefect"
    path.mkdir(exist_ok=True, mode=0o700)
    return path


def environment(api_url: str) -> dict[str, str]:
    """For processes that talk to the server at `api_url`, and for the server itself."""
    return QUIET | {"PREFECT_HOME": str(folder()), "PREFECT_API_URL": api_url}


@contextmanager
def prefect(port: int = 0) -> Iterator[str]:
    """The API's address of the server, started if none answers (0: on any free port); stopped after its last user.

    The server may still be starting: `until_it_answers` waits. PREFECT_API_URL, if set, names a server of one's own.
    """
    if theirs := os.environ.get("PREFECT_API_URL"):
        yield theirs
        return
    with (folder() / "users.lock").open("a") as users, (folder() / "start.lock").open("a") as start:
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(start, fcntl.LOCK_EX)
        url = _running() or _start(port or free_port())
        fcntl.flock(start, fcntl.LOCK_UN)
        yield url


def until_it_answers(url: str, what: str = "Prefect", log: Path | None = None, process: Any = None) -> None:
    """Wait for `url` to answer. Raises UserError with the end of its log if it does not."""
    deadline = time.monotonic() + SECONDS_TO_START
    while not answers(url):
        if time.monotonic() > deadline or (process and process.poll() is not None):
            log = log or folder() / "server.log"
            tail = " | ".join(log.read_text(errors="replace").splitlines()[-3:]) if log.exists() else ""
            raise UserError(f"{what} does not answer at {url}; see {log}: {tail}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 (loopback, or the user's own server)
            return bool(reply.status == 200)
    except OSError:
        return False


def free_port(wanted: int = 0) -> int:
    """`wanted` or the next that is free; 0: any."""
    for port in range(wanted, wanted + 50) if wanted else [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended leaves its port free
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UserError(f"no free port from {wanted} to {wanted + 49}")


def note(name: str, about: dict[str, Any] | None) -> None:
    """Write what runs into `servers.json`, for `make doctor` and for people; null: it has ended."""
    path = workspace.shared() / "servers.json"
    with (folder() / "note.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known = noted() | {name: about}
        part = path.with_suffix(".part")
        part.write_text(json.dumps({key: value for key, value in known.items() if value}, indent=1))
        part.replace(path)


def noted() -> dict[str, Any]:
    try:
        return dict(json.loads((workspace.shared() / "servers.json").read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _running() -> str | None:
    """The address of our server, which may still be starting; whether it lives, its keeper's lock tells."""
    with (folder() / "keeper.lock").open("a") as file:
        if _alone(file):
            return None
    url = noted().get("prefect", {}).get("url")
    return str(url) if url else None


def _alone(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start(port: int) -> str:
    url = f"http://127.0.0.1:{port}/api"
    with (folder() / "server.log").open("w") as log, (folder() / "keeper.lock").open("a") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)  # goes on to the keeper with the open file
        command = [sys.executable, "-m", "flows.servers", str(port)]
        keeper = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=workspace.main_checkout(),
            env=os.environ | environment(url),
            start_new_session=True,
            pass_fds=[alive.fileno()],
        )
    note("prefect", {"url": url, "pid": keeper.pid, "since": time.strftime("%Y-%m-%d %H:%M:%S")})
    return url


def keep(port: int) -> None:
    """Be the server's parent until it ends or nobody uses it."""
    with (folder() / "users.lock").open("a") as users:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        while server.poll() is None:
            if _alone(users):
                time.sleep(SECONDS_TO_FLUSH)
                break
            time.sleep(0.5)
        stop(server)
        note("prefect", None)


def stop(*processes: subprocess.Popen[Any]) -> None:
    """SIGTERM to all at once, then SIGKILL, also to what they have started."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + SECONDS_TO_END
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _kill(process)


def _kill(process: subprocess.Popen[Any]) -> None:
    import psutil  # type: ignore[import-untyped]

    root = psutil.Process(process.pid)
    for one in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()


if __name__ == "__main__":
    keep(int(sys.argv[1]))
