"""Does a cheap screen find the base model that piloting them all would? Measured with five bases on three data sets.

    python -m tests.benchmarks.bases                      the table, from data/bases.csv (a second)
    python -m tests.benchmarks.bases measure [DATA SEED]  fetches bases and data, measures what data/bases.csv lacks

A pilot fine-tunes one base in full on ROWS rows and scores it on HELD_OUT others. A screen reads SCREEN_ROWS of those rows once
with the frozen base and asks how well a linear probe on it foretells held-out folds of them (`tasks.bases`); it sees no
pilot. Every base is piloted with two seeds: other rows, other head. A way to choose is told by what its choice reaches in
the seed that it did not see, less what the choice of piloting all with the seen one reaches there: fair to both. CPU-seconds
are those of the process, with tokenizing, probe and scoring, without its start. Bases and data: `base_models.py`.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from tasks import bases
from tasks.documents import Document

CSV = Path(__file__).with_name("data") / "bases.csv"
ROWS, HELD_OUT, SCREEN_ROWS = 400, 600, 300
MAX_TOKENS = {"movies": 48, "amazon": 48, "topics": 32}
SEEDS = (0, 1)
CLEAR = 2.0
"""Points: pairs of bases nearer than this are not asked about."""


@dataclass(frozen=True)
class Measured:
    """One base on one data set with one seed: its screen and its pilot."""

    data: str
    base: str
    seed: int
    parameters: int
    layers: int
    fertility: float
    """Tokens a word."""
    probe: float
    """Mean log-likelihood of a row in held-out folds."""
    screen_cpu_s: float
    pilot: float
    """Accuracy."""
    pilot_cpu_s: float

    @property
    def screened(self) -> bases.Screened:
        return bases.Screened(self.base, self.probe, self.layers, self.parameters, self.fertility)


def read() -> list[Measured]:
    if not CSV.exists():
        return []
    kinds: dict[str, Callable[[str], object]] = {"str": str, "int": int, "float": float}
    about = {field.name: kinds[str(field.type)] for field in fields(Measured)}
    with CSV.open(newline="") as file:
        return [Measured(**{k: about[k](v) for k, v in row.items()}) for row in csv.DictReader(file)]  # type: ignore[arg-type]


def measure(only: tuple[str, int] | None = None) -> None:
    from tests.benchmarks import base_models

    done = {(row.data, row.base, row.seed) for row in read()}
    folders = base_models.fetch_all()
    for data, seed, base in product(base_models.DATA, SEEDS, folders):
        if (data, base, seed) in done or only not in (None, (data, seed)):
            continue
        row = _measure(data, base, seed, folders[base])
        with CSV.open("a", newline="") as file:
            table = csv.DictWriter(file, [field.name for field in fields(Measured)], lineterminator="\n")
            if not file.tell():
                table.writeheader()
            table.writerow(asdict(row))
        print(row, flush=True)


def _measure(data: str, base: str, seed: int, folder: Path) -> Measured:
    from tasks import candidates, documents, metrics, serving, shelf, trainers
    from tasks.recipes import recipe
    from tasks.trainers import full  # noqa: F401 (imports, before the clock starts)
    from tests.benchmarks import base_models

    rows = base_models.rows(data)
    held, rest = rows[:HELD_OUT], rows[HELD_OUT:]
    train = sorted(rest, key=lambda row: documents.share("seed", seed, row.id))[:ROWS]
    labels = documents.labels_of(rows)
    limits = {"max_tokens": MAX_TOKENS[data]}
    probe, plan = (recipe(branch, "text-classification", ROWS) | limits for branch in ("probe", "full"))
    _probe_score(folder, train[:40], labels, probe)  # the same
    start = time.process_time()
    screened = _probe_score(folder, train[:SCREEN_ROWS], labels, probe)
    screen = time.process_time() - start
    with tempfile.TemporaryDirectory() as place:
        start = time.process_time()
        trainers.train(trainers.Job("full", plan, folder, labels, train, seed, Path(place) / "model"))
        shares = serving.load(Path(place) / "model").probabilities([row.text for row in held])
        pilot = time.process_time() - start
    reached = metrics.quality(np.array(documents.label_numbers(held, labels)), shares.astype(np.float64)).accuracy
    config = json.loads((folder / "config.json").read_text())
    fertility, _ = candidates.fertility(folder / "tokenizer.json", train)
    return Measured(
        data=data,
        base=base,
        seed=seed,
        parameters=shelf.parameters(folder / "model.safetensors"),
        layers=config["num_hidden_layers"],
        fertility=fertility or 0.0,
        probe=round(screened, 4),
        screen_cpu_s=round(screen, 2),
        pilot=round(reached, 4),
        pilot_cpu_s=round(pilot, 2),
    )


def _probe_score(folder: Path, rows: Sequence[Document], labels: list[str], settings: dict[str, Any]) -> float:
    """`bases.Screened.probe` of the base model in `folder`; `settings` is a recipe of the branch `probe`."""
    from tasks import documents, serving
    from tasks.trainers.linear import choose

    encoder = serving.encoder(folder).eval()
    ids = serving.token_ids(serving.tokenizer(folder), [row.text for row in rows], settings["max_tokens"])
    features, targets = serving.embed(encoder, ids), np.array(documents.label_numbers(rows, labels))
    found = choose(features / features.std(), targets, len(labels), settings["strengths"], settings["folds"], 0)
    return found.score


# ---- the table -------------------------------------------------------------------------------------------------------


def _by(key: Callable[[Measured], Any]) -> Callable[[Sequence[Measured]], list[str]]:
    return lambda rows: [row.base for row in sorted(rows, key=key, reverse=True)]


RULES: dict[str, Callable[[Sequence[Measured]], list[str]]] = {
    "screen (tasks.bases)": lambda rows: [one.name for one in bases.ranking([row.screened for row in rows])],
    "probe score alone": _by(lambda row: row.probe),
    "largest": _by(lambda row: row.parameters),
    "most layers": _by(lambda row: (row.layers, row.parameters)),
    "fewest tokens a word": _by(lambda row: (-row.fertility, row.parameters)),
    "piloting all": _by(lambda row: row.pilot),
    "worst of the pilots": lambda rows: _by(lambda row: -row.pilot)(rows),
}
"""Each orders the bases of one data set and seed, best first."""


@dataclass(frozen=True)
class Regret:
    rule: str
    lost: list[float]
    """Points of accuracy against the choice of piloting all, in the other seed; one entry a data set and seed."""
    same: int
    """How often the choice is that of piloting all."""
    pairs: tuple[int, int]
    """Pairs of bases that the other seed tells apart (CLEAR points or more): ordered right, and all."""


def regrets(measured: Sequence[Measured]) -> list[Regret]:
    groups = {(row.data, row.seed): [r for r in measured if (r.data, r.seed) == (row.data, row.seed)] for row in measured}
    found = []
    for name, rule in RULES.items():
        lost, same, right, pairs = [], 0, 0, 0
        for (data, seed), rows in sorted(groups.items()):
            other = {row.base: 100 * row.pilot for row in groups.get((data, 1 - seed), [])}
            order, piloted = [base for base in rule(rows) if base in other], RULES["piloting all"](rows)[0]
            if piloted not in other:
                continue
            lost.append(other[piloted] - other[order[0]])
            same += piloted == order[0]
            apart = [other[a] - other[b] for a, b in combinations(order, 2) if abs(other[a] - other[b]) >= CLEAR]
            right, pairs = right + sum(difference > 0 for difference in apart), pairs + len(apart)
        found.append(Regret(name, lost, same, (right, pairs)))
    return found


def seed_noise(measured: Sequence[Measured]) -> float:
    """Standard deviation of one pilot's accuracy between seeds, points."""
    pairs: dict[tuple[str, str], list[float]] = {}
    for row in measured:
        pairs.setdefault((row.data, row.base), []).append(row.pilot)
    return 100 * float(np.sqrt(np.mean([np.var(each, ddof=1) for each in pairs.values()])))


