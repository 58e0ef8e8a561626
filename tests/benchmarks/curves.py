"""How good are the learning curves? Prints the validation table, and remakes the shipped conformal table.

    python -m tests.benchmarks.curves                     the table, from the shipped quantiles (about half a minute)
    python -m tests.benchmarks.curves refit               remakes tasks/tables/curve_intervals.json, then the table
    python -m tests.benchmarks.curves condense DIR        remakes data/lcdb.npz from the folder `lcdb` of that package

Nothing in an estimate is fitted to these curves. Intervals and the choice are: where their coverage, hits and regret are
stated, quantiles and weights come from the other groups of data sets (LCDB, ten folds) or the other model families (Lin).
What was picked by hand with all of these curves in view (the share trimmed among some forty ways to combine the laws, when a
line is given up, the terms of the scale, the features and threshold of the choice) makes the figures somewhat optimistic.
A library of past curves by name changes the choice alone (`tasks.habits`). For the values of losses two were tried on Lin,
ridge regressions on other families' curves, with and without a Gaussian process: intervals that cover nine in ten were no
narrower than 12 % at x8, and on a task that was not in the library x32 was off by 8 % instead of 4.5. So none is used.
Sources and licences: data/README.md.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import curves, habits
from tasks.laws import TINY

Array = NDArray[np.float64]

DATA = Path(__file__).with_name("data")
FOLDS = 10
SMALLEST_TARGET = 2048  # rows; smaller data sets make no pilot of four rungs
DRAWS = 4  # how often six learners are drawn from a data set
RATIOS = [1, 2, 4, 8, 16, 32, 64, 88]  # of target to largest rung, at least; half-octave rungs make up to 1.41 times that
FEW = 200  # errors; fewer tell nothing of either tail alone
THRESHOLD = 0.7  # probability that overrules the leader: least regret over the four LCDB backtests, of .5 to .8
CROSSING = 0.35  # probability from which a pair is said to cross
SETS = (10, 20)  # past data sets of small libraries
LATER = {8: "0.35, later", 32: "0.75, later"}  # what is hoped for of a library with named branches
MISSING = 65535
# Data sets that are one another's copies, subsets or relabellings (OpenML ids): never on both sides of a fold.
GROUPS = [
    (179, 1590, 1119, 41156), (6, 977), (180, 293), (354, 1567), (1111, 1112, 1114), (396, 393, 390, 399), (1002, 1018, 993),
    (57, 1000, 38, 40713), (26, 959), (28, 980), (30, 1021), (32, 1019), (46, 953, 40670), (60, 979), (182, 40900),
    (1036, 1040), (41158, 1042, 1041, 554), (1235, 1236), (1216, 42733), (761, 735), (821, 843), (822, 823), (803, 819),
    (752, 816), (1485, 41144), (201, 722), (42769, 23512), (734, 846),
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A pilot of one curve and what came of it. Errors: 1 − accuracy, or a loss."""

    pilot: str
    """Cases of the same pilot compete with each other."""
    group: str
    """What is left out together."""
    curve: curves.Curve
    to_n: int
    truth: float
    """Mean over all runs at `to_n`."""
    run: float
    """One run there that is not in the pilot; nan where none is known."""


Cases = dict[int, list[Case]]  # by ratio


# ---- the published curves ----------------------------------------------------------------------------------------------


@cache
def lcdb() -> dict[str, NDArray[Any]]:
    """Rows sorted by dataset, learner, n: accuracy `mean` of all runs, `runs` (four of them), `log_loss` mean; all floats."""
    with np.load(DATA / "lcdb.npz", allow_pickle=False) as file:
        raw = {name: file[name] for name in file.files}
    raw["mean"] = raw["mean"] / 1e5
    raw["runs"] = np.where(raw["runs"] == MISSING, math.nan, raw["runs"] / 1e4)
    raw["log_loss"] = raw["log_loss"] / 1e4
    return raw


