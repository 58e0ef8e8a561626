"""A made-up use case: records as the stages would leave them, from learning curves that are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks import records
from tasks.decide import Inputs
from tasks.documents import share
from tasks.params import Params, check
from tasks.recipes import recipe
from tasks.records import (
    Audit,
    Candidate,
    Candidates,
    Cell,
    Entry,
    Measured,
    Pilot,
    Quality,
    Shortlist,
    Span,
    Split,
)

TASK = "text-classification"
HELDOUT = 480
RUNGS = (120, 240, 480, 960)
BRANCHES = ("baseline", "probe", "lora", "full", "scratch")


@dataclass(frozen=True)
class Law:
    """Accuracy 1 − (a·(n/100)^−b + c); seconds of CPU time a row and epoch."""

    a: float
    b: float
    c: float
    seconds: float = 0.02
    peak_gb: float = 0.8
    model_gb: float = 0.09

    def accuracy(self, n: float) -> float:
        return float(1 - (self.a * (n / 100) ** -self.b + self.c))


LAWS: dict[tuple[str, str | None], Law] = {
    ("baseline", None): Law(0.38, 0.16, 0.02, 0.0004, 0.3, 0.002),
    ("probe", "MiniLM-L6"): Law(0.16, 0.25, 0.17, 0.008, 0.5),
    ("probe", "MiniLM-L3"): Law(0.18, 0.25, 0.19, 0.005, 0.5, 0.07),
    ("lora", "MiniLM-L6"): Law(0.20, 0.40, 0.12, 0.035),
    ("lora", "MiniLM-L3"): Law(0.22, 0.38, 0.15, 0.020, 0.7, 0.07),
    ("full", "MiniLM-L6"): Law(0.22, 0.45, 0.11, 0.040, 1.1),
    ("full", "MiniLM-L3"): Law(0.24, 0.42, 0.14, 0.022, 0.9, 0.07),
    ("scratch", None): Law(0.36, 0.14, 0.11, 0.012, 0.6, 0.006),
}


def settings(**changes: dict[str, object]) -> Params:
    """The default settings with some values of a section changed."""
    values = Params().model_dump(mode="json")
    for section, new in changes.items():
        values[section] |= new
    return check(values, "test")


def cell(branch: str, base: str | None, law: Law, n: int, seed: int, *, heldout: int = HELDOUT, noise: float = 1.0) -> Cell:
    truth, z = law.accuracy(n), _normal(branch, base, n, seed)
    common = _normal("rows", n, seed)
    wobble = noise * math.sqrt(truth * (1 - truth) / heldout) * (0.8 * common + 0.4 * z)
    accuracy = min(max(round((truth + wobble) * heldout) / heldout, 0.0), 1.0)
    plan = recipe(branch, TASK, n)
    cpu = law.seconds * n * float(plan.get("epochs", 1)) * (1 + 0.04 * _normal("time", branch, base, n, seed)) + 0.3
    return Cell(
        key=f"{branch}-{base}-{n}-{seed}",
        branch=branch,
        base_model=base,
        base_sha256=f"sha-{base}" if base else None,
        recipe=plan,
        seed=seed,
        n=n,
        n_heldout=heldout,
        train_sha256=f"train-{n}-{seed}",
        heldout_sha256="heldout" if heldout == HELDOUT else f"fold-{seed}",
        quality=Quality(accuracy=accuracy, macro_f1=accuracy - 0.002, log_loss=1.6 * (1 - accuracy)),
        measured=Measured(
            cpu_seconds=round(cpu, 3),
            wall_seconds=round(cpu / 1.8, 3),
            predict_cpu_seconds=round(law.seconds * heldout / 3, 3),
            peak_gb=law.peak_gb,
            model_gb=law.model_gb,
            tokens=40 * n,
            machine="a CPU, 2 cores",
            cores=2,
        ),
    )


def inputs(
    params: Params | None = None,
    laws: dict[tuple[str, str | None], Law] | None = None,
    *,
    rows: int = 2400,
    stopped: tuple[tuple[str, str | None], ...] = (("lora", "MiniLM-L3"), ("full", "MiniLM-L3"), ("scratch", None)),
    noise: float = 1.0,
    seeds: int = 2,
    rungs: tuple[int, ...] = RUNGS,
) -> Inputs:
    """What `decide` reads, for these true curves; `stopped` pairs have only the lower half of the rungs."""
    known = laws or LAWS
    low, high = rungs[: len(rungs) // 2], rungs[len(rungs) // 2 :]
    branches = list(dict.fromkeys(branch for branch, _ in known))
    settings_ = params or settings(pilots={"branches": branches, "rungs": list(rungs), "seeds": seeds})

    def cells(branch: str, ladder: tuple[int, ...], without: tuple[tuple[str, str | None], ...]) -> list[Cell]:
        mine = [(key, law) for key, law in known.items() if key[0] == branch and key not in without]
        return [cell(*key, law, n, seed, noise=noise) for key, law in mine for n in ladder for seed in range(seeds)]

    return Inputs(
        settings=settings_,
        audit=audit(rows),
        candidates=candidates(),
        shortlist=shortlist(known, stopped),
        screens={b: Pilot(branch=b, regime="ladder", cells=cells(b, low, ()), not_continued={}) for b in branches},
        pilots={b: Pilot(branch=b, regime="ladder", cells=cells(b, high, stopped), not_continued={}) for b in branches},
    )


def folded(rows: int = 240) -> Inputs:
    """The same with few rows: five folds of the whole training split, one rung."""
    screens = {
        b: Pilot(
            branch=b,
            regime="cross-validation",
            cells=[
                cell(*key, law, rows * 4 // 5 + i % 2, i, heldout=rows // 5)
                for key, law in LAWS.items()
                if key[0] == b
                for i in range(5)
            ],
            not_continued={},
        )
        for b in BRANCHES
    }
    pilots = {b: Pilot(branch=b, regime="cross-validation", cells=[], not_continued={}) for b in BRANCHES}
    return Inputs(settings(), audit(rows), candidates(), shortlist(LAWS, tuple(LAWS)), screens, pilots)


def shortlist(known: dict[tuple[str, str | None], Law], stopped: tuple[tuple[str, str | None], ...]) -> Shortlist:
    entries = [
        Entry(
            branch=b, base_model=base, continued=(b, base) not in stopped, reason="behind" if (b, base) in stopped else "leads"
        )
        for b, base in known
    ]
    continued: dict[str, list[str]] = {}
    for entry in entries:
        continued.setdefault(entry.branch, []).extend([entry.base_model or "-"] if entry.continued else [])
    return Shortlist(entries=entries, continued=continued)


def candidates() -> Candidates:
    def one(name: str, parameters: int) -> Candidate:
        return Candidate(
            name=name,
            sha256=f"sha-{name}",
            licence="apache-2.0",
            source="a shelf",
            parameters=parameters,
            bytes=4 * parameters,
            max_tokens=512,
            fertility=1.2,
        )

    return Candidates(candidates=[one("MiniLM-L6", 22_700_000), one("MiniLM-L3", 17_400_000)])


def audit(rows: int) -> Audit:
    test = max(rows // 4, 20)
    kept = rows + test
    return Audit(
        path="data/movie-reviews.jsonl",
        format="jsonl",
        bytes=1_200_000,
        rows_delivered=10_605,
        rows_rejected={"empty": 13, "label missing": 4},
        exact_duplicates=29,
        near_duplicates=62,
        rows_not_drawn=10_605 - 13 - 4 - 29 - kept,
        rows_kept=kept,
        labels={"negative": kept // 2, "positive": kept - kept // 2},
        conflicting_labels=2,
        near_conflicts=1,
        largest_group=7,
        stand_ins=[],
        characters={"min": 9, "median": 106, "mean": 110, "p95": 200, "max": 276},
        words={"min": 2, "median": 20, "mean": 21, "p95": 38, "max": 56},
        groups=kept - 60,
        leaks_prevented=21,
        train=Split(rows=rows, groups=rows - 48, sha256="train"),
        test=Split(rows=test, groups=test - 12, sha256="test"),
        n_effective=Span(value=rows * 0.97, low=rows * 0.95, high=rows * 0.99),
        columns={"text": "text", "label": "label"},
        warnings=[],
    )


def write(given: Inputs, results: Path) -> None:
    """The records as files, where the stages leave them."""
    records.write(given.audit, results / "audit.json")
    records.write(given.candidates, results / "candidates.json")
    records.write(given.look, results / "look.json")
    records.write(given.library, results / "library.json")
    records.write(given.shortlist, results / "shortlist.json")
    for name in given.screens:
        records.write(given.screens[name], results / "screen" / f"{name}.json")
        records.write(given.pilots[name], results / "pilot" / f"{name}.json")


def _normal(*words: object) -> float:
    """A standard normal number that is a fixed function of `words`."""
    return float(np.random.default_rng(int(share(*words) * 2**53)).standard_normal())
