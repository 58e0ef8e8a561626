"""Is the verdict the right one? `python -m tests.benchmarks.decisions [WORLDS_A_VERDICT]`

Constructed pilot tables: worlds with true learning curves, costs, limits and aims that are known, seven branches, four
rungs, three seeds. The best verdict is found here by enumeration from the truth, with formulas of its own, never with the
engine; the engine sees noisy cells alone. Worlds are drawn at random from wide ranges and sorted by their best verdict,
until each verdict that there is has as many as asked for. Two kinds are counted:

* clear: the best verdict leads every other by MARGIN points' worth (without a value: every option stands MARGIN points
  from the target and from guessing, or the best one from the second), and limits stand a factor 2 from every true cost.
  That is about half the width of the engine's own 90 % intervals at 16 times the largest rung: noise alone can still win.
* as drawn: nothing is asked of the margins. A verdict counts as right if it loses no more than half a point's worth. Beside
  the engine stand rules that people use: the articles' rule of thumb, fine-tune always, the best last value.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import decide
from tasks.choice import Case, choose
from tasks.evidence import Evidence, Needs, Pair, measured_here
from tasks.params import Constraints, Hardware, Objective, Team
from tasks.recipes import recipe
from tasks.records import Candidate, Cell, Measured, Metric, Quality
from tests.decide import synthetic

BRANCHES = ("baseline", "prompt", "probe", "lora", "full", "continued", "scratch")
STATUS = {"baseline": "keep_baseline", "prompt": "use_as_is"}
VERDICTS = (
    *((STATUS.get(branch, "chosen"), branch) for branch in BRANCHES),
    ("label_more", None),
    ("do_nothing", None),
    ("no_branch_fits", None),
)
RUNGS, SEEDS, HELDOUT = (125, 250, 500, 1000), 3, 1000
MARGIN = 3.0  # points
HALF_A_POINT = 0.5
LARGEST = 32 * RUNGS[-1]
OWN = ("baseline", "scratch")
TUNED = ("lora", "full", "continued")
BASE = Candidate(
    name="base", sha256="b", licence="apache-2.0", source="-", parameters=10**7, bytes=10**7, max_tokens=512, fertility=1.3
)
Verdict = tuple[str, str | None]
Random = np.random.Generator
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """One branch as it is: accuracy 1 − a·(n/100)^−b − c, CPU-seconds a row and epoch, milliseconds and GB to serve."""

    a: float
    b: float
    c: float
    seconds: float
    epochs: float
    people_hours: float
    ms: float
    gb: float

    def accuracy(self, n: float) -> float:
        return 1 - self.c - self.a * (n / 100) ** -self.b

    def hours(self, n: float) -> float:
        return self.seconds * n * self.epochs / 3600


@dataclass(frozen=True)
class World:
    seed: int
    truth: dict[str, Truth]
    n: int
    guessing: float
    objective: Objective
    constraints: Constraints
    hardware: Hardware
    team: Team


# ---- drawing worlds ------------------------------------------------------------------------------------------------------


def draw(seed: int) -> World:
    random = np.random.default_rng(seed)
    valued = random.random() < 0.6
    point = log_uniform(random, 3, 3e4)
    truth = {branch: _branch(branch, random) for branch in BRANCHES}
    n = int(RUNGS[-1] * 2.0 ** random.integers(1, 5))
    objective = Objective(
        target=None if valued or random.random() < 0.25 else round(random.uniform(0.6, 0.97), 3),
        value_per_point_usd=point if valued else None,
        month_of_delay_usd=maybe(random, 0.4, 10, 3e4),
        requests_per_month=maybe(random, 0.5, 1e3, 1e7),
        updates_per_year=float(random.integers(0, 5)),
    )
    costs = [one.hours(n) * 2 for branch, one in truth.items() if branch != "prompt"]
    constraints = Constraints(
        budget_usd=maybe(random, 0.3, min(costs) / 10, max(costs) * 10),
        deadline_hours=None,
        third_party_weights=bool(random.random() < 0.85),
        max_latency_ms=maybe(random, 0.2, 0.2, 60),
        max_model_gb=maybe(random, 0.15, 0.01, 2),
    )
    team = Team(
        engineers=int(random.integers(1, 8)),
        usd_per_hour=log_uniform(random, 20, 150),
        has_trained_from_scratch=True,
        people_hours={branch: one.people_hours for branch, one in truth.items()},  # type: ignore[misc]
        usd_per_label=maybe(random, 0.5, 0.01, 3),
        fine_tunings=(int(random.integers(0, 20)), int(random.integers(0, 4))),
        from_scratch=(int(random.integers(0, 20)), int(random.integers(0, 6))),
    )
    hardware = Hardware(usd_per_gpu_hour=(1.0, round(random.uniform(1.2, 3.0), 2)))
    return World(seed, truth, n, 0.5, objective, constraints, hardware, team)


def _branch(branch: str, random: Random) -> Truth:
    """Ranges wide enough that each branch is the best one somewhere."""
    speed = {"baseline": 1e-3, "prompt": 0.0, "probe": 0.01, "lora": 0.05, "full": 0.06, "continued": 0.2, "scratch": 0.1}
    ms = {"baseline": 0.5, "prompt": 20.0, "probe": 5.0, "lora": 6.0, "full": 6.0, "continued": 6.0, "scratch": 2.0}
    gb = {"baseline": 0.01, "prompt": 1.0, "probe": 0.1, "lora": 0.1, "full": 0.1, "continued": 0.1, "scratch": 0.03}
    people = {"baseline": 5.0, "prompt": 5.0, "probe": 12.0, "lora": 25.0, "full": 30.0, "continued": 60.0, "scratch": 120.0}
    late = branch in ("scratch", "continued") and random.random() < 0.6
    a, b = (
        (random.uniform(0.2, 0.42), random.uniform(0.25, 0.6))
        if late
        else (random.uniform(0.05, 0.4), random.uniform(0.1, 0.5))
    )
    c = random.uniform(0.0, 0.05 if late else 0.25)
    flat = random.uniform(0.5, 0.95)
    around = lambda table: table[branch] * log_uniform(random, 0.5, 2)  # noqa: E731
    epochs = float(recipe(branch, task_of(branch), 2000).get("epochs", 1)) if branch != "prompt" else 0.0
    if branch == "prompt":
        a, b, c = 0.0, 0.1, 1 - flat
    return Truth(a, b, min(c, 0.5 - a / 2), around(speed), epochs, round(around(people), 1), around(ms), around(gb))


def task_of(branch: str) -> str:
    return "text-generation" if branch in ("continued", "prompt") else "text-classification"


def log_uniform(random: Random, low: float, high: float) -> float:
    return float(f"{math.exp(random.uniform(math.log(low), math.log(high))):.3g}")


def maybe(random: Random, chance: float, low: float, high: float) -> float | None:
    return log_uniform(random, low, high) if random.random() < chance else None


# ---- the best verdict, by enumeration from the truth ---------------------------------------------------------------------


def first_year(world: World, branch: str, n: int) -> float:
    """Expected USD."""
    one, aim, team = world.truth[branch], world.objective, world.team
    low, high = world.hardware.usd_per_gpu_hour
    price = (high - low) / math.log(high / low)  # the mean of a log-uniform price
    training, people = one.hours(n) * price, one.people_hours * team.usd_per_hour
    months = one.people_hours / (team.engineers * 160) + one.hours(n) / 730
    beta = beta_of(branch, world)
    usd = training + people
    if beta:
        usd *= (sum(beta) - 1) / (beta[0] - 1)  # the mean of 1/p for p from Beta(a, b)
    tries, chance = attempts(beta)
    usd += (aim.month_of_delay_usd or 0) * float(chance @ np.minimum(tries * months, 12))
    usd += (aim.updates_per_year or 0) * (training + people / 4)
    return usd + (aim.requests_per_month or 0) * 12 * one.ms / 1000 / 3600 * price


def beta_of(branch: str, world: World) -> tuple[float, float] | None:
    if branch in TUNED:
        used, failed = world.team.fine_tunings or (0, 0)
        return 8.0 + used, 2.0 + failed
    if branch == "scratch":
        used, failed = world.team.from_scratch or (0, 0)
        share = 0.4 if world.team.engineers < 5 else 0.5
        return 10 * share + used, 10 * (1 - share) + failed
    return None


@cache
def attempts(beta: tuple[float, float] | None) -> tuple[Array, Array]:
    """The number of attempts and its probability: geometric, with a chance of success that is Beta distributed."""
    if beta is None:
        return np.ones(1), np.ones(1)
    a, b = beta
    whole = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    log = [math.lgamma(a + 1) + math.lgamma(b + k - 1) - math.lgamma(a + b + k) - whole for k in range(1, 200)]
    return np.arange(1.0, 201.0), np.append(np.exp(log), 1 - np.exp(log).sum())


def allowed(world: World, branch: str, n: int, slack: float = 1.0) -> bool:
    """No limit is broken; `slack` above 1 asks for more room, below 1 grants it."""
    one, limits = world.truth[branch], world.constraints
    if not limits.third_party_weights and branch not in OWN:
        return False
    price = world.hardware.usd_per_gpu_hour[1]
    taken = ((one.hours(n) * price, limits.budget_usd), (one.ms, limits.max_latency_ms), (one.gb, limits.max_model_gb))
    return all(limit is None or used * slack <= limit for used, limit in taken)


def losses(world: World) -> dict[Verdict, float]:
    """What each verdict loses against the best one, in points (of their worth); a verdict not in it is wrong."""
    left = [branch for branch in BRANCHES if allowed(world, branch, world.n)]
    if not left:
        return {("no_branch_fits", None): 0.0}
    return _by_worth(world, left) if world.objective.value_per_point_usd else _by_target(world, left)


def _by_worth(world: World, left: list[str]) -> dict[Verdict, float]:
    value, aim = world.objective.value_per_point_usd or 1.0, world.objective

    def worth(branch: str, n: int) -> float:
        return 100 * value * (world.truth[branch].accuracy(n) - world.guessing) - first_year(world, branch, n)

    found: dict[Verdict, float] = {verdict_of(branch): worth(branch, world.n) for branch in left}
    found["do_nothing", None] = -12 * (aim.month_of_delay_usd or 0.0)
    price = world.team.usd_per_label
    if price is not None:
        more = [round(world.n * 2 ** (k / 2)) for k in range(1, 12) if world.n * 2 ** (k / 2) <= LARGEST]
        then = [worth(b, n) - price * (n - world.n) for n in more for b in BRANCHES if allowed(world, b, n)]
        found["label_more", None] = max(then, default=-math.inf)
    best = max(found.values())
    return {verdict: (best - usd) / value for verdict, usd in found.items()}


def _by_target(world: World, left: list[str]) -> dict[Verdict, float]:
    """Without a value there is no loss in points but where quality alone decides: 0 for the right verdict, else infinite."""
    target, truth = world.objective.target, {branch: world.truth[branch].accuracy(world.n) for branch in left}
    best = max(truth, key=lambda branch: truth[branch])
    if target is not None and (enough := [branch for branch in left if truth[branch] >= target]):
        cheapest = min(enough, key=lambda branch: first_year(world, branch, world.n))
        return {verdict_of(cheapest): 0.0}
    if target is not None and any(
        world.truth[b].accuracy(n) >= target and allowed(world, b, n)
        for b in BRANCHES
        for n in (LARGEST, 2 * world.n)
        if n <= LARGEST
    ):
        return {("label_more", None): 0.0}
    if truth[best] <= world.guessing:
        return {("do_nothing", None): 0.0}
    return {verdict_of(branch): 100 * (truth[best] - value) for branch, value in truth.items()}


def verdict_of(branch: str) -> Verdict:
    return STATUS.get(branch, "chosen"), branch


def is_clear(world: World) -> bool:
    loss = losses(world)
    if any(allowed(world, b, world.n) != allowed(world, b, world.n, slack) for b in BRANCHES for slack in (0.5, 2.0)):
        return False
    if ("no_branch_fits", None) not in loss and not world.objective.value_per_point_usd and not _stands_apart(world):
        return False
    behind = sorted(loss.values())[1:2]
    return not behind or behind[0] >= MARGIN


def _stands_apart(world: World) -> bool:
    """Without a value: no option near the target, or guessing, now or with the most rows; no two of nearly the same cost."""
    left = [branch for branch in BRANCHES if allowed(world, branch, world.n)]
    marks = [mark for mark in (world.objective.target, world.guessing) if mark is not None]
    ends = [world.truth[b].accuracy(n) for b in left for n in (world.n, LARGEST)]
    costs = sorted(first_year(world, b, world.n) for b in left)
    near = any(abs(100 * (end - mark)) < MARGIN for end in ends for mark in marks)
    return not near and all(dear > 1.05 * cheap for cheap, dear in pairwise(costs))


# ---- what the engine sees --------------------------------------------------------------------------------------------------


def case_of(world: World) -> Case:
    def needs(pair: Pair, n: int) -> Needs:
        return measured_here(pair, task_of(pair.branch), n)

    pairs = tuple(Pair(b, None if b in OWN else BASE, tuple(_cells(world, b)), None) for b in BRANCHES)
    evidence = Evidence(pairs, Metric.of("accuracy", None), folds=False, test_rows=HELDOUT, needs=needs)
    return Case(evidence, world.n, world.objective, world.constraints, world.hardware, world.team, world.guessing)


def _cells(world: World, branch: str) -> Iterator[Cell]:
    for n in (0,) if branch == "prompt" else RUNGS:
        for seed in range(SEEDS):
            yield _cell(world, branch, n, seed)


def _cell(world: World, branch: str, n: int, seed: int) -> Cell:
    """Accuracy on HELDOUT rows: what the subset and the seed make of it, partly shared by all branches."""
    one = world.truth[branch]
    accuracy = one.accuracy(n or 1)
    spread = math.sqrt(accuracy * (1 - accuracy) / HELDOUT)
    shared, own = _normal(world.seed, "rows", n, seed), _normal(world.seed, branch, n, seed)
    measured = round((accuracy + spread * (0.8 * shared + 0.6 * own)) * HELDOUT) / HELDOUT
    plan: dict[str, Any] = recipe(branch, task_of(branch), n) if n else {}
    cpu = one.seconds * n * float(plan.get("epochs", 1)) * (1 + 0.05 * _normal(world.seed, "time", branch, n, seed)) + 0.05
    return Cell(
        key=f"{branch}-{n}-{seed}",
        branch=branch,
        base_model=None if branch in OWN else BASE.name,
        base_sha256=None,
        recipe=plan,
        seed=seed,
        n=n,
        n_heldout=HELDOUT,
        train_sha256="-",
        heldout_sha256="-",
        quality=Quality(accuracy=min(max(measured, 0.0), 1.0)),
        measured=Measured(
            cpu_seconds=cpu,
            wall_seconds=cpu,
            predict_cpu_seconds=one.ms * HELDOUT / 1000,
            peak_gb=1.0,
            model_gb=one.gb,
            tokens=40 * n,
            machine="-",
        ),
    )


def _normal(*words: object) -> float:
    return synthetic._normal(*words)


# ---- counting ----------------------------------------------------------------------------------------------------------------


def clear_worlds(each: int, first: int = 0) -> dict[Verdict, list[World]]:
    """`each` clear worlds for every verdict, the first that come."""
    found: dict[Verdict, list[World]] = {verdict: [] for verdict in VERDICTS}
    seed = first
    while any(len(worlds) < each for worlds in found.values()):
        world = draw(seed)
        loss = losses(world)
        best = min(loss, key=lambda verdict: loss[verdict])
        if len(found[best]) < each and is_clear(world):
            found[best].append(world)
        seed += 1
    return found


Judge = Callable[[World, Case], Verdict]


def engine(_world: World, case: Case) -> Verdict:
    return choose(case).what


def rule_of_thumb(world: World, case: Case) -> Verdict:
    """The articles': fine-tune, but from scratch where weights of others are forbidden."""
    del case
    return verdict_of("full") if world.constraints.third_party_weights else verdict_of("scratch")


