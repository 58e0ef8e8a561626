"""Hard constraints: what rules an option out, and which setting would let it back in. Nothing here weighs or prefers.

Of money, time and memory the upper end of the 90 % interval is held against the limit: it holds with probability 0.95.
What is not known excludes nobody; the record says what could not be checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tasks import cost
from tasks.first_year import Terms
from tasks.licences import forbidden
from tasks.params import Constraints, Hardware, Team
from tasks.records import Candidate, Exclusion, Span

OWN = ("baseline", "scratch")
"""Branches with nothing inside that others trained."""
PROVIDER_SHARE = 1 / 3
"""Of the base model's training computing: a fine-tuning above it makes who does it the provider of a general-purpose model.

European Commission, guidelines on general-purpose AI models of July 2025 (C(2025) 5045) to Regulation 2024/1689. Where
the base model's computing is not known, a third of the computing from which a model counts as one takes its place.
"""
GENERAL_PURPOSE_FLOPS = 1e23
"""The same guidelines' indication of a general-purpose model."""


def exclusions(terms: Terms, limits: Constraints, hardware: Hardware, team: Team) -> list[Exclusion]:
    """All limits that this option breaks; empty: it may be chosen."""
    found = [*_about_base(terms, limits), *_about_place(limits, hardware), *_about_team(terms, limits, team)]
    found += _about_serving(terms, limits)
    found += _spending("budget_usd", terms.cost_usd, limits.budget_usd)
    found += _spending("deadline_hours", terms.hours, limits.deadline_hours)
    return [*found, *_memory(terms, hardware), *_unpredictable(terms)]


# ---- what the base model brings with it --------------------------------------------------------------------------------


def _about_base(terms: Terms, limits: Constraints) -> Iterator[Exclusion]:
    pair = terms.outlook.pair
    if not limits.third_party_weights and pair.branch not in OWN:
        yield _out("third_party_weights", pair.base_name, False, "set constraints.third_party_weights to true")
    if pair.base is None:
        return
    yield from forbidden(pair.base.licence, limits)
    if limits.ownership == "all":
        yield _out("ownership", pair.base_name, "all", "set constraints.ownership to free or any")
    share = provider_share(pair.base, terms.outlook.needs.tokens)
    if not limits.may_become_provider and share > PROVIDER_SHARE:
        yield _out(
            "may_become_provider", share, PROVIDER_SHARE, "set constraints.may_become_provider to true, or train on less"
        )


def provider_share(base: Candidate, tokens: float) -> float:
    """Computing of training on `tokens`, all weights counted (so at most), over the base model's, as PROVIDER_SHARE has it."""
    return cost.flops_per_token(base.parameters) * tokens / (base.training_flops or GENERAL_PURPOSE_FLOPS)


# ---- where it is trained, by whom, on what -----------------------------------------------------------------------------


def _about_place(limits: Constraints, hardware: Hardware) -> Iterator[Exclusion]:
    if hardware.place != "cloud":
        return
    if not limits.data_may_leave:
        yield _out("data_may_leave", "cloud", False, "set constraints.data_may_leave to true, or hardware.place to your own")
    if limits.air_gap:
        yield _out("air_gap", "cloud", True, "set hardware.place to your own")
    if limits.regions is not None and hardware.region not in limits.regions:
        lifted = f"set hardware.region to one of {', '.join(limits.regions)}"
        yield _out("regions", hardware.region or "unknown", limits.regions, lifted)


def _about_team(terms: Terms, limits: Constraints, team: Team) -> Iterator[Exclusion]:
    if not team.engineers and terms.people_hours:
        yield _out("engineers", 0, 1, "set team.engineers to 1: somebody must build and keep it")
    elif limits.months_until_use is not None and terms.months > limits.months_until_use:
        least = rounded_up(terms.months)
        lifted = f"raise constraints.months_until_use to {least:g}, or add to team.engineers"
        yield _out("months_until_use", terms.months, limits.months_until_use, lifted)


def _memory(terms: Terms, hardware: Hardware) -> Iterator[Exclusion]:
    gpu = cost.find_gpu(hardware.gpu) if hardware.gpu else None
    limit = hardware.memory_gb or (gpu.gib * 2**30 / 1e9 if gpu else None)
    peak = terms.outlook.needs.peak_gb
    if limit is not None and peak is not None and peak.high > limit:
        yield _out("memory_gb", peak.high, limit, f"take hardware with {rounded_up(peak.high):g} GB (hardware.memory_gb)")


# ---- serving, money, time -----------------------------------------------------------------------------------------------


def _about_serving(terms: Terms, limits: Constraints) -> Iterator[Exclusion]:
    for name, value in (("max_model_gb", terms.outlook.model_gb), ("max_latency_ms", terms.outlook.latency_ms)):
        limit = getattr(limits, name)
        if limit is not None and value is not None and value > limit:
            yield _over(name, value, limit)


def _spending(name: str, span: Span | None, limit: float | None) -> list[Exclusion]:
    return [] if limit is None or span is None or span.high <= limit else [_over(name, span.high, limit)]


def _over(name: str, value: float, limit: float) -> Exclusion:
    least = max(rounded_up(value), 0.01)
    return _out(name, value, limit, f"raise constraints.{name} to {least:g}")


def _unpredictable(terms: Terms) -> Iterator[Exclusion]:
    predicted = terms.outlook.predicted
    if predicted.value is None:
        yield _out("evidence", predicted.reason, "a prediction", "measure larger rungs (pilots.rungs)")


def _out(constraint: str, value: Any, limit: Any, lifted_by: str) -> Exclusion:
    return Exclusion(constraint=constraint, value=value, limit=limit, lifted_by=lifted_by)


def rounded_up(value: float) -> float:
    """To two digits, so that the number said is enough and no more exact than what it rests on."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / unit - 1e-9) * unit:.3g}")
