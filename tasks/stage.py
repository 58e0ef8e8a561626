"""How a stage starts and ends: `python -m tasks.<stage> IN... OUT...`, one-line errors, exit codes, no orphans.

Exit codes: 0 done; 2 the user's mistake; 3 a gate refused; 75 interrupted, can be continued; 1 our bug (with a traceback).
DVC turns every failure into 255, so a stage also writes its code to the file that CROSSOVER_RAN names, if it is set.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class UserError(Exception):
    """A mistake that the user can mend; the message names the setting or file, its value and what to do. Exit code 2."""

    exit_code = 2


class Refused(UserError):
    """A gate said no. Exit code 3."""

    exit_code = 3


class Interrupted(UserError):
    """Stopped on purpose (a signal, a cap) with everything saved; the same command continues. Exit code 75."""

    exit_code = 75


def die_with_parent() -> None:
    """Ask Linux to send SIGTERM to this process when its parent thread ends. Elsewhere: nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def run(main: Callable[..., None]) -> NoReturn:
    """Call `main` with the command line's paths and exit with the right code. `main` declares one parameter a path."""
    die_with_parent()
    signal.signal(signal.SIGTERM, _interrupt)
    _say(None, "")
    code, message = _outcome(main, sys.argv[1:])
    _say(code, message)
    if message:
        print(message, file=sys.stderr)
    sys.exit(code)


def _outcome(main: Callable[..., None], arguments: list[str]) -> tuple[int, str]:
    names = list(inspect.signature(main).parameters)
    if len(arguments) != len(names):
        return 2, f"{main.__module__}: {len(arguments)} paths given, needs {len(names)}: {' '.join(names).upper()}"
    try:
        main(*map(Path, arguments))
    except UserError as error:
        return error.exit_code, str(error)
    except KeyboardInterrupt:
        return Interrupted.exit_code, "interrupted; the same command continues"
    except BaseException:
        _say(1, "a bug in Crossover; the traceback is in the log")
        raise
    return 0, ""


def _interrupt(*_: object) -> None:
    raise Interrupted("interrupted by SIGTERM; the same command continues")


def _say(code: int | None, message: str) -> None:
    if ran := os.environ.get("CROSSOVER_RAN"):
        Path(ran).write_text(json.dumps({"exit_code": code, "message": message}))