def last_value(world: World, case: Case) -> Verdict:
    """The best at the largest rung, of those that no limit excludes."""
    left = [branch for branch in BRANCHES if allowed(world, branch, world.n)]
    means = {
        p.branch: np.mean([c.quality.accuracy or 0.0 for c in p.cells if c.n in (0, RUNGS[-1])]) for p in case.evidence.pairs
    }
    return verdict_of(max(left, key=lambda branch: means[branch])) if left else ("no_branch_fits", None)


JUDGES: dict[str, Judge] = {"engine": engine, "rule of thumb": rule_of_thumb, "best last value": last_value}


def right(world: World, verdict: Verdict) -> bool:
    return losses(world).get(verdict, math.inf) <= HALF_A_POINT


def count(each: int) -> tuple[dict[Verdict, float], Counter[tuple[Verdict, Verdict]]]:
    """The engine's share right in the clear worlds of each verdict, and what it said in place of it."""
    shares: dict[Verdict, float] = {}
    wrong: Counter[tuple[Verdict, Verdict]] = Counter()
    for verdict, worlds in clear_worlds(each).items():
        said = [engine(world, case_of(world)) for world in worlds]
        shares[verdict] = sum(one == verdict for one in said) / each
        wrong.update((verdict, one) for one in said if one != verdict)
    return shares, wrong