@cache
def lin(path: Path = DATA / "lin2024.csv") -> dict[tuple[str, str], tuple[str, Array, Array]]:
    """(task, model) to (family, n, loss), n ascending, without n = 0."""
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    family = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            key = row["task"], row["model"]
            family[key] = row["family"]
            if float(row["n_train"]) > 0:
                rows.setdefault(key, []).append((float(row["n_train"]), float(row["test_loss"])))
    return {key: (family[key], *np.array(sorted(points)).T) for key, points in rows.items()}


def group_of(dataset: int) -> str:
    return str(next((group[0] for group in GROUPS if dataset in group), dataset))


def lin_cases(ratio: float, rungs: int = 99, path: Path = DATA / "lin2024.csv") -> list[Case]:
    cases = []
    for (task, _), (family, n, loss) in lin(path).items():
        seen = n * ratio <= n[-1] * 1.001
        curve = curves.Curve(tuple(n[seen][-rungs:]), tuple(loss[seen][-rungs:]), higher_is_better=False)
        cases.append(Case(f"{task}", family, curve, int(n[-1]), float(loss[-1]), float(loss[-1])))
    return cases


def _lcdb_curves() -> list[tuple[int, int, NDArray[Any]]]:
    """(dataset, learner, indices into lcdb()) of each curve."""
    data = lcdb()
    key = data["dataset"].astype(np.int64) * 100 + data["learner"]
    starts = np.append(np.flatnonzero(np.diff(key, prepend=-1)), len(key))
    return [(int(data["dataset"][a]), int(data["learner"][a]), np.arange(a, b)) for a, b in pairwise(starts)]


def lcdb_means(ratio: float, log_loss: bool = False) -> list[Case]:
    """Every curve that reaches the largest size of its data set; half-octave rungs, each the mean of all runs."""
    data, cases = lcdb(), []
    for dataset, _, at in _lcdb_curves():
        value = data["log_loss"][at] if log_loss else data["mean"][at]
        n = data["n"][at]
        seen = n <= n[-1] / ratio
        if seen.sum() < 4 or (log_loss and not (value > 0).all()):
            continue
        curve = curves.Curve(tuple(n[seen].tolist()), tuple(value[seen].tolist()), higher_is_better=not log_loss)
        cases.append(Case(str(dataset), group_of(dataset), curve, int(n[-1]), float(value[-1]), float(data["runs"][at[-1], 3])))
    return cases


def lcdb_pilots(ratio: float, rungs: int = 6, fewest: int = 4, draws: int = DRAWS, seeds: int = 3) -> list[Case]:
    """Pilots as this project makes them: at most six octave rungs, three seeds, six learners; `draws` of each data set."""
    data, cases = lcdb(), []
    of: dict[int, list[NDArray[Any]]] = {}
    names = data["learners"]
    for dataset, _, at in _lcdb_curves():
        n = data["n"][at]
        below = at[n <= n[-1] / ratio][::-1][::2][:rungs][::-1]
        if len(below) >= fewest and not np.isnan(data["runs"][np.append(below, at[-1])]).any():
            of.setdefault(dataset, []).append(np.append(below, at[-1]))
    for dataset, learners in of.items():
        random = np.random.default_rng([dataset, int(ratio)])
        for draw in range(draws if len(learners) > 1 else 0):
            for k in random.permutation(len(learners))[:6]:
                at, last = learners[k][:-1], learners[k][-1]
                n, value = np.repeat(data["n"][at], seeds), data["runs"][at, :seeds].ravel()
                name = str(names[data["learner"][last]])
                curve = curves.Curve(tuple(n.tolist()), tuple(value.tolist()), tuple(range(seeds)) * len(at), name=name)
                truth, run = float(data["mean"][last]), float(data["runs"][last, 3])
                cases.append(Case(f"{dataset}/{draw}", group_of(dataset), curve, int(data["n"][last]), truth, run))
    return cases


# ---- errors in scales, and their quantiles -------------------------------------------------------------------------------


