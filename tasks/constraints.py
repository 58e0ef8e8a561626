"""Hard constraints: what rules an option out, and which setting would let it back in. Nothing here weighs or prefers.

Of money and time the upper end of the 90 % interval is held against the limit: it holds with probability 0.95.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.evidence import Outlook
from tasks.params import Constraints
from tasks.records import Exclusion, Span

OWN = ("baseline", "scratch")
"""Branches with nothing inside that others trained."""


@dataclass(frozen=True)
class Terms:
    """An outlook with its money and time; None where the hours are unknown."""

    outlook: Outlook
    cost: NDArray[np.float64] | None
    """Draws, USD."""
    cost_usd: Span | None
    hours: Span | None


def exclusions(terms: Terms, limits: Constraints) -> list[Exclusion]:
    """All limits that this option breaks; empty: it may be chosen."""
    found = [_licence(terms, limits), _third_party(terms, limits), _size(terms, limits), _latency(terms, limits)]
    found += [_spending(terms.cost_usd, limits.budget_usd, "budget_usd")]
    found += [_spending(terms.hours, limits.deadline_hours, "deadline_hours")]
    return [exclusion for exclusion in found if exclusion] + _unpredictable(terms)


def _licence(terms: Terms, limits: Constraints) -> Exclusion | None:
    base = terms.outlook.pair.base
    if base is None or base.licence in limits.licences:
        return None
    lifted = f"add {base.licence} to constraints.licences, if its terms suit your use"
    return Exclusion(constraint="licences", value=base.licence, limit=limits.licences, lifted_by=lifted)


def _third_party(terms: Terms, limits: Constraints) -> Exclusion | None:
    pair = terms.outlook.pair
    if limits.third_party_weights or pair.branch in OWN:
        return None
    lifted = "set constraints.third_party_weights to true"
    return Exclusion(constraint="third_party_weights", value=pair.base_name, limit=False, lifted_by=lifted)


def _size(terms: Terms, limits: Constraints) -> Exclusion | None:
    value, limit = terms.outlook.model_gb, limits.max_model_gb
    if limit is None or value <= limit:
        return None
    return _over("max_model_gb", value, limit)


def _latency(terms: Terms, limits: Constraints) -> Exclusion | None:
    value, limit = terms.outlook.latency_ms, limits.max_latency_ms
    if limit is None or value is None or value <= limit:
        return None
    return _over("max_latency_ms", value, limit)


def _spending(span: Span | None, limit: float | None, name: str) -> Exclusion | None:
    if limit is None or span is None or span.high <= limit:
        return None
    return _over(name, span.high, limit)


def _over(name: str, value: float, limit: float) -> Exclusion:
    least = max(rounded_up(value), 0.01)
    return Exclusion(constraint=name, value=value, limit=limit, lifted_by=f"raise constraints.{name} to {least:g}")


def _unpredictable(terms: Terms) -> list[Exclusion]:
    predicted = terms.outlook.predicted
    if predicted.value is not None:
        return []
    lifted = "measure larger rungs (pilots.rungs)"
    return [Exclusion(constraint="evidence", value=predicted.reason, limit="a prediction", lifted_by=lifted)]


def rounded_up(value: float) -> float:
    """To three digits, so that the number said is enough."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 2)
    return float(f"{np.ceil(value / unit - 1e-9) * unit:.3g}")
