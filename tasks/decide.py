"""The decision: evidence and constraints in, a decision record and a plan out.

`decide` puts together what the modules beside it compute: `evidence` (what each option would reach and take),
`first_year` (its money), `constraints`, `choice` (the verdict), `flips`, `decision_map`, `crossover`, `tradeoff`,
`next_rung`, `rules`. It reads no clock and no machine: equal inputs, equal bytes. What was taken for granted stands in
`Decision.assumed`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path

from tasks import bases, choice, cost, feasibility, first_year, formats, habits, params, records, stage, target
from tasks.choice import Case, Choice, choose, meets, name_of, regrets, together, within
from tasks.constraints import provider_share
from tasks.crossover import crossover, scratch_verdicts
from tasks.decision_map import decision_map
from tasks.evidence import DRAWS, Evidence, Outlook, Pair, pairs
from tasks.first_year import Terms
from tasks.flips import flips
from tasks.needs import needs
from tasks.next_rung import next_rung
from tasks.params import Params
from tasks.recipes import recipe
from tasks.records import (
    Ahead,
    Audit,
    Base,
    Candidates,
    Crossover,
    Decision,
    Exclusion,
    Flip,
    Library,
    Look,
    Metric,
    Option,
    Pilot,
    Plan,
    Predicted,
    RankedBase,
    ScratchFeasibility,
    Shortlist,
    Span,
    Trade,
)
from tasks.rules import rule_of_thumb
from tasks.tradeoff import tradeoff

VALID_DAYS = 90
"""GPU and cloud prices moved by a third within half a year in 2025-26: a decision that rests on them ages."""
AHEAD = 4  # times the rows at hand, that the drawn curves go on
MANY_CUT = 0.1  # of a pilot's rows: from there on it is said that they were too long
BITS_A_BYTE = 8.0  # of guessing each byte with the same probability
COST_INCLUDES = [
    "cost_usd, which the budget limits: computing of the one final training, at the price of an hour, declared or shipped",
    "first_year_usd: that, and attempts that fail, people, serving, updates, electricity and delay, as declared",
    "not: labels, the pilots already run",
]
RULES = [
    "Limits of money, time and memory are held against the upper end of the 90 % interval.",
    f"A target counts as met with a chance of at least {choice.MEETS:.0%}; the cheapest option in the first year is taken.",
    "If none does, the best is taken: the last measured values lead, an extrapolated crossing must be probable to overrule.",
    f"Options that the best one beats with less than {choice.TIE:.0%}, and by at most {choice.TIE_POINTS:.1f} points, or by no "
    "more than seeds or folds alone make of a measured difference, tie: the cheapest is taken.",
    f"First years within {choice.SAME_COST:.0%} of each other cost the same: of these, the surest to meet the target is taken, "
    "or the best.",
    "If the target lies beyond the 90 % interval of every option and more rows would reach it, label more.",
    f"If not even the best does better than guessing with a chance of {choice.MEETS:.0%}, do nothing.",
    "With a declared value of a point, the least expected regret in USD of the first year is taken instead: quality, cost, "
    f"price, failed attempts and delay in {DRAWS} seeded draws; or nothing, or more labels, if that is worth more.",
]


@dataclass(frozen=True)
class Inputs:
    settings: Params
    audit: Audit
    candidates: Candidates
    shortlist: Shortlist
    screens: dict[str, Pilot]
    pilots: dict[str, Pilot]
    look: Look = field(default_factory=lambda: Look(continued=[], ranked=[], cells=[]))
    """Without a ranking: so few base models that all were screened."""
    library: Library = field(default_factory=lambda: Library(pilots=[]))


def main(
    audit: Path,
    candidates: Path,
    look: Path,
    shortlist: Path,
    screens: Path,
    pilots: Path,
    library: Path,
    decision: Path,
    plan: Path,
) -> None:
    settings = params.load()
    names = settings.pilots.branches
    inputs = Inputs(
        settings,
        records.read(Audit, audit),
        records.read(Candidates, candidates),
        records.read(Shortlist, shortlist),
        {name: records.read(Pilot, screens / f"{name}.json") for name in names},
        {name: records.read(Pilot, pilots / f"{name}.json") for name in names},
        records.read(Look, look),
        records.read(Library, library),
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
    metric = Metric.of(settings.objective.metric, None)
    own, about_own = habits.usable(inputs.library, metric)
    evidence = Evidence(
        pairs=pairs(inputs.screens, inputs.pilots, inputs.shortlist, inputs.candidates),
        metric=metric,
        folds=any(screen.regime == "cross-validation" for screen in inputs.screens.values()),
        test_rows=audit.test.rows,
        needs=partial(needs, settings),
        habits=own,
        about_habits=about_own,
    )
    return Case(
        evidence,
        audit.train.rows,
        settings.objective,
        settings.constraints,
        settings.hardware,
        settings.team,
        _guessing(inputs),
    )


def plan_for(chosen: Choice, task: str, n: int) -> Plan:
    """What is to be trained, or for a base that is used as it is, asked; nothing for verdicts without a branch."""
    terms = chosen.chosen
    if terms is None:
        return Plan(task=task, branch=None, base_model=None, recipe={})
    pair = terms.outlook.pair
    base = Base(name=pair.base.name, sha256=pair.base.sha256) if pair.base else None
    return Plan(task=task, branch=pair.branch, base_model=base, recipe=recipe(pair.branch, task, n))


def _decision(inputs: Inputs, case: Case, chosen: Choice) -> Decision:
    settings = inputs.settings
    regret, price = regrets(case, chosen), cost.price_of_hour(settings.hardware)
    options = [_option(case, chosen, i, regret[i]) for i in _order(chosen, regret, case.metric)]
    turned, crossed, trades = flips(case), crossover(case.evidence), tradeoff(case, chosen)
    return Decision(
        verdict=chosen.verdict,
        metric=case.metric,
        n_rows=case.n,
        n_effective=inputs.audit.n_effective,
        branches=options,
        rule_of_thumb=rule_of_thumb(chosen, case.n, case.metric, settings.constraints, settings.team),
        flips=turned,
        by_branch=_by_branch(options),
        crossover=crossed,
        expires_on=_expiry(price.last),
        inputs={
            "data_md5": inputs.audit.data_md5,
            "train_sha256": inputs.audit.train.sha256,
            "prices_as_of": price.last,
        },
        usd_per_hour=Span(value=(price.low + price.high) / 2, low=price.low, high=price.high),
        cost_includes=COST_INCLUDES,
        uncertain=_uncertain(case, chosen),
        rules=RULES,
        regret_unit="points" if settings.objective.value_per_point_usd is None else "USD",
        map=decision_map(case),
        assumed=_assumed(case),
        tradeoff=trades,
        next_rung=next_rung(case, chosen),
        scratch=scratch_verdicts(case.evidence, case.n),
        break_even=_break_even(turned, crossed, trades, chosen),
        scratch_feasible=_scratch_feasible(inputs, case),
        bases=_bases(inputs),
        doubts=_doubts(case),
    )


def _bases(inputs: Inputs) -> list[RankedBase]:
    """The look's ranking of many base models; of few, what the screen of a probe (or of prompting) says."""
    looks = [inputs.screens[branch].cells for branch in ("probe", "prompt") if branch in inputs.screens]
    return inputs.look.ranked or (bases.ranked(looks[0], inputs.candidates.candidates) if looks else [])


