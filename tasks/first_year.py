"""What an option costs in its first year, draw by draw: training, attempts that fail, people, serving, updates, power, delay.

What is not declared, or not known, is left out and said so (`assumed`). Not in it: the pilots already run, labels (they
are no part of an option: see `tasks.choice`), data preparation, and the wages of those who wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np

from tasks import cost, formats
from tasks.evidence import DRAWS, Array, Needs, Outlook, Pair, deviates
from tasks.params import Hardware, Objective, Team
from tasks.records import Span

PEOPLE_HOURS = {"baseline": 8, "prompt": 8, "probe": 16, "lora": 40, "full": 40, "continued": 80, "scratch": 160}
"""Hours of people until an attempt serves, errors looked at and joined to what uses it; this program does the training.

Our own estimate of November 2026, not a measurement: `team.people_hours` overrides it. (The trade articles speak of 2-3
people for days to weeks and of 5-15 for months to years, without what this program does.)
"""
FIRST_TIME = 2.0
"""Times the hours for training from scratch, where nobody in the team has done it. Our own estimate, as above."""
UPDATE_SHARE = 0.25
"""Of those hours, for each update: the way is known by then. Our own estimate, as above."""
WORK_HOURS_A_MONTH = 160.0
HOURS_A_MONTH = 730.0
MONTHS = 12
TUNED = ("lora", "full", "continued")
ARTICLES_TUNED = 0.8
"""Success rate of fine-tuning projects by the trade articles: "80%+"."""
ARTICLES_SCRATCH = (0.4, 0.5, 0.6)
"""From scratch they say 40-60 %, with 5-15 experts: the ends are for smaller and for larger teams."""
EXPERTS = (5, 15)
PRIOR_PROJECTS = 10.0
"""The articles name no numbers of projects: they count as ten, so that ten of your own weigh as much."""


@dataclass(frozen=True)
class Terms:
    """An outlook with its money and time; None where the hours are unknown. Arrays are (DRAWS,)."""

    outlook: Outlook
    cost: Array | None
    """USD of the one training."""
    cost_usd: Span | None
    hours: Span | None
    parts: dict[str, Array]
    """USD of the first year; what costs nothing is not in it."""
    people_hours: float
    months: float
    """Until it serves: work of the engineers and one training, if the first attempt succeeds; infinite without engineers."""
    kwh: float | None
    """Of one training."""

    @cached_property
    def year(self) -> Array:
        """USD of the first year, the sum of the parts."""
        return np.asarray(sum(self.parts.values(), np.zeros(DRAWS)), dtype=np.float64)

    @cached_property
    def mean_year(self) -> float:
        return float(self.year.mean())


def terms(outlook: Outlook, hardware: Hardware, team: Team, objective: Objective) -> Terms:
    branch, needs, price = outlook.pair.branch, outlook.needs, prices(hardware)
    cost, cost_usd, trained = _training(needs, *_range(hardware), _count(hardware))
    hours, tries, updates = people_hours(branch, team), attempts(branch, team), objective.updates_per_year or 0.0
    people = hours * team.usd_per_hour
    machine = np.zeros(DRAWS) if cost is None else cost
    months = hours / (team.engineers * WORK_HOURS_A_MONTH) if team.engineers else math.inf
    parts = {"training": machine, "people": np.full(DRAWS, people)}
    if prior(branch, team):
        parts["failed_attempts"] = (tries - 1) * (machine + people)
    if updates:
        parts["updates"] = updates * (machine + UPDATE_SHARE * people)
    if objective.month_of_delay_usd:
        parts["delay"] = objective.month_of_delay_usd * np.minimum(tries * _elapsed(months, needs.hours), MONTHS)
    serving = _serving_hours(outlook, objective)
    if serving:
        parts["serving"] = serving * price / _count(hardware)
    kw = _kilowatts(hardware)
    if kw and hardware.usd_per_kwh and needs.hours is not None:
        parts["electricity"] = hardware.usd_per_kwh * kw * (needs.hours * _count(hardware) * (tries + updates) + serving)
    return Terms(
        outlook,
        cost,
        cost_usd,
        trained,
        parts,
        hours,
        months + (trained.value if trained else 0.0) / HOURS_A_MONTH,
        kw * trained.value * _count(hardware) if kw and trained else None,
    )


@lru_cache(maxsize=2000)
def _training(needs: Needs, low: float, high: float, count: int) -> tuple[Array | None, Span | None, Span | None]:
    """Draws of the cost of one training, USD; its span, and that of the hours."""
    if needs.hours is None:
        return None, None, None
    cost = needs.hours * _prices(low, high, count)
    return cost, span(cost), span(needs.hours)


def _serving_hours(outlook: Outlook, objective: Objective) -> float:
    """Hours of one GPU, or of the machine, in the first year; 0 where not declared or not known (`assumed` says so)."""
    seconds, asked = outlook.needs.request_seconds, objective.requests_per_month
    return (asked or 0.0) * MONTHS * (seconds or 0.0) / 3600


def _elapsed(months: float, hours: Array | None) -> Array:
    """Months that one attempt takes; a year where nobody works on it."""
    waiting = np.zeros(DRAWS) if hours is None else hours / HOURS_A_MONTH
    return np.asarray(min(months, MONTHS) + waiting, dtype=np.float64)


def people_hours(branch: str, team: Team) -> float:
    own = {str(name): hours for name, hours in (team.people_hours or {}).items()}
    if branch in own:
        return own[branch]
    return PEOPLE_HOURS[branch] * (FIRST_TIME if branch == "scratch" and not team.has_trained_from_scratch else 1.0)


# ---- prices ------------------------------------------------------------------------------------------------------------


def prices(hardware: Hardware) -> Array:
    """Draws of USD an hour for all of the hardware, log-uniform over the range of prices (uniform from 0)."""
    return _prices(*_range(hardware), _count(hardware))


def _range(hardware: Hardware) -> tuple[float, float]:
    price = cost.price_of_hour(hardware)
    return price.low, price.high


@cache
def _prices(low: float, high: float, count: int) -> Array:
    u = (np.random.default_rng(0).permutation(DRAWS) + 0.5) / DRAWS
    drawn = low * (high / low) ** u if low > 0 else low + (high - low) * u
    return np.asarray(drawn * count, dtype=np.float64)


def _count(hardware: Hardware) -> int:
    return hardware.count if hardware.gpu else 1


def _kilowatts(hardware: Hardware) -> float | None:
    """Of one GPU, or of this machine: as declared, or as the data sheet of a known GPU has it."""
    gpu = cost.find_gpu(hardware.gpu) if hardware.gpu else None
    watts = hardware.watts or (gpu.watts if gpu else None)
    return None if watts is None else watts / 1000


def span(draws: Array) -> Span:
    low, value, high = np.quantile(draws, [0.05, 0.5, 0.95])
    return Span(value=float(value), low=float(low), high=float(high))


# ---- success ---------------------------------------------------------------------------------------------------------


def prior(branch: str, team: Team) -> tuple[float, float] | None:
    """Successes and failures of the Beta distribution of an attempt's success, the team's own projects included.

    None for what the pilots have carried out in full already: a baseline, a linear probe, a base model used as it is.
    """
    if branch in TUNED:
        share, own = ARTICLES_TUNED, team.fine_tunings
    elif branch == "scratch":
        share, own = ARTICLES_SCRATCH[sum(team.engineers >= limit for limit in (EXPERTS[0], EXPERTS[1] + 1))], team.from_scratch
    else:
        return None
    used, failed = own or (0, 0)
    return PRIOR_PROJECTS * share + used, PRIOR_PROJECTS * (1 - share) + failed


def success(branch: str, team: Team) -> Span | None:
    """Probability that an attempt leads to a model in use; the mean of the Beta distribution and its 90 % interval."""
    beta = prior(branch, team)
    if beta is None:
        return None
    low, high = np.quantile(_success_draws(*beta), [0.05, 0.95])
    return Span(value=beta[0] / sum(beta), low=float(low), high=float(high))


def attempts(branch: str, team: Team) -> Array:
    """Draws of the number of attempts until one succeeds; each costs its training and its people again.

    Geometric; all branches share one deviate each draw, so that two of equal success differ in nothing here.
    """
    return _attempts(prior(branch, team))


@cache
def _attempts(beta: tuple[float, float] | None) -> Array:
    if beta is None:
        return np.ones(DRAWS)
    fails = np.log1p(-np.clip(_success_draws(*beta), 1e-3, 1 - 1e-9))
    return np.asarray(np.ceil(np.log(_uniform()) / fails), dtype=np.float64)


@cache
def _success_draws(used: float, failed: float) -> Array:
    return np.random.default_rng(1).beta(used, failed, DRAWS)


@cache
def _uniform() -> Array:
    u = (np.argsort(np.argsort(deviates("attempts"))) + 0.5) / DRAWS
    return np.asarray(u, dtype=np.float64)


# ---- what was taken for granted --------------------------------------------------------------------------------------


def assumed(
    pairs: tuple[Pair, ...], outlooks: list[Outlook], hardware: Hardware, team: Team, objective: Objective
) -> list[str]:
    """One sentence for each empty setting that mattered, and the priors that stood in for measurements."""
    said = [*_about_success(pairs, team), _about_people(pairs, team)]
    empty = {
        "value_per_point_usd": "quality and money are not weighed against each other, they are only set side by side",
        "month_of_delay_usd": "waiting costs nothing",
        "requests_per_month": "serving is left out of the cost",
        "updates_per_year": "the model is never trained again",
    }
    said += [f"objective.{name} is empty: {what}." for name, what in empty.items() if getattr(objective, name) is None]
    if hardware.usd_per_gpu_hour is None:
        price = cost.price_of_hour(hardware)
        said.append(
            f"hardware.usd_per_gpu_hour is empty: {formats.money(price.low)} to {formats.money(price.high)} an hour is taken, "
            f"the shipped range of {price.first} to {price.last} ({price.source})."
        )
    if hardware.usd_per_kwh is None:
        said.append("hardware.usd_per_kwh is empty: electricity is taken to be in the price of an hour.")
    elif _kilowatts(hardware) is None:
        said.append("hardware.watts is empty: the price of electricity could not be used.")
    if team.usd_per_label is None:
        said.append("team.usd_per_label is empty: more labelled rows are not weighed against their price.")
    else:
        said.append("More labelled rows are taken to be there at once: only their price counts.")
    return said + sorted({f"Not known: {o.needs.reason}." for o in outlooks if o.needs.reason})


def _about_success(pairs: tuple[Pair, ...], team: Team) -> list[str]:
    branches = {pair.branch for pair in pairs}
    said = []
    for name, of, own in (
        ("fine-tuning", branches & set(TUNED), team.fine_tunings),
        ("training from scratch", branches & {"scratch"}, team.from_scratch),
    ):
        if of:
            chance = success(min(of), team)
            assert chance
            source = "the trade articles' rate, counted as ten projects"
            source += f", and your own {sum(own)} projects" if own else ""
            said.append(f"Attempts at {name} succeed with a chance of {chance.value:.0%}: {source}.")
    return said


def _about_people(pairs: tuple[Pair, ...], team: Team) -> str:
    order = [branch for branch in PEOPLE_HOURS if branch in {pair.branch for pair in pairs}]
    hours = ", ".join(f"{branch} {people_hours(branch, team):g}" for branch in order)
    own = "team.people_hours over " if team.people_hours else ""
    return (
        f"Hours of people until it serves, {own}an own estimate of November 2026: {hours}; at ${team.usd_per_hour:g} an hour."
    )