def as_drawn(worlds: int, first: int = 10**6) -> dict[str, tuple[float, float]]:
    """Of each judge the share right and, where a point has a value, the mean loss in points' worth, each at most 100."""
    hits: dict[str, list[bool]] = defaultdict(list)
    lost: dict[str, list[float]] = defaultdict(list)
    for seed in range(first, first + worlds):
        world = draw(seed)
        loss, case = losses(world), case_of(world)
        for name, judge in JUDGES.items():
            verdict = judge(world, case)
            hits[name].append(right(world, verdict))
            if world.objective.value_per_point_usd:
                lost[name].append(min(loss.get(verdict, 100.0), 100.0))
    return {name: (float(np.mean(hits[name])), float(np.mean(lost[name]))) for name in JUDGES}


def validate(each: int = 20) -> list[dict[str, Any]]:
    """Rows for `make validate`."""
    shares, _ = count(each)
    worlds = each * len(VERDICTS)
    name = "constructed pilot tables: verdict right, each verdict best in as many, %"
    rows = [{"measure": name, "reached": round(100 * float(np.mean(list(shares.values()))), 1), "target": ">= 95", "n": worlds}]
    worst = 100 * min(shares.values())
    rows.append(
        {"measure": "constructed pilot tables: the verdict with the fewest right, %", "reached": worst, "target": "", "n": each}
    )
    return [*rows, {"measure": "constraint change to new verdict, CPU-seconds", "reached": again(), "target": "<= 5", "n": 1}]


