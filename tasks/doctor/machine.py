"""Disk, memory and cores, and the servers that run here."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tasks import workspace
from tasks.doctor.finding import Finding
from tasks.stage import UserError

DISK_GB = 5
"""Packages take 1.7 GB (CPU build of torch), the shelf 0.2, a run of the example with its registered model about 1."""
MEMORY_GB = 4
"""Fully fine-tuning a model of the size of MiniLM takes 2 GB; the servers take 0.6."""
VARIABLES = {"prefect": "PREFECT_API_URL", "mlflow": "MLFLOW_TRACKING_URI"}


def machine(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free / 1e9
    more = "free some, or move the checkout to a larger disk"
    yield Finding("ok" if free >= DISK_GB else "warn", "disk", f"{free:.0f} GB free", "" if free >= DISK_GB else more)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    less = "leave `full` out of pilots.branches, or use a larger machine"
    yield Finding("ok" if memory >= MEMORY_GB else "warn", "memory", f"{memory:.1f} GB", "" if memory >= MEMORY_GB else less)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("ok", "cores", str(cores))


def server(name: str) -> Finding:
    """Whether the server answers: the user's own, named by a variable, or the one that runs here."""
    own = os.environ.get(VARIABLES[name])
    if own and not own.startswith("http"):
        return Finding("ok", name, f"{VARIABLES[name]} names a {urlsplit(own).scheme} store")
    url = own or _noted(name)
    if url is None:
        return Finding("ok", name, "no server runs; `make ui` starts one")
    if answers(url):
        return Finding("ok", name, f"answers at {without_secret(url)}")
    mend = f"start it, or unset {VARIABLES[name]}" if own else "make ui"
    return Finding("warn", name, f"does not answer at {without_secret(url)}", mend)


def answers(url: str) -> bool:
    """Whether anything accepts connections there."""
    place = urlsplit(url)
    try:
        with socket.create_connection(
            (place.hostname or "", place.port or (443 if place.scheme == "https" else 80)), timeout=2
        ):
            return True
    except OSError:
        return False


def without_secret(url: str) -> str:
    """`url` without user, password and query."""
    place = urlsplit(url)
    return place._replace(netloc=place.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _noted(name: str) -> str | None:
    try:
        noted = json.loads((workspace.shared() / "servers.json").read_text(encoding="utf-8"))
        return str(noted[name]["url"])
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None