def cost_share(measured: Sequence[Measured]) -> float:
    """CPU-seconds of screening every base over those of piloting every base."""
    return sum(row.screen_cpu_s for row in measured) / sum(row.pilot_cpu_s for row in measured)


def validate() -> list[dict[str, Any]]:
    """Rows {measure, reached, target, n} for `tasks.validate`."""
    measured = read()
    ours, *others = regrets(measured)
    name = "base-model ranking"
    against = {"probe score alone": others[0], "largest": others[1]}
    rows = [
        (f"{name}: points lost against piloting all", float(np.mean(ours.lost)), f"<= {seed_noise(measured):.2f}"),
        (f"{name}: cost over that of piloting all, %", 100 * cost_share(measured), "<= 15"),
        (f"{name}: pairs in the pilots' order, %", 100 * ours.pairs[0] / max(1, ours.pairs[1]), ""),
        *((f"{name}: points lost, choosing by {rule}", float(np.mean(one.lost)), "") for rule, one in against.items()),
    ]
    return [{"measure": m, "reached": round(v, 2), "target": t, "n": len(ours.lost)} for m, v, t in rows]


def main() -> None:
    measured = read()
    print(f"{'data':8} {'base':22} {'layers':>6} {'fertility':>9}  probe (2 seeds)   pilot, accuracy (2 seeds)")
    for data, base in dict.fromkeys((row.data, row.base) for row in measured):
        rows = sorted((r for r in measured if (r.data, r.base) == (data, base)), key=lambda r: r.seed)
        probes, pilots = (" ".join(f"{getattr(r, what):7.3f}" for r in rows) for what in ("probe", "pilot"))
        print(f"{data:8} {base:22} {rows[0].layers:6} {rows[0].fertility:9.2f}  {probes}   {pilots}")
    print(f"\n{'way to choose':22} points lost against piloting all (most)   same choice   pairs in order")
    for one in regrets(measured):
        (right, pairs), n = one.pairs, len(one.lost)
        most = max(one.lost, default=math.nan)
        print(f"{one.rule:22} {sum(one.lost) / max(n, 1):24.2f} ({most:5.2f}) {one.same:16} of {n} {right:10} of {pairs}")
    print(f"noise of a seed: {seed_noise(measured):.2f} points; the screen costs {cost_share(measured):.1%} of piloting all")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.argv[1:2] == ["measure"]:
        measure((sys.argv[2], int(sys.argv[3])) if len(sys.argv) == 4 else None)
    else:
        main()
