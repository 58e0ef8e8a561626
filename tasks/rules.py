"""The rule of thumb: what two trade articles on building your own model or tuning an existing one tell people to expect.

It is the prior and the yardstick of the measured decision, never an input of it. The ranges below are the articles' own;
they name no data set and no method, and they know two ways only: fine-tuning, and training from scratch.
"""

from __future__ import annotations

from typing import Literal

from tasks import formats
from tasks.choice import Choice, meets
from tasks.crossover import FINE_TUNES
from tasks.params import Constraints, Team
from tasks.records import Factor, Metric, RuleOfThumb

SOURCE = "two trade articles on fine-tuning against training from scratch; their rule of thumb, not a measurement"
SCRATCH_ROWS = 1_000_000
SCRATCH_USD = 100_000.0
SCRATCH_TEAM = 5
SCRATCH_HOURS = 60 * 24.0  # "months"
Way = Literal["fine-tune", "from scratch"]
Points = Literal["fine-tune", "from scratch", "neither"]


def rule_of_thumb(choice: Choice, n: int, metric: Metric, constraints: Constraints, team: Team) -> RuleOfThumb:
    says, reason = _verdict(n, constraints, team)
    chosen = choice.verdict.branch
    return RuleOfThumb(
        branch="scratch" if says == "from scratch" else "full",
        says=says,
        agrees=chosen == "scratch" if says == "from scratch" else chosen in FINE_TUNES,
        reason=reason,
        factors=_factors(choice, n, metric, constraints, team),
        source=SOURCE,
    )


def _verdict(n: int, constraints: Constraints, team: Team) -> tuple[Way, str]:
    """From scratch if privacy forbids other people's models, or if the data, the money and the people for it are all there."""
    if not constraints.third_party_weights:
        return "from scratch", "weights that others trained are forbidden"
    money = constraints.budget_usd is None or constraints.budget_usd >= SCRATCH_USD
    people = team.has_trained_from_scratch and team.engineers >= SCRATCH_TEAM
    if n >= SCRATCH_ROWS and money and people:
        return "from scratch", "a million rows or more, with the budget and the specialists that it takes"
    return "fine-tune", "a common task, and not the data, the budget and the specialists that training from scratch takes"


def _factors(choice: Choice, n: int, metric: Metric, constraints: Constraints, team: Team) -> list[Factor]:
    chosen = choice.chosen
    cost = formats.money(chosen.cost_usd.value) if chosen and chosen.cost_usd else "not known"
    hours = formats.duration(chosen.hours.value) if chosen and chosen.hours else "not known"
    success = formats.chance(meets(chosen.outlook, metric)) if chosen else "–"
    rows: Points = "from scratch" if n >= SCRATCH_ROWS else "fine-tune" if n >= 1000 else "neither"
    time: Points = _least(constraints.deadline_hours, SCRATCH_HOURS)
    money: Points = _least(constraints.budget_usd, SCRATCH_USD)
    people: Points = "from scratch" if team.engineers >= SCRATCH_TEAM else "fine-tune" if team.engineers >= 2 else "neither"
    return [
        _factor("Training rows", "1,000–100,000", "1M–100M+", formats.rows(n), rows),
        _factor("Time", "days to weeks", "months to years", f"{hours} of training", time),
        _factor("Compute cost", "$100–$10,000", "$100,000–$1M+", cost, money),
        _factor("Team", "2–3 specialists", "5–15+ experts", f"{team.engineers} declared", people),
        _factor("Infrastructure", "standard cloud GPUs", "GPU clusters", "what the pilots ran on", "fine-tune"),
        _factor("Success", "80%+", "40–60%", f"{success} to meet the target", "neither"),
    ]


def _least(limit: float | None, scratch: float) -> Points:
    return "neither" if limit is None else "from scratch" if limit >= scratch else "fine-tune"


def _factor(name: str, tune: str, scratch: str, here: str, points_to: Points) -> Factor:
    return Factor(factor=name, fine_tune=tune, from_scratch=scratch, here=here, points_to=points_to)