def _scratch_feasible(inputs: Inputs, case: Case) -> ScratchFeasibility | None:
    """Text and budget against what training from scratch wants; None where that is no branch or its shape is unknown."""
    pair, settings = next((p for p in case.evidence.pairs if p.branch == "scratch"), None), inputs.settings
    plan = recipe("scratch", settings.use_case.task, case.n) if pair else {}
    shape, lengths = target.shape_for(None, plan), target.lengths_of(pair.cells, None, plan) if pair else None
    if shape is None or lengths is None:
        return None
    hardware, limits = settings.hardware, settings.constraints
    price = cost.price_of_hour(hardware)
    return feasibility.of_hardware(
        inputs.audit.words["mean"] * case.n,
        inputs.candidates,
        (target.block_params(shape) * shape.layers, float(plan.get("epochs", 1))),
        (hardware.gpu, hardware.count, (price.low + price.high) / 2),
        (limits.budget_usd, limits.deadline_hours),
        settings.objective.requests_per_month,
        lengths.mean,
    )


def _doubts(case: Case) -> list[str]:
    """Settings of the hardware that cannot be right."""
    hardware = case.hardware
    return target.doubts(hardware.gpu, hardware.count, hardware.usd_per_gpu_hour) if hardware.gpu else []


def _break_even(turned: Sequence[Flip], crossed: Crossover, trades: Sequence[Trade], chosen: Choice) -> dict[str, float | None]:
    """The nearest value of each that changes the verdict; of the rows, where scratch overtakes; of a point, where it pays."""
    names = ("usd_per_gpu_hour", "requests_per_month", "deadline_hours", "budget_usd")
    near: dict[str, float | None] = {}
    for flip in reversed(turned):
        if flip.constraint in names and flip.at is not None:
            near[flip.constraint] = float(flip.at)
    mine = chosen.verdict.branch, chosen.verdict.base_model
    pays = next((t.pays_from_usd for t in trades if t.branch and (t.branch, t.base_model) == mine), None)
    value = next((f.at for f in turned if f.constraint == "value_per_point_usd" and f.at is not None), pays)
    return {name: near.get(name) for name in names} | {"rows": crossed.n, "value_per_point_usd": value}


