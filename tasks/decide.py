"""The decision: evidence and constraints in, a decision record and a plan out.

`decide` puts together what the modules beside it compute: `evidence` (what each option would reach and take),
`constraints`, `choice` (the verdict), `flips`, `crossover`, `rules`. It reads no clock and no machine: equal inputs,
equal bytes. What it leaves out of the cost stands in `Decision.cost_includes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from tasks import choice, formats, params, records, stage
from tasks.choice import Case, Choice, choose, meets, name_of, regrets, together, within
from tasks.constraints import Terms
from tasks.crossover import crossover
from tasks.evidence import Evidence, Outlook, pairs
from tasks.flips import decision_map, flips
from tasks.params import Params
from tasks.recipes import recipe
from tasks.records import (
    Ahead,
    Audit,
    Base,
    Candidates,
    Decision,
    Exclusion,
    Metric,
    Option,
    Pilot,
    Plan,
    Predicted,
    Shortlist,
)
from tasks.rules import rule_of_thumb

VALID_DAYS = 90
"""GPU and cloud prices moved by a third within half a year in 2025-26: a decision that rests on them ages."""
AHEAD = 4  # times the rows at hand, that the drawn curves go on
COST_INCLUDES = [
    "compute of the one final training, at the declared price of an hour",
    "not: people's hours, labels, the pilots already run, serving, updates",
]
RULES = [
    "Limits of money and time are held against the upper end of the 90 % interval.",
    f"A target counts as met with a chance of at least {choice.MEETS:.0%}; the cheapest option that meets it is taken.",
    "If none does, the best is taken: the last measured values lead, an extrapolated crossing must be probable to overrule.",
    f"Options that the best one beats with less than {choice.TIE:.0%}, and by at most {100 * choice.TIE_POINTS:.1f} points, "
    "tie: the cheapest is taken.",
    "If the target lies above the 90 % interval of every option and more rows would reach it, label more.",
    "With a declared value of a point, the least expected regret in USD is taken instead, or nothing if nothing pays.",
]


@dataclass(frozen=True)
class Inputs:
    settings: Params
    audit: Audit
    candidates: Candidates
    shortlist: Shortlist
    screens: dict[str, Pilot]
    pilots: dict[str, Pilot]


def main(audit: Path, candidates: Path, shortlist: Path, screens: Path, pilots: Path, decision: Path, plan: Path) -> None:
    settings = params.load()
    names = settings.pilots.branches
    inputs = Inputs(
        settings,
        records.read(Audit, audit),
        records.read(Candidates, candidates),
        records.read(Shortlist, shortlist),
        {name: records.read(Pilot, screens / f"{name}.json") for name in names},
        {name: records.read(Pilot, pilots / f"{name}.json") for name in names},
    )
    decided, planned = decide(inputs)
    records.write(decided, decision)
    records.write(planned, plan)


def decide(inputs: Inputs) -> tuple[Decision, Plan]:
    case = case_of(inputs)
    chosen = choose(case)
    return _decision(inputs, case, chosen), plan_for(chosen, inputs.settings.use_case.task, case.n)


def case_of(inputs: Inputs) -> Case:
    settings, audit = inputs.settings, inputs.audit
    evidence = Evidence(
        pairs=pairs(inputs.screens, inputs.pilots, inputs.shortlist, inputs.candidates),
        metric=settings.objective.metric,
        task=settings.use_case.task,
        folds=any(screen.regime == "cross-validation" for screen in inputs.screens.values()),
        test_rows=audit.test.rows,
        gpu=settings.hardware.gpu,
    )
    return Case(evidence, audit.train.rows, settings.objective, settings.constraints, settings.hardware, _guessing(inputs))


def plan_for(chosen: Choice, task: str, n: int) -> Plan:
    """What is to be trained; nothing for verdicts without a branch, or for a base that is used as it is."""
    terms = chosen.chosen
    if terms is None or chosen.verdict.status == "use_as_is":
        return Plan(task=task, branch=None, base_model=None, recipe={})
    pair = terms.outlook.pair
    base = Base(name=pair.base.name, sha256=pair.base.sha256) if pair.base else None
    return Plan(task=task, branch=pair.branch, base_model=base, recipe=recipe(pair.branch, task, n))


def _decision(inputs: Inputs, case: Case, chosen: Choice) -> Decision:
    settings = inputs.settings
    regret = regrets(case, chosen)
    options = [_option(case, chosen, i, regret[i]) for i in _order(chosen, regret)]
    return Decision(
        verdict=chosen.verdict,
        metric=Metric(name=settings.objective.metric, target=settings.objective.target),
        n_rows=case.n,
        n_effective=inputs.audit.n_effective,
        branches=options,
        rule_of_thumb=rule_of_thumb(chosen, case.n, settings.objective, settings.constraints, settings.team),
        flips=flips(case),
        by_branch=_by_branch(options),
        crossover=crossover(case.evidence),
        expires_on=_expiry(settings.hardware.prices_as_of),
        inputs={
            "data_md5": inputs.audit.data_md5,
            "train_sha256": inputs.audit.train.sha256,
            "prices_as_of": settings.hardware.prices_as_of,
        },
        cost_includes=COST_INCLUDES,
        uncertain=_uncertain(case, chosen),
        rules=RULES,
        regret_unit="points" if settings.objective.value_per_point_usd is None else "USD",
        map=decision_map(case),
    )


def _order(chosen: Choice, regret: Sequence[float | None]) -> list[int]:
    """The chosen option first, then by expected regret, then the excluded ones by what they were predicted to reach."""

    def place(i: int) -> tuple[bool, bool, float]:
        lost, value = regret[i], chosen.terms[i].outlook.predicted.value
        return chosen.terms[i] is not chosen.chosen, lost is None, lost if lost is not None else -(value or 0.0)

    return sorted(range(len(chosen.terms)), key=place)


def _option(case: Case, chosen: Choice, i: int, regret: float | None) -> Option:
    terms, why = chosen.terms[i], chosen.excluded[i]
    outlook, limits = terms.outlook, case.constraints
    return Option(
        branch=outlook.pair.branch,
        base_model=outlook.pair.base_name,
        status=_status(terms, chosen, why),
        excluded_by=why,
        predicted=_predicted(outlook),
        cost_usd=terms.cost_usd,
        hours=terms.hours,
        peak_gb=outlook.peak_gb,
        latency_ms=outlook.latency_ms,
        model_gb=outlook.model_gb,
        largest_rung=outlook.pair.largest_rung,
        cells=len(outlook.pair.cells),
        p_target=meets(outlook, case.objective.target),
        p_budget=within(terms.cost, limits.budget_usd),
        p_deadline=within(outlook.hours, limits.deadline_hours),
        p_all=together(terms, case),
        expected_regret=regret,
        ahead=_ahead(case, i),
        note=outlook.hours_reason or outlook.pair.stopped,
    )


def _status(terms: Terms, chosen: Choice, why: list[Exclusion]) -> str:
    if terms is chosen.chosen:
        return "chosen"
    return "excluded" if why else "not_continued" if terms.outlook.pair.stopped else "possible"


def _predicted(outlook: Outlook) -> Predicted:
    p = outlook.predicted
    return Predicted(value=p.value, low90=p.low90, high90=p.high90, ratio=p.ratio, grade=p.grade, reason=p.reason)


def _ahead(case: Case, i: int) -> Ahead | None:
    """The predicted curve from the pair's largest rung, by half octaves, through the rows at hand, to AHEAD times them."""
    n, rows = case.evidence.pairs[i].largest_rung, {case.n}
    while n < AHEAD * case.n:
        n = round(n * 2**0.5)
        rows.add(min(n, AHEAD * case.n))
    found = [(m, case.evidence.at(m)[i].predicted) for m in sorted(rows)]
    known = [(m, p.value, p.low90, p.high90) for m, p in found if p.value is not None]
    if not known:
        return None
    rows_, value, low, high = (list(column) for column in zip(*known, strict=True))
    return Ahead(rows=rows_, value=value, low90=low, high90=high)


