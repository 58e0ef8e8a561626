"""The user's own judge of answers, `objective.judge`: a command that reads questions with answers and prints a number for each.

It is run without a shell, in the current folder, with the environment as it is: keys of services belong there, not into
params.yaml. It gets one JSON line an answer on stdin, {"asked": [...], "right": "...", "answer": "..."}, and prints one number
from 0 to 1 a line. What it says on stderr goes to the terminal; no record holds a word of what it says.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.params import Params
from tasks.stage import UserError, die_with_parent


class Failed(Exception):
    """The judge gave no numbers; the message says why."""


def check(settings: Params) -> None:
    """Raise UserError if there is a judge that cannot be started."""
    if settings.objective.judge is None:
        return
    try:
        _command(settings.objective.judge)
    except Failed as failed:
        said = f"params.yaml: objective.judge = {settings.objective.judge}: {failed}"
        raise UserError(f"{said}; mend the command, or leave the setting empty") from None


def numbers(judge: str, lines: Iterable[dict[str, Any]]) -> list[float]:
    """The judge's number for each of `lines`. Raises Failed."""
    given = [json.dumps(line) for line in lines]
    try:
        done = subprocess.run(
            _command(judge),
            input="".join(f"{line}\n" for line in given),
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            preexec_fn=die_with_parent,
        )
    except OSError as error:
        raise Failed(f"it cannot be started: {error.strerror}") from None
    if done.returncode:
        raise Failed(f"it ended with exit code {done.returncode}")
    found = done.stdout.splitlines()
    if len(found) != len(given):
        raise Failed(f"it printed {len(found):,} lines for {len(given):,} answers")
    return [_number(text, line) for line, text in enumerate(found, 1)]


def _number(text: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise Failed(f"line {line:,} of its output is no number from 0 to 1")
    return value


def _command(judge: str) -> list[str]:
    """Its words, the program with its path: beside the Python that runs this, or on the PATH. Raises Failed."""
    try:
        words = shlex.split(judge)
    except ValueError as error:
        raise Failed(f"no command as a shell would read it ({error})") from None
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    program = shutil.which(words[0], path=path) if words else None
    if program is None:
        raise Failed(f"{words[0] if words else 'an empty text'} is no program that can be run here")
    return [program, *words[1:]]
