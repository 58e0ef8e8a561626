"""The map of the decision: the verdict for other amounts of data and other budgets, all else as declared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tasks.choice import Case, choose
from tasks.records import DecisionMap

BUDGETS = 24
DECADES = 4  # that the budgets span at least
UNKNOWN = 100.0  # of a budget, up and down, where no cost is known


def decision_map(case: Case) -> DecisionMap:
    """The verdict at each amount of data of the evidence's grid and each of BUDGETS budgets round what the options cost."""
    rows, (low, high) = case.evidence.grid(), _budgets(case)
    budgets = [float(f"{low * (high / low) ** (i / (BUDGETS - 1)):.3g}") for i in range(BUDGETS)]
    key: dict[str, str] = {}
    lines = [_line(case, budget, rows, key) for budget in budgets]
    return DecisionMap(
        rows=rows,
        budget_usd=budgets,
        verdicts=lines,
        key={letter: word for word, letter in key.items()},
        decision_grade_rows=case.evidence.decision_grade_rows,
    )


def _line(case: Case, budget: float, rows: Sequence[int], key: dict[str, str]) -> str:
    limits = case.constraints.model_copy(update={"budget_usd": budget})
    words = [choose(replace(case, n=n, constraints=limits)).verdict for n in rows]
    return "".join(key.setdefault(v.branch or v.status, _letter(len(key))) for v in words)


def _letter(count: int) -> str:
    return chr(ord("a") + count)


def _budgets(case: Case) -> tuple[float, float]:
    """From below the cheapest option now to above what now is the budget, at least DECADES."""
    highs = [t.cost_usd.high for t in case.terms() if t.cost_usd and t.cost_usd.high > 0]
    now = case.constraints.budget_usd or None
    low = min([*highs, now or math.inf]) / 3 if highs else (now or 1.0) / UNKNOWN
    high = max([*highs, now or 0.0, low * 10**DECADES]) * 3
    return max(low, 1e-6), high