def _assumed(case: Case) -> list[str]:
    evidence, hardware, limits = case.evidence, case.hardware, case.constraints
    said = [evidence.about_habits] if evidence.about_habits else []
    said += first_year.assumed(evidence.pairs, evidence.at(case.n), hardware, case.team, case.objective)
    said += [
        f"Training computing of {base.name}: {base.training_flops_source or 'not known'}; shares are taken of 1e23 FLOPs."
        for base in {
            pair.base.name: pair.base for pair in evidence.pairs if pair.base and not pair.base.training_flops
        }.values()
    ]
    if hardware.gpu and hardware.place is None:
        said.append("hardware.place is empty: whether the data would leave for it was not checked.")
    if limits.business_use is None:
        said.append("constraints.business_use is empty: licences are held against constraints.licences alone.")
    if hardware.gpu is None and hardware.memory_gb is None:
        said.append("hardware.memory_gb is empty: that the memory suffices is not checked beyond what the pilots ran in.")
    return said


def _order(chosen: Choice, regret: Sequence[float | None], metric: Metric) -> list[int]:
    """The chosen option first, then by expected regret, then the excluded ones by what they were predicted to reach."""

    def place(i: int) -> tuple[bool, bool, float]:
        lost, value = regret[i], chosen.terms[i].outlook.predicted.value
        points = -math.inf if value is None else metric.points(value, 0.0)
        return chosen.terms[i] is not chosen.chosen, lost is None, -points if lost is None else lost

    return sorted(range(len(chosen.terms)), key=place)


def _option(case: Case, chosen: Choice, i: int, regret: float | None) -> Option:
    terms, why = chosen.terms[i], chosen.excluded[i]
    outlook, limits, base = terms.outlook, case.constraints, terms.outlook.pair.base
    return Option(
        branch=outlook.pair.branch,
        base_model=outlook.pair.base_name,
        status=_status(terms, chosen, why),
        excluded_by=why,
        predicted=_predicted(outlook),
        cost_usd=terms.cost_usd,
        hours=terms.hours,
        first_year_usd=first_year.span(terms.year).model_copy(update={"value": terms.mean_year}),
        parts_usd={name: float(draws.mean()) for name, draws in terms.parts.items() if draws.any()},
        people_hours=terms.people_hours,
        months_until_use=terms.months if math.isfinite(terms.months) else None,
        p_success=first_year.success(outlook.pair.branch, case.team),
        electricity_kwh=terms.kwh,
        provider_share=provider_share(base, outlook.needs.tokens) if base and outlook.needs.tokens else None,
        peak_gb=outlook.needs.peak_gb,
        latency_ms=outlook.latency_ms,
        model_gb=outlook.model_gb,
        largest_rung=outlook.pair.largest_rung,
        cells=len(outlook.pair.cells),
        p_target=meets(outlook, case.metric),
        p_budget=within(terms.cost, limits.budget_usd),
        p_deadline=within(outlook.needs.hours, limits.deadline_hours),
        p_all=together(terms, case),
        expected_regret=regret,
        ahead=_ahead(case, i),
        note=_note(outlook),
        rests_on=outlook.needs.rests_on,
    )