@cache
def found(curve: curves.Curve, to_n: int) -> tuple[curves.End, curves.Estimate]:
    end = curves.end_of(curve, to_n)
    assert isinstance(end, curves.End), end
    return end, curves.find(end)


def missed(case: Case, truth: float) -> float:
    """Scales by which the true error lies above the estimate, after what the spread of the seeds explains of it."""
    end, estimate = found(case.curve, case.to_n)
    noise = curves.Z90 * math.sqrt(curves._noise(end, estimate.e, None))
    by = _true_error(end, truth) - estimate.e
    if not end.is_score:
        by, noise = math.log(max(_true_error(end, truth), TINY) / estimate.e), noise / estimate.e
    return math.copysign(math.sqrt(max(0.0, by**2 - noise**2)), by) / estimate.scale


def _true_error(end: curves.End, truth: float) -> float:
    return 1 - truth if end.is_score else truth / end.unit


def reach(errors: Array) -> tuple[float, float]:
    """Split-conformal: with 5 % beyond either end, or 10 % beyond both together where there are few."""
    if len(errors) < FEW:
        both = _conformal(np.abs(errors), 0.9)
        return both, both
    return max(0.0, _conformal(-errors, 0.95)), max(0.0, _conformal(errors, 0.95))


def _conformal(errors: Array, level: float) -> float:
    """The ⌈level·(n+1)⌉-th smallest (Lei et al. 2018)."""
    return float(np.sort(errors)[min(len(errors), math.ceil(level * (len(errors) + 1))) - 1])


def calibration(ratio: float, few_rungs: bool = True) -> dict[tuple[str, int], tuple[Array, Array]]:
    """(kind, rungs) to errors in scales and their groups: what the quantiles at this ratio are made of."""
    measured: dict[tuple[str, int], list[tuple[float, str]]] = {}

    def add(kind: str | None, rungs: int, cases: Iterable[Case], truth: Callable[[Case], float]) -> None:
        for case in cases:
            of = kind or found(case.curve, case.to_n)[1].method
            measured.setdefault((of, rungs), []).append((missed(case, truth(case)), case.group))

    add("score", 4, lcdb_means(ratio), lambda case: case.truth)
    add("laws", 4, [c for c in lcdb_means(ratio, True) if _by_laws(c)], lambda case: case.truth)
    for kind, seeds in (("score", 1), ("score of several seeds", 3)):
        add(kind, 4, lcdb_pilots(ratio, draws=1, seeds=seeds), lambda case: case.run)
        for rungs in (1, 2, 3) if few_rungs else ():
            add(kind, rungs, lcdb_pilots(ratio, rungs, rungs, 1, seeds), lambda case: case.run)
    for rungs in (1, 2, 3, 99) if few_rungs else (99,):
        add("line", min(rungs, 4), [c for c in lin_cases(ratio, rungs) if not _by_laws(c)], lambda case: case.truth)
    return {key: (np.array([e for e, _ in rows]), np.array([g for _, g in rows])) for key, rows in measured.items()}


def _by_laws(case: Case) -> bool:
    return found(case.curve, case.to_n)[1].method == "laws"


