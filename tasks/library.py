"""The library: pilots of one's own other use cases, by the names of their branches, in one file that changes only on purpose.

`python -m tasks.library library.json` takes them from the ledger: of each use case other than the one in params.yaml, the
newest entry's `results/screen` and `results/pilot`. Commit the file. What `decide` makes of it: `tasks.habits`. Pilots by
cross-validation have no rungs and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks import ledger, params, records, stage
from tasks.records import Library, PastCurve, PastPilot


def main(out: Path) -> None:
    found = Library(pilots=sorted(past(params.load().use_case.name), key=lambda pilot: pilot.use_case))
    records.write(found, out)
    print(f"{out}: pilots of {len(found.pilots)} other use cases, from {ledger.BRANCH.rpartition('/')[2]}")


def past(present: str) -> Iterator[PastPilot]:
    """The newest pilot of each use case in the ledger but `present`."""
    seen = {present}
    for entry in ledger.entries():
        name, branches = _about(ledger.show("params.yaml", entry.sha) or "")
        if name and name not in seen and (curves := list(_curves(entry.sha, branches))):
            seen.add(name)
            yield PastPilot(use_case=name, ledger_sha=entry.sha, curves=curves)


def _about(text: str) -> tuple[str | None, list[str]]:
    """Name and branches of the use case whose params.yaml is `text`; (None, []) if it is none."""
    try:
        settings = params.of_text(text, "")
    except stage.UserError:
        return None, []
    return settings.use_case.name, list(settings.pilots.branches)


def _curves(sha: str, branches: list[str]) -> Iterator[PastCurve]:
    for branch in branches:
        cells: dict[str | None, list[dict[str, Any]]] = {}
        for folder in ("screen", "pilot"):
            text = ledger.show(f"results/{folder}/{branch}.json", sha)
            record: dict[str, Any] = json.loads(text) if text else {}
            for cell in record.get("cells", []) if record.get("regime") == "ladder" else []:
                cells.setdefault(cell["base_model"], []).append(cell)
        for base, mine in cells.items():
            yield _curve(branch, base, sorted(mine, key=lambda cell: (cell["n"], cell["seed"])))


def _curve(branch: str, base: str | None, cells: list[dict[str, Any]]) -> PastCurve:
    names = [name for name, value in cells[0]["quality"].items() if value is not None]
    return PastCurve(
        branch=branch,
        base_model=base,
        n=[cell["n"] for cell in cells],
        seed=[cell["seed"] for cell in cells],
        quality={name: [cell["quality"][name] for cell in cells] for name in names},
    )


if __name__ == "__main__":
    stage.run(main)
