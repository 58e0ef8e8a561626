"""Python, the locked packages, torch and its build, and whether Prefect's server starts with them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from tasks.doctor.finding import Finding, Level

START_PREFECT = "from prefect.server.api.server import create_app; create_app()"


def python() -> Finding:
    return Finding("ok", "python", f"{sys.version.split()[0]} in {sys.prefix}")


def locked(lock: Path) -> dict[str, str]:
    """Name to version of what the lock wants on this platform and Python."""
    from packaging.requirements import Requirement

    lines = re.findall(r"^([A-Za-z0-9].*?)(?: \\)?$", lock.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = [Requirement(line) for line in lines]
    return {r.name: str(r.specifier).removeprefix("==") for r in wanted if r.marker is None or r.marker.evaluate()}


def packages(wanted: dict[str, str]) -> Finding:
    found = {name: version(name) for name in wanted}
    wrong = [
        f"{name} {found[name] or 'absent'} (locked {version})" for name, version in wanted.items() if found[name] != version
    ]
    if not wrong:
        return Finding("ok", "packages", f"{len(wanted)}, as requirements.lock says")
    level: Level = "warn" if all(found.values()) else "missing"
    return Finding(
        level, "packages", f"{len(wrong)} of {len(wanted)} differ: {', '.join(wrong[:3])}", "rm .venv/packages; make install"
    )


def torch() -> Finding:
    pinned = re.search(r'"torch==([0-9.]+)"', Path("pyproject.toml").read_text(encoding="utf-8"))
    found, wanted = version("torch") or "absent", pinned[1] if pinned else "?"
    if found.partition("+")[0] != wanted:
        return Finding("missing", "torch", f"{found}, {wanted} is pinned", "rm .venv/packages; make install")
    gpus = _gpus()
    if not gpus:
        return Finding("ok", "torch", f"{found}, no GPU here")
    import torch as library

    if not library.cuda.is_available():
        mend = "rm -r .venv; make install without TORCH_INDEX, or TORCH_INDEX=https://download.pytorch.org/whl/cu130"
        return Finding("warn", "torch", f"{found} does not see the GPU here ({gpus[0]})", mend)
    return Finding("ok", "torch", f"{found}, {len(gpus)} x {gpus[0]}")


def _gpus() -> list[str]:
    if not shutil.which("nvidia-smi"):
        return []
    done = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []


def version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def prefect_server(_: str, errors: str, code: int) -> Finding:
    """FastAPI from 0.155 on breaks the server of Prefect 3.8 at its import; it then never answers."""
    versions = f"Prefect {version('prefect')}, FastAPI {version('fastapi')}"
    if code == 0:
        return Finding("ok", "prefect server", f"starts with {versions}")
    last = errors.strip().splitlines()[-1:] or ["no message"]
    return Finding(
        "missing", "prefect server", f"cannot start with {versions}: {last[0][:120]}", "rm .venv/packages; make install"
    )