def _note(outlook: Outlook) -> str | None:
    unknown = outlook.needs.reason if outlook.needs.hours is None else None
    return unknown or outlook.pair.stopped or outlook.pair.ended_early


def _status(terms: Terms, chosen: Choice, why: list[Exclusion]) -> str:
    if terms is chosen.chosen:
        return "chosen"
    return "excluded" if why else "not_continued" if terms.outlook.pair.stopped else "possible"


def _predicted(outlook: Outlook) -> Predicted:
    p = outlook.predicted
    return Predicted(value=p.value, low90=p.low90, high90=p.high90, ratio=p.ratio, grade=p.grade, reason=p.reason)


def _ahead(case: Case, i: int) -> Ahead | None:
    """The predicted curve from the pair's largest rung, by half octaves, through the rows at hand, to AHEAD times them."""
    n, rows = max(case.evidence.pairs[i].largest_rung, case.evidence.smallest_rung), {case.n}
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
    """The metric of always answering the most frequent label; of a loss, of knowing the labels' shares and nothing else; of
    answers that are written, of an empty one."""
    metric = inputs.settings.objective.metric
    if metric in ("exact_match", "chrf"):
        return 0.0
    if metric == "bits_per_byte":
        return BITS_A_BYTE
    shares = [count / sum(inputs.audit.labels.values()) for count in inputs.audit.labels.values() if count]
    match metric:
        case "accuracy":
            return max(shares)
        case "macro_f1":
            return 2 * max(shares) / (1 + max(shares)) / len(shares)
    return -sum(share * math.log(share) for share in shares)


def _expiry(prices_as_of: str) -> str:
    """VALID_DAYS after the first day of that month."""
    return (date.fromisoformat(f"{prices_as_of}-01") + timedelta(days=VALID_DAYS)).isoformat()


def _uncertain(case: Case, chosen: Choice) -> list[str]:
    """In plain words: quality, then money, then what nothing was measured of."""
    if chosen.chosen is None:
        return _unmeasured(case)
    outlook, terms = chosen.chosen.outlook, chosen.chosen
    p, said = outlook.predicted, []
    if p.value is not None and p.low90 is not None and p.high90 is not None:
        half = formats.apart(50 * (p.high90 - p.low90), case.metric.name)
        how = f"{formats.short(p.ratio)} times its largest pilot" if p.ratio > 1 else "as many rows as the pilots had"
        said.append(f"Quality: ±{half} (90% interval) for {name_of(outlook.pair)}; it is predicted for {how}.")
    if case.objective.metric == "accuracy":
        binomial = 100 * 1.645 * (0.25 / case.evidence.test_rows) ** 0.5
        said.append(f"Test rows: {case.evidence.test_rows} rows alone blur any measured value by up to ±{binomial:.1f} points.")
    year, parts = first_year.span(terms.year), {name: draws.mean() for name, draws in terms.parts.items()}
    largest = max(parts, key=lambda name: parts[name])
    low, high = formats.money(year.low), formats.money(year.high)
    span = f"{low} at both ends of the 90% interval" if low == high else f"{low} to {high} (90% interval)"
    said.append(f"First year: {span}; most of it is {largest.replace('_', ' ')}, {formats.money(parts[largest])} on average.")
    return said + _cut(outlook.pair) + _unmeasured(case)


def _cut(pair: Pair) -> list[str]:
    """Where a largest pilot did not learn the whole of MANY_CUT of its rows."""
    cell = max((cell for cell in pair.cells if cell.n == pair.largest_rung), key=lambda cell: cell.cut_rows or 0)
    if not cell.cut_rows or cell.cut_rows < MANY_CUT * cell.n:
        return []
    return [f"Length: in the largest pilot {records.cut(cell, cell.n)}."]


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