def again() -> float:
    """CPU-seconds from a changed budget to a new decision record, map and flips included; every price and value declared."""
    money: dict[str, object] = {
        "value_per_point_usd": 500.0,
        "requests_per_month": 1e5,
        "month_of_delay_usd": 1e3,
        "updates_per_year": 2.0,
    }
    settings = synthetic.settings(constraints={"budget_usd": 2.0}, objective=money, team={"usd_per_label": 0.5})
    given = synthetic.inputs(settings)
    start = process_time()
    decide.decide(given)
    return round(process_time() - start, 2)


def main(each: int = 40) -> None:
    start = process_time()
    shares, wrong = count(each)
    print(f"clear worlds, {each} a verdict{'':8} right")
    for (status, branch), share in shares.items():
        said = ", ".join(f"{w[1][1] or w[1][0]} {k}" for w, k in wrong.items() if w[0] == (status, branch))
        print(f"  {status:16} {branch or '-':10} {100 * share:6.1f} %  {said and 'instead: ' + said}")
    print(f"  {'all':27} {100 * float(np.mean(list(shares.values()))):6.1f} %")
    print(f"worlds as drawn, {5 * each}{'':9} right   loss in points' worth")
    for name, (share, lost) in as_drawn(5 * each).items():
        print(f"  {name:27} {100 * share:6.1f} %  {lost:6.2f}")
    print(f"a changed budget to a new decision record: {again()} CPU-s; all of this: {process_time() - start:.0f} CPU-s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
