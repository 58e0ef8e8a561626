"""`make run [PARAMS=file]`: the whole line, in this checkout, or with `file` as its params.yaml in a worktree beside it.

A Prefect server is started for the run unless one answers (that of `make ui`, or the one that PREFECT_API_URL names).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from flows import lock, servers
from tasks import judge, params, records, workspace
from tasks.audit import files
from tasks.stage import Interrupted, UserError


def main(arguments: list[str]) -> int:
    """The exit code; see tasks/stage.py."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        file = Path(arguments[0]).resolve() if arguments else None
        with lock.hold(_lock_of(file), _print):
            if file:
                _move_to_worktree(file)
            settings = _settings()
            with servers.prefect() as url:
                return _run(settings, url)
    except KeyboardInterrupt:
        return _failed(Interrupted("interrupted; `make run` continues"))
    except UserError as error:
        return _failed(error)


def _lock_of(file: Path | None) -> Path:
    """Of the place that the run works in: runs in other places go on beside it."""
    return workspace.shared() / f"{_name(file)}.lock" if file else workspace.root() / ".dvc" / "tmp" / "run.lock"


def _name(file: Path) -> str:
    """Of the worktree in which `file` is params.yaml."""
    return f"params-{records.sha256_of(str(file))[:12]}"


def _settings() -> params.Params:
    """Raises UserError here, and not half a minute later, for settings that do not go with the data file or this machine."""
    settings = params.load()
    judge.check(settings)
    if Path(settings.data.path).exists():  # otherwise DVC may have it
        files.check_columns(settings)
    return settings


def _run(settings: params.Params, url: str) -> int:
    os.environ.update(servers.environment(url) | {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"})
    from flows.lifecycle import lifecycle  # while the server starts
    from flows.terminal import show
    from flows.workplace import exit_code

    servers.until_it_answers(f"{url}/health")
    show()
    state = lifecycle(settings, return_state=True)
    code = exit_code(state)
    if code == 0:
        _print("Next: `make ui` shows the run, the measurements and the registry.")
    elif code == 1:
        _print(f"{state.message}\nThe log of the run is in Prefect: `make ui`")
    elif code == Interrupted.exit_code:
        _print("`make run` continues")
    return code


def _move_to_worktree(file: Path) -> None:
    """Work in a worktree of this file's own, at the commit checked out here, with the file as its params.yaml."""
    settings = params.load(file)
    _fetch(settings)
    script = workspace.root() / "infra" / "worktree.sh"
    made = _git_or_sh(["sh", str(script), str(workspace.root()), "HEAD", _name(file)])
    commit = _git_or_sh(["git", "rev-parse", "HEAD"])
    if _git_or_sh(["git", "-C", made, "rev-parse", "HEAD"]) != commit:
        _git_or_sh(["git", "-C", made, "checkout", "--quiet", "--force", "--detach", commit])
    shutil.copyfile(file, Path(made, "params.yaml"))
    _bring(settings.data.path, Path(made))
    workspace.root.cache_clear()
    os.chdir(made)
    sys.path[0] = made
    _print(f"with {file} as params.yaml, in {made}")


def _fetch(settings: params.Params) -> None:
    """What `make install` leaves out: the data of an example, base models that are fetched on demand."""
    from tasks import example, shelf

    example.get_at(settings.data.path)
    entries = shelf.entries()
    for name in settings.candidates:
        if name in entries:
            shelf.build(name)


def _bring(path: str, made: Path) -> None:
    """Data that this checkout has DVC track, but no commit yet, into the worktree."""
    pointer = Path(f"{path}.dvc")
    if pointer.exists() and not (made / pointer).exists():
        shutil.copyfile(pointer, made / pointer)
    if (made / pointer).exists() and not (made / path).exists():
        _git_or_sh(["dvc", "--cd", str(made), "checkout", "--quiet", str(pointer)])


def _git_or_sh(command: list[str]) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": path})
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _failed(error: UserError) -> int:
    _print(str(error))
    return error.exit_code


def _print(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(main(sys.argv[1:]))