def refit(path: Path = curves.TABLE) -> None:
    """Remake the shipped table from the published curves; about two minutes."""
    errors = {ratio: calibration(ratio) for ratio in RATIOS}
    table: dict[str, dict[str, dict[str, list[float]]]] = {}
    for kind, rungs in sorted(errors[8]):
        # one run of Lin's models a rung: what a second would give is not known, and the octave beyond stands for it
        # a longer way is never surer, whatever a few curves say
        reaches = [reach(errors[2 if ratio == 1 and kind in ("line", "laws") else ratio][kind, rungs][0]) for ratio in RATIOS]
        below, above = np.maximum.accumulate(np.round(reaches, 3)).T
        row = {"below": below.tolist(), "above": above.tolist()}
        table.setdefault(kind, {})[str(rungs)] = row
    pilots = (make(ratio) for make in (lcdb_means, lcdb_pilots) for ratio in (8, 32))
    weights = _fit_choice([pair for cases in pilots for pair in _pairs(cases)])
    seen = lcdb_pilots(8, draws=1)
    halves = _in_halves(seen, errors[8]["score of several seeds", 4])
    content = {
        "version": 1,
        "made_by": "python -m tests.benchmarks.curves refit",
        "sources": ["lcdb 0.1.0 (MIT)", "Lin et al. 2024, arXiv 2402.02314 (Apache-2.0)"],
        "level": 0.9,
        "ratios": RATIOS,
        "quantiles": table,
        "shape": _shape(halves),
        "correlation": round(_correlation(seen, halves), 2),
        "choice": {"weights": [round(float(w), 3) for w in weights], "threshold": THRESHOLD},
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    curves.table.cache_clear()


def _in_halves(cases: Sequence[Case], errors: tuple[Array, Array]) -> Array:
    """Errors of single runs in units of their half of the 90 % interval; above 0 where the error was underestimated."""
    signed = []
    for case in cases:
        end, estimate = found(case.curve, case.to_n)
        low, high = curves.interval(end, estimate, reach(errors[0]))
        by = _true_error(end, case.run) - estimate.e
        signed.append(by / max(high - estimate.e if by > 0 else estimate.e - low, TINY))
    return np.array(signed)


def _shape(halves: Array) -> dict[str, list[float]]:
    """How far the quantiles of the errors lie from the estimate, in halves of the 90 % interval, at normal scores z."""
    z = [0.0, 0.6745, 1.2816, curves.Z90, 1.96, 2.5758]
    lengths = np.quantile(np.abs(halves), [0.0, 0.5, 0.8, 0.9, 0.95, 0.99])
    return {"z": [round(x, 4) for x in z], "reach": [0.0, *(round(float(x / lengths[3]), 3) for x in lengths[1:])]}


def _correlation(cases: Sequence[Case], halves: Array) -> float:
    """Between the normal scores of the errors of two branches of one pilot, at least 0."""
    rank = (np.argsort(np.argsort(halves)) + 0.5) / len(halves)
    of: dict[str, list[float]] = {}
    for case, level in zip(cases, rank, strict=True):
        of.setdefault(case.pilot, []).append(NormalDist().inv_cdf(float(level)))
    products = [(sum(z) ** 2 - sum(x * x for x in z)) / (len(z) * (len(z) - 1)) for z in of.values() if len(z) > 1]
    return max(0.0, float(np.mean(products)))


# ---- choosing ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A branch behind another at the last rung, and whether it ended above it."""

    group: str
    features: tuple[float, float]
    overtook: bool
    apart: float
    """True difference of the two."""
    weight: float


def _pilots(cases: Iterable[Case]) -> list[list[Case]]:
    by: dict[str, list[Case]] = {}
    for case in cases:
        by.setdefault(case.pilot, []).append(case)
    return [pilot for pilot in by.values() if len(pilot) > 1]


def _features(behind: Case, leader: Case) -> tuple[float, float]:
    (a, mine), (b, theirs) = found(behind.curve, behind.to_n), found(leader.curve, leader.to_n)
    scale = math.hypot(mine.scale, theirs.scale)
    return (b.e[-1] - a.e[-1]) / scale, (theirs.e - mine.e) / scale


def _last(case: Case) -> float:
    return float(found(case.curve, case.to_n)[0].e[-1])


def _pairs(cases: Iterable[Case]) -> list[Pair]:
    pairs = []
    for pilot in _pilots(cases):
        ranked = sorted(pilot, key=_last)
        for k, behind in enumerate(ranked):
            for leader in ranked[:k]:
                apart = behind.truth - leader.truth
                weight = min(abs(apart), 0.02) / 0.02 / len(pilot)
                pairs.append(Pair(behind.group, _features(behind, leader), apart > 0, abs(apart), weight))
    return pairs


def _fit_choice(pairs: Sequence[Pair]) -> Array:
    """Logistic regression by Newton's method; pairs two points apart or more weigh fully."""
    x = np.array([(math.tanh(3 * p.features[0]), math.tanh(p.features[1]), 1.0) for p in pairs])
    y, w = np.array([p.overtook for p in pairs], float), np.array([p.weight for p in pairs])
    weights = np.zeros(3)
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = (x * (w * p * (1 - p))[:, None]).T @ x + 0.1 * np.eye(3)
        weights += np.linalg.solve(hessian, x.T @ (w * (y - p)) - 0.1 * weights)
    return weights


def _regrets(pilot: list[Case], weights: Array) -> tuple[float, float]:
    """Points lost against the best branch by choosing as `curves.choose` does, and by the last value alone."""
    leader = min(pilot, key=_last)
    chances = [0.0 if c is leader else curves.chance(*_features(c, leader), weights.tolist()) for c in pilot]
    best = int(np.argmax(chances))
    chosen = pilot[best] if chances[best] > THRESHOLD else leader
    top = max(case.truth for case in pilot)
    return 100 * (top - chosen.truth), 100 * (top - leader.truth)


# ---- the table that `make validate` prints ---------------------------------------------------------------------------------


def fold(group: str) -> int:
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % FOLDS


Row = dict[str, Any]


def validate(truth: Path | None = None) -> list[Row]:
    """Rows {measure, reached, target, n}; `truth`: a folder whose learning_curves_lin2024.csv takes the shipped one's place."""
    given = truth / "learning_curves_lin2024.csv" if truth else DATA
    language = {ratio: lin_cases(ratio, path=given if given.is_file() else DATA / "lin2024.csv") for ratio in (8, 32)}
    means, pilots = ({ratio: make(ratio) for ratio in (8, 32)} for make in (lcdb_means, lcdb_pilots))
    rows = _accuracy(language, means, pilots)
    rows += [row for ratio in (8, 32) for row in _intervals(ratio, language[ratio], means[ratio], pilots[ratio])]
    return rows + _choices(means, pilots)


def _row(measure: str, reached: float, target: str, n: int) -> Row:
    return {"measure": measure, "reached": round(float(reached), 3), "target": target, "n": n}


def _accuracy(language: Cases, means: Cases, pilots: Cases) -> list[Row]:
    rows = []
    for name, unit, by_ratio, targets in (
        ("Lin curves", "% of the loss", language, {8: ("<= 1.8", ""), 32: ("<= 4.5", "")}),
        ("LCDB", "points", means, {8: ("<= 0.85", "<= 5.7"), 32: ("<= 1.85", "")}),
        ("LCDB pilots (6 branches, 3 seeds)", "points", pilots, {8: ("<= 1.1", ""), 32: ("<= 1.95", "")}),
    ):
        for ratio, (median, tail) in targets.items():
            off = _off(by_ratio[ratio])
            rows.append(_row(f"{name}, x{ratio}, median error, {unit}", np.median(off), median, len(off)))
            rows.append(_row(f"{name}, x{ratio}, 90th percentile, {unit}", np.quantile(off, 0.9), tail, len(off)))
    return rows


def _intervals(ratio: int, language: list[Case], means: list[Case], pilots: list[Case]) -> list[Row]:
    errors, rows = calibration(ratio, few_rungs=False), []
    for name, kind, cases, unit, widest in (
        ("Lin curves", "line", language, "% of the loss", "<= 10"),
        ("LCDB", "score", means, "points", "<= 9.0"),
        ("LCDB pilots, one full run", "score of several seeds", pilots, "points", ""),
        ("LCDB log-losses", None, lcdb_means(ratio, True), "% of the loss", ""),
    ):
        covered, width = _coverage(errors, kind, cases, str if kind == "line" else fold, one_run=cases is pilots)
        start = f"90 % intervals, x{ratio}, {name}"
        rows.append(_row(f"{start}: coverage, %", covered, "88-92" if kind else "", len(cases)))
        rows.append(_row(f"{start}: median width, {unit}", width, widest if ratio == 8 else "", len(cases)))
    return rows


def _with_library(pilots: Cases, weights: dict[int, Array]) -> list[Row]:
    """Choosing with the habits of learners by name (`tasks.habits`), from the pilots of other data sets at the same ratio."""
    rows = []
    for ratio, cases in pilots.items():
        by_fold: dict[int, list[tuple[str, habits.Over]]] = {}
        for pilot in _pilots(cases):
            of = fold(pilot[0].group)
            seen = [habits.Seen(case.curve, case.to_n, case.truth) for case in pilot]
            by_fold.setdefault(of, []).append((pilot[0].group, habits.over(seen, weights[of].tolist())))
        for sets, target in ((SETS[0], ""), (SETS[1], ""), (None, LATER[ratio])):
            lost = []
            for left_out, mine in by_fold.items():
                others = [one for other, theirs in by_fold.items() if other != left_out for one in theirs]
                kept = _some([group for group, _ in others], sets, left_out)
                known = habits.learn(past for group, past in others if group in kept)
                lost += [100 * habits.lost(past, known) for _, past in mine]
            name = f"library of {sets} data sets" if sets else "library of the other data sets"
            rows.append(_row(f"regret of choosing, x{ratio}, with a {name} by name, points", np.mean(lost), target, len(lost)))
    return rows


def _some(groups: list[str], sets: int | None, seed: int) -> set[str]:
    """So many groups, drawn at random; all, if None."""
    every = sorted(set(groups))
    return set(every if sets is None else np.random.default_rng(seed).choice(every, sets, replace=False).tolist())


def _choices(means: Cases, pilots: Cases) -> list[Row]:
    pairs = [pair for part in (means, pilots) for cases in part.values() for pair in _pairs(cases)]
    weights = {left_out: _fit_choice([p for p in pairs if fold(p.group) != left_out]) for left_out in range(FOLDS)}
    rows = []
    for name, by_ratio in (("6 branches, 3 seeds", pilots), ("all learners", means)):
        for ratio, cases in by_ratio.items():
            ours, last = np.mean([_regrets(p, weights[fold(p[0].group)]) for p in _pilots(cases)], axis=0)
            n, target = len(_pilots(cases)), f"<= {last:.3f}" if by_ratio is pilots else ""
            rows.append(_row(f"regret of choosing, x{ratio}, {name}, points", ours, target, n))
            rows.append(_row(f"regret of the last value, x{ratio}, {name}, points", last, "", n))
    rows += _with_library(pilots, weights)
    for ratio, (all_right, crossing_right) in {8: (">= 89", ">= 35"), 32: ("", "")}.items():
        apart = [p for p in _pairs(means[ratio]) if p.apart >= 0.005]
        said = np.array([curves.chance(*p.features, weights[fold(p.group)].tolist()) > CROSSING for p in apart])
        crossed = np.array([p.overtook for p in apart])
        rows.append(_row(f"pairs, x{ratio}: right, %", 100 * (said == crossed).mean(), all_right, len(apart)))
        rows.append(
            _row(
                f"pairs that cross after the pilot, x{ratio}: right, %",
                100 * said[crossed].mean(),
                crossing_right,
                int(crossed.sum()),
            )
        )
    return rows


def _off(cases: Sequence[Case]) -> Array:
    """Absolute errors: points of accuracy, or percents of the loss."""
    off = []
    for case in cases:
        end, estimate = found(case.curve, case.to_n)
        true = _true_error(end, case.truth)
        off.append(100 * abs(estimate.e - true) / (1 if end.is_score else true))
    return np.array(off)


def _coverage(
    errors: dict[tuple[str, int], tuple[Array, Array]],
    kind: str | None,
    cases: Sequence[Case],
    of: Callable[[str], Any],
    one_run: bool,
) -> tuple[float, float]:
    """Percent of intervals that hold the truth, and their median width; each group's quantiles come from the others.

    `kind` None: each curve by the method that foretold it.
    """

    @cache
    def reach_without(of_kind: str, left_out: Any) -> tuple[float, float]:
        measured, groups = errors[of_kind, 4]
        return reach(measured[np.array([of(str(g)) != left_out for g in groups])])

    held, widths = [], []
    for case in cases:
        end, estimate = found(case.curve, case.to_n)
        low, high = curves.interval(end, estimate, reach_without(kind or estimate.method, of(case.group)))
        true = _true_error(end, case.run if one_run else case.truth)
        held.append(low - 1e-9 <= true <= high + 1e-9)
        widths.append(100 * (high - low) / (1 if end.is_score else true))
    return 100 * float(np.mean(held)), float(np.median(widths))


# ---- condensing the package's table ----------------------------------------------------------------------------------------


def condense(folder: Path) -> None:
    """data/lcdb.npz from `database-accuracy.csv` and `database-logloss.csv` of lcdb 0.1.0; needs 2 GB and a minute."""
    accuracy = _read(folder / "database-accuracy.csv")
    loss = _means(_read(folder / "database-logloss.csv"))
    random, kept, learners = np.random.default_rng(0), [], sorted(set(accuracy["learner"].tolist()))
    for dataset in np.unique(accuracy["openmlid"]):
        at = accuracy["openmlid"] == dataset
        table = {name: column[at] for name, column in accuracy.items()}
        largest = table["size_train"].max()
        if largest < SMALLEST_TARGET:
            continue
        cells: dict[tuple[str, int], dict[int, float]] = {}
        run = table["outer_seed"] * 25 + table["inner_seed"]
        for learner, n, r, score in zip(table["learner"], table["size_train"], run, table["score_test"], strict=True):
            cells.setdefault((learner, int(n)), {})[int(r)] = float(score)
        complete = {learner for learner, n in cells if n == largest}
        cells = {key: runs for key, runs in cells.items() if key[0] in complete}
        rank = random.permutation(125)
        count = Counter(r for runs in cells.values() for r in runs)
        four = sorted(count, key=lambda r: (-count[r], rank[r]))[:4]
        for (learner, n), runs in sorted(cells.items()):
            values = [round(runs[r] * 1e4) if r in runs else MISSING for r in four]
            mean = round(float(np.mean(list(runs.values()))) * 1e5)
            kept.append((dataset, learners.index(learner), n, mean, loss.get((int(dataset), learner, n), 0), *values))
    columns = np.array(kept, np.int64).T
    np.savez_compressed(
        DATA / "lcdb.npz",
        dataset=columns[0].astype(np.uint32),
        learner=columns[1].astype(np.uint8),
        learners=np.array(learners),
        n=columns[2].astype(np.uint32),
        mean=columns[3].astype(np.uint32),
        log_loss=columns[4].astype(np.uint32),
        runs=columns[5:].T.astype(np.uint16),
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    from pyarrow import csv as arrow

    names = ["openmlid", "learner", "size_train", "outer_seed", "inner_seed", "score_test"]
    table = arrow.read_csv(path, convert_options=arrow.ConvertOptions(include_columns=names))
    return {name: table[name].to_numpy() for name in names}


def _means(table: dict[str, NDArray[Any]]) -> dict[tuple[int, str, int], int]:
    """(dataset, learner, n) to the mean score × 1e4."""
    sums: dict[tuple[int, str, int], list[float]] = {}
    for dataset, learner, n, score in zip(
        *(table[k] for k in ("openmlid", "learner", "size_train", "score_test")), strict=True
    ):
        if math.isfinite(score):
            sums.setdefault((int(dataset), learner, int(n)), []).append(float(score))
    return {key: round(1e4 * sum(scores) / len(scores)) for key, scores in sums.items()}


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["condense"]:
        condense(Path(arguments[1]))
        return
    if arguments[:1] == ["refit"]:
        refit()
    for row in validate():
        print(f"{row['measure']:78} {row['reached']:9.3f}  {row['target']:9} {row['n']:6}")


if __name__ == "__main__":
    main(sys.argv[1:])
