"""The checkout: git, settings, data, base models, and what DVC would run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tasks import judge, ledger, params, shelf, workspace
from tasks.audit import files
from tasks.doctor.finding import Finding, Level
from tasks.stage import UserError


def repository() -> Iterator[Finding]:
    try:
        workspace.root()
    except UserError:
        yield Finding("missing", "git", "this folder is not a repository", "make install")
        return
    if ledger.head() is None:
        yield Finding("missing", "git", "no commit yet", "make install")
        return
    changed = workspace.changed()
    said = f"{len(changed)} uncommitted changes; scheduled runs see what is committed" if changed else "all committed"
    yield Finding("ok", "git", said)
    yield Finding("ok", "ledger", f"{len(ledger.entries())} entries on {ledger.BRANCH}")


def settings_and_data() -> Iterator[Finding]:
    try:
        settings = params.load()
        judge.check(settings)
    except UserError as error:
        level: Level = "wrong" if Path("params.yaml").exists() else "missing"
        yield from (Finding(level, "params.yaml", line, "edit params.yaml") for line in str(error).splitlines())
        return
    yield Finding("ok", "params.yaml", "valid")
    data = Path(settings.data.path)
    if not data.exists():
        yield Finding(
            "missing",
            "data",
            f"{data} is not there",
            f"dvc pull {data}, or mend data.path; the example: python -m tasks.example",
        )
        return
    try:
        files.check_columns(settings)
    except UserError as error:
        yield Finding("wrong", "data", str(error), "edit params.yaml, or mend the file")
        return
    if not Path(f"{data}.dvc").exists():
        yield Finding("warn", "data", f"{data} has no version: scheduled runs and colleagues do not get it", f"dvc add {data}")
    else:
        yield Finding("ok", "data", f"{data}, {_size(data)}, has the columns named, versioned")


def _size(data: Path) -> str:
    parts = data.rglob("*") if data.is_dir() else [data]
    size = sum(part.stat().st_size for part in parts if part.is_file())
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} KB"


def base_models() -> Iterator[Finding]:
    try:
        named = params.load().candidates
    except UserError:  # said beside params.yaml already
        named = []
    try:
        always = [name for name, entry in shelf.entries().items() if not entry.on_demand]
        wanted = list(dict.fromkeys([*named, *always]))
        for name in wanted:
            shelf.folder(name)
    except UserError as error:
        yield Finding("missing", "shelf", str(error), "python -m tasks.shelf")
        return
    yield Finding("ok", "shelf", f"{', '.join(wanted)}: as shelf.yaml pins them")


def graph(out: str, errors: str, code: int) -> Finding:
    if code:
        said = (errors.strip().splitlines() or ["no message"])[-1]
        return Finding("wrong", "dvc", f"dvc status fails: {said[:120]}", "python -m dvc status")
    changed = json.loads(out)
    more = ", ..." if len(changed) > 4 else ""
    said = f"{len(changed)} stages to run: {', '.join(list(changed)[:4])}{more}" if changed else "nothing to run"
    return Finding("ok", "dvc", said)