def _by_branch(options: Sequence[Option]) -> dict[str, dict[str, float | None]]:
    """The first option of each branch: the chosen one, or the one with the least regret."""
    first: dict[str, dict[str, float | None]] = {}
    for o in options:
        cost = o.cost_usd.value if o.cost_usd else None
        first.setdefault(o.branch, {"p_target": o.p_target, "cost_usd": cost, "expected_regret": o.expected_regret})
    return first


def _guessing(inputs: Inputs) -> float:
    """Accuracy, or macro F1, of always answering the most frequent label."""
    counts = inputs.audit.labels.values()
    share = max(counts) / sum(counts)
    return share if inputs.settings.objective.metric == "accuracy" else 2 * share / (1 + share) / len(counts)


def _expiry(prices_as_of: str) -> str:
    """VALID_DAYS after the first day of that month."""
    return (date.fromisoformat(f"{prices_as_of}-01") + timedelta(days=VALID_DAYS)).isoformat()


def _uncertain(case: Case, chosen: Choice) -> list[str]:
    """In plain words, largest first: quality in points, then money and time, then what nothing was measured of."""
    if chosen.chosen is None:
        return _unmeasured(case)
    outlook, terms = chosen.chosen.outlook, chosen.chosen
    p = outlook.predicted
    said = []
    if p.value is not None and p.low90 is not None and p.high90 is not None:
        half = 50 * (p.high90 - p.low90)
        how = f"{formats.short(p.ratio)} times the largest pilot" if p.ratio > 1 else "as many rows as the pilots had"
        said.append(f"Quality: ±{half:.1f} points (90% interval) for {name_of(outlook.pair)}; it is predicted for {how}.")
    binomial = 100 * 1.645 * (0.25 / case.evidence.test_rows) ** 0.5
    said.append(f"Test rows: {case.evidence.test_rows} rows alone blur any measured value by up to ±{binomial:.1f} points.")
    if terms.cost_usd:
        low, high = formats.money(terms.cost_usd.low), formats.money(terms.cost_usd.high)
        said.append(f"Cost: {low} to {high}, for the spread of the pilots' times and the range of the price.")
    return said + _unmeasured(case)


def _unmeasured(case: Case) -> list[str]:
    said = []
    if case.hardware.gpu:
        said.append(f"Time and cost on {case.hardware.gpu}: not known, so the budget and the deadline could not be checked.")
    stopped = [name_of(pair) for pair in case.evidence.pairs if pair.stopped]
    if stopped:
        said.append(f"Seen at the smallest sizes only: {', '.join(stopped)}.")
    return [*said, "Not measured: other kinds of data than these rows, and how the data will change after today."]


if __name__ == "__main__":
    stage.run(main)
