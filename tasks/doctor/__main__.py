"""`make doctor`: what is missing or does not fit, and how to mend it, on one screen. It changes nothing and tells no secret.

Exit code 0 when nothing is missing or wrong, 2 otherwise; a warning is no failure.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tasks import stage
from tasks.doctor import machine, packages
from tasks.doctor.finding import Finding
from tasks.stage import UserError


def findings(folder: Path) -> Iterator[Finding]:
    """What there is to say of the checkout in `folder`, which is the current one. All packages must be there."""
    from tasks.doctor import project, remotes

    with tempfile.TemporaryDirectory() as home:  # Prefect sets things up in its home when it is imported
        prefect = _start("-c", packages.START_PREFECT, env={"PREFECT_HOME": home})
        status = _start("-m", "dvc", "status", "--json")
        yield packages.python()
        yield packages.packages(packages.locked(Path("requirements.lock")))
        yield packages.torch()
        yield from machine.machine(folder)
        yield packages.prefect_server(*prefect.communicate(), prefect.returncode)
    for name in machine.VARIABLES:
        yield machine.server(name)
    yield from project.repository()
    yield from project.settings_and_data()
    yield from project.base_models()
    yield project.graph(*status.communicate(), status.returncode)
    yield from remotes.remotes()


def _start(*arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env=os.environ | (env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def shown(found: Iterable[Finding], say: Callable[[str], None] = print) -> int:
    """Say one line each, with the way to mend it below; how many are missing or wrong."""
    bad = 0
    for finding in found:
        say(f"{finding.level:8} {finding.subject:15} {finding.found}")
        if finding.mend:
            say(f"{'':8} {'':15} -> {finding.mend}")
        bad += finding.level in ("missing", "wrong")
    return bad


def main() -> None:
    wanted = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    absent = [name for name in (re.split(r"[^A-Za-z0-9._-]", line)[0] for line in wanted) if packages.version(name) is None]
    if absent:
        raise UserError(f"missing  packages        {', '.join(absent)} not installed in {sys.prefix}\n{'':24} -> make install")
    if bad := shown(findings(Path.cwd())):
        raise UserError(f"{bad} missing or wrong")


if __name__ == "__main__":
    stage.run(main)
