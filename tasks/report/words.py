"""The sentences of the report: each says what the records found, in words that a manager understands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from tasks import formats
from tasks.realised import realised
from tasks.records import Audit, Beside, Crossover, Decision, Evaluation, Flip, Metric, Option, Training
from tasks.report import marks

LIKELY = 0.5
SURE = 0.8
METRICS = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "bits_per_byte": "Bits per byte",
    "exact_match": "Exact match",
    "chrf": "chrF",
    "judge": "Judge",
    "log_loss": "Log loss",
}
CONSTRAINTS = {
    "budget_usd": "Budget",
    "deadline_hours": "Deadline",
    "max_latency_ms": "Longest answer",
    "max_model_gb": "Largest model",
    "rows": "Training rows",
    "target": "Target",
    "value_per_point_usd": "Value of a point",
    "usd_per_gpu_hour": "Price of an hour",
    "months_until_use": "Months until use",
    "requests_per_month": "Requests a month",
    "updates_per_year": "Updates a year",
    "month_of_delay_usd": "Cost of a month's delay",
    "usd_per_label": "Price of a label",
    "usd_per_hour": "Hour of an engineer",
    "third_party_weights": "Weights of others",
    "business_use": "For business",
    "ownership": "Own it all",
    "data_may_leave": "Data may leave",
    "air_gap": "No connection to the outside",
}
PARTS = {
    "training": "training",
    "people": "people",
    "failed_attempts": "attempts that fail",
    "serving": "serving",
    "updates": "updates",
    "electricity": "electricity",
    "delay": "delay",
}
NO_LIMITS = (
    "requests_per_month",
    "updates_per_year",
    "month_of_delay_usd",
    "usd_per_label",
    "value_per_point_usd",
    "business_use",
)
"""Settings that, when empty, are not known; other empty ones are no limit."""
PHRASES = {
    "max_latency_ms": "a limit of {} for an answer",
    "max_model_gb": "a limit of {} for the model",
    "rows": "{} training rows",
    "requests_per_month": "{} requests a month",
    "updates_per_year": "{} updates a year",
    "usd_per_hour": "engineers at {} an hour",
    "usd_per_gpu_hour": "computing at {} an hour",
    "usd_per_label": "labels at {}",
    "month_of_delay_usd": "{} for a month of delay",
    "months_until_use": "a limit of {} until use",
    "value_per_point_usd": "{} a year for a point",
}
"""Around an amount with `or less` or `or more`; for other settings `a NAME of AMOUNT`."""
LIFTED = {
    "licences": "licence not allowed",
    "third_party_weights": "weights of others forbidden",
    "budget_usd": "over budget",
    "deadline_hours": "over the deadline",
    "max_latency_ms": "too slow",
    "max_model_gb": "too large",
    "months_until_use": "too much work until it serves",
    "engineers": "nobody to build it",
    "memory_gb": "too large for the hardware's memory",
    "business_use": "licence forbids business",
    "ownership": "not all your own",
    "may_become_provider": "makes you a provider (EU AI Act)",
    "data_may_leave": "the data would leave",
    "air_gap": "needs a connection to the outside",
    "regions": "the data would leave its region",
    "evidence": "no prediction",
}
COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Sentence:
    bold: str
    rest: str


def chosen(decision: Decision) -> Option | None:
    return next((o for o in decision.branches if o.status == "chosen"), None)


def verdict(decision: Decision) -> Sentence:
    """What to do, then what to expect."""
    option, status = chosen(decision), decision.verdict.status
    if option is None:
        bold = {
            "label_more": "Label more data before you train.",
            "do_nothing": "Do nothing for now.",
            "no_branch_fits": "Nothing fits your limits.",
        }.get(status, "Nothing is to be trained.")
        return Sentence(bold, _capital(decision.verdict.reason) + ".")
    return Sentence(_imperative(option, decision.n_rows), _expected(option, decision))


def _imperative(option: Option, n: int) -> str:
    rows, base = f"your {formats.rows(n)} rows", option.base_model
    return {
        "baseline": f"Keep the baseline, which has no pretrained model, fitted on {rows}.",
        "prompt": f"Use {base} as it is.",
        "probe": f"Put a linear classifier on top of {base}, fitted on {rows}.",
        "lora": f"Fine-tune {base} with LoRA on {rows}.",
        "full": f"Fine-tune all of {base} on {rows}.",
        "continued": f"Continue the pretraining of {base}, then fine-tune it on {rows}.",
        "scratch": f"Train a small model of your own on {rows}.",
    }[option.branch]


def _expected(option: Option, decision: Decision) -> str:
    p = option.predicted
    if p.value is None or p.low90 is None or p.high90 is None:
        return "How good it will be could not be predicted."
    name = decision.metric.name
    value, low, high = (formats.score(v, name) for v in (p.value, p.low90, p.high90))
    interval = f"(90% interval {low.removesuffix('%')} to {high})"
    if name == "accuracy":
        text = f"We expect it to get {value} of new cases right {interval}"
    else:
        text = f"We expect a {METRICS.get(name, name).lower().replace('f1', 'F1')} of {value} {interval}"
    if option.first_year_usd:
        text += f", for about {first_year(option)} on average in the first year"
    if option.hours:
        seconds = formats.duration(option.hours.value)
        text += f", after {f'less than {seconds[1:]}' if seconds.startswith('<') else f'about {seconds}'} of training"
    return text + "."


def first_year(option: Option) -> str:
    """The mean cost of the first year."""
    return formats.money(first_year_usd(option))


def first_year_usd(option: Option) -> float:
    return sum(option.parts_usd.values())


def parts(option: Option) -> str:
    """What the first year's cost is made of, the largest first."""
    known = sorted(option.parts_usd.items(), key=lambda part: -part[1])
    return ", ".join(f"{PARTS.get(name, name)} {formats.money(usd)}" for name, usd in known)


def mind(decision: Decision) -> str:
    """At most three nearest changes, each with what follows."""
    found = [f"{_when(flip)} ({becomes(flip, decision)})" for flip in decision.flips if flip.at is not None][:3]
    return "; ".join(found) + "." if found else "no single limit, moved alone as far as was tried."


def _when(flip: Flip) -> str:
    if flip.side == "switch":
        return _turned(flip)
    name, value = constraint(flip.constraint).lower(), _amounts(flip)
    article = "an" if name[0] in "aeiou" else "a"
    return PHRASES.get(flip.constraint, f"{article} {name} of {{}}").format(value) + _tried(flip)


def at(flip: Flip) -> str:
    """`$0.02 or more`; that it is but the end of what was tried is said."""
    return _amounts(flip) + _tried(flip)


def _amounts(flip: Flip) -> str:
    return f"{amount(flip.constraint, flip.at)} or {'less' if flip.side == 'below' else 'more'}"


def _tried(flip: Flip) -> str:
    return f", the {'highest' if flip.side == 'below' else 'lowest'} value tried" if flip.at_end else ""


def _turned(flip: Flip) -> str:
    if flip.constraint.startswith("licences: "):
        return f"{'the' if flip.at else 'no'} {flip.constraint.removeprefix('licences: ')} licence"
    if flip.constraint == "third_party_weights":
        return "weights of others" if flip.at else "no weights of others"
    return f"{constraint(flip.constraint).lower()} {'' if flip.at else 'no longer'}".strip()


def becomes(flip: Flip, decision: Decision) -> str:
    """The verdict at a flip, with the base model where it is another one than now; that a tie decides it is said."""
    to = marks.name(flip.to_branch, flip.to_status).lower().replace("lora", "LoRA")
    of = f" of {flip.to_base_model}" if flip.to_base_model not in (None, decision.verdict.base_model) else ""
    tie = ", which then ties with the best" if flip.to_reason and "within the noise" in flip.to_reason else ""
    return f"{to}{of}{tie}"


def constraint(name: str) -> str:
    if name.startswith("licences: "):
        return f"Licence {name.removeprefix('licences: ')}"
    return CONSTRAINTS.get(name, name)


def amount(name: str, value: float | bool | None) -> str:
    if value is None:
        return "not declared" if name in NO_LIMITS else "no limit"
    if isinstance(value, bool):
        yes, no = ("yes", "no") if name in ("business_use", "ownership", "air_gap") else ("allowed", "forbidden")
        return yes if value else no
    if "usd" in name:
        return small_money(value)
    if name == "target":
        return formats.percent(value) if value <= 1 else formats.three(value)
    unit = {"deadline_hours": " h", "max_latency_ms": " ms", "max_model_gb": " GB", "months_until_use": " months"}.get(name, "")
    return (formats.rows(value) if name in ("rows", "requests_per_month") else formats.short(value)) + unit


def small_money(usd: float) -> str:
    """Limits of money keep their digits below a cent."""
    return f"${formats.short(usd)}" if 0 < usd < 0.1 else formats.money(usd)


def curves_heading(decision: Decision) -> str:
    target, options = decision.metric.target, decision.branches
    if target is None:
        known = [o for o in options if o.predicted.value is not None]
        best = max(known, key=lambda o: decision.metric.points(o.predicted.value, 0.0), default=options[0])
        return f"{_name(best)} is predicted to do best with the data you have"
    likely = [o for o in options if (o.p_target or 0.0) >= LIKELY and not o.excluded_by]
    said = formats.score(target, decision.metric.name).replace(".0%", "%")
    if not likely:
        return f"No option within the limits is likely to reach {said} with the data you have"
    if len({o.branch for o in likely}) == 1:
        return f"Only {_name(likely[0])} will more likely than not reach {said} with the data you have"
    return f"{_count(len(likely)).capitalize()} of {_count(len(options))} options will more likely than not reach {said}"


def table_heading(decision: Decision) -> str:
    options = decision.branches
    out = sum(bool(o.excluded_by) for o in options)
    parts = [f"{_count(out)} {'breaks' if out == 1 else 'break'} a limit" if out else "none breaks a limit"]
    if decision.metric.target is not None:
        missed = sum(o.p_target is not None and o.p_target < LIKELY for o in options)
        parts.append(f"{_count(missed)} would probably miss the target")
    compared = "option" if len(options) == 1 else "options"
    return f"{_count(len(options)).capitalize()} {compared} compared: {', '.join(parts)}"


def why(option: Option, decision: Decision) -> Sentence:
    """Why an option is taken, or is not."""
    if option.status == "chosen":
        return Sentence("Chosen:", decision.verdict.reason)
    if option.excluded_by:
        first = option.excluded_by[0]
        return Sentence("Excluded:", f"{LIFTED.get(first.constraint, first.constraint)}; {first.lifted_by}")
    metric, value = decision.metric, option.predicted.value
    note = f"Not continued: {option.note}" if option.status == "not_continued" and option.note else ""
    if value is not None and not metric.reached(value):
        behind = formats.apart(metric.points(metric.target, value), metric.name)
        return Sentence("", f"Misses the target by {behind}. {note}".strip())
    best = chosen(decision)
    return Sentence("", f"{_beside(option, best, decision) if best else ''} {note}".strip())


def _beside(option: Option, best: Option, decision: Decision) -> str:
    """What speaks for the choice, against an option that reaches the target: what it costs, how sure it is, how good."""
    metric, usd = decision.metric, first_year_usd(option) - first_year_usd(best)
    said = []
    if usd > 0 and first_year(option) != first_year(best):
        said.append(f"{formats.money(usd)} more in the first year")
    if option.p_target is not None and best.p_target is not None and option.p_target < best.p_target - 0.005:
        said.append(f"less sure to meet the target ({formats.chance(option.p_target)})")
    if option.predicted.value is not None and best.predicted.value is not None:
        points = metric.points(best.predicted.value, option.predicted.value)
        if points > 0.05:
            said.append(f"{formats.apart(points, metric.name)} {'below' if metric.higher_is_better else 'above'} the choice")
    if not said and decision.regret_unit == "USD" and option.expected_regret is not None:
        said.append(f"{formats.money(option.expected_regret)} of expected regret")
    return f"{_capital(', '.join(said) or 'no better than the choice, within what is known')}."


def tradeoff_heading(decision: Decision) -> str:
    """From which value of a point the choice pays."""
    option, trades = chosen(decision), decision.tradeoff
    mine = next((t for t in trades if option and (t.branch, t.base_model) == (option.branch, option.base_model)), None)
    if option and mine and mine.pays_from_usd == 0:
        return f"{_capital(_name(option))} pays whatever a point is worth, until another overtakes it"
    if option and mine and mine.pays_from_usd is not None:
        return f"{_capital(_name(option))} pays from {formats.money(mine.pays_from_usd)} a year for one point"
    steps = [t for t in trades if t.branch and t.pays_from_usd is not None]
    if not steps:
        return "Nothing beats doing nothing at any value of a point"
    return f"From {formats.money(steps[0].pays_from_usd)} a year for one point, {marks.name(steps[0].branch).lower()} pays"


def worth_most(decision: Decision) -> list[str]:
    """For each option of the trade-off, at which values of a point it is worth more than all others."""
    steps = [trade.pays_from_usd for trade in decision.tradeoff if trade.pays_from_usd is not None]
    ends = dict(pairwise(steps))
    return [_between(trade.pays_from_usd, ends.get(trade.pays_from_usd or 0.0)) for trade in decision.tradeoff]


def _between(low: float | None, high: float | None) -> str:
    if low is None or low == high:
        return "no amount: another is always worth more"
    if low == 0:
        return "any amount" if high is None else f"less than {formats.money(high)} a year"
    return f"{formats.money(low)} {'or more' if high is None else f'to {formats.money(high)}'} a year"


def value_note(decision: Decision) -> str:
    """Why the verdict changes at another value of a point than the trade-off says; empty where it does not."""
    steps = [trade.pays_from_usd for trade in decision.tradeoff if trade.pays_from_usd]
    found = [flip for flip in decision.flips if flip.constraint == "value_per_point_usd" and flip.at is not None]
    apart = [flip for flip in found if not any(math.isclose(flip.at or 0.0, usd, rel_tol=0.01) for usd in steps)]
    if not apart:
        return ""
    return (
        f"The verdict changes elsewhere, at {' and '.join(amount(flip.constraint, flip.at) for flip in apart)} a year: of what "
        "ties within the noise it takes the cheapest, while here the better mean is ahead, by however little. "
    )


def next_rung(decision: Decision) -> Sentence:
    found = decision.next_rung
    if found is None or found.offer is None:
        return Sentence("Next rung, none:", f"{found.reason if found else 'not asked'}.")
    bought = {True: "worth buying", False: "not bought", None: "undecided"}[found.buy]
    return Sentence(f"Next rung, {bought}:", f"{found.reason}.")


def scratch_note(decision: Decision) -> str:
    """Both verdicts on training from scratch."""
    said = []
    for one in decision.scratch:
        if one.predicted is None or one.rows is None:
            said.append(f"With {one.terms}: not known ({one.note}).")
        else:
            value, better = formats.score(one.predicted, decision.metric.name), formats.chance(one.p_better)
            way = "With the computing of the best fine-tuning" if one.terms == "equal compute" else "Trained to convergence"
            said.append(f"{way} ({formats.rows(one.rows)} rows; {one.note}): {value}, better with a chance of {better}.")
    return " ".join(said)


def map_heading(decision: Decision) -> str:
    """What more money does at today's amount of data, and where scratch overtakes."""
    drawn, budget = decision.map, next((f.now for f in decision.flips if f.constraint == "budget_usd"), None)
    column = min(range(len(drawn.rows)), key=lambda i: abs(drawn.rows[i] - decision.n_rows))
    above = {
        line[column] for line, b in zip(drawn.verdicts, drawn.budget_usd, strict=True) if budget is None or b >= float(budget)
    }
    money = "More budget alone changes nothing" if len(above) <= 1 else "More budget changes the verdict"
    return f"{money}; {_crossover(decision.crossover)}"


def _crossover(found: Crossover) -> str:
    if found.n is not None:
        return f"from scratch overtakes at about {formats.rows(float(f'{found.n:.2g}'))} rows"
    if found.status.startswith("not measured"):
        return "when from scratch would overtake was not measured"
    return "from scratch overtakes nowhere within 32 times the pilots"


def crossover_note(found: Crossover) -> str:
    if found.status.startswith("not measured"):
        return f"{_capital(found.status)}."
    if found.n is None:
        return "Within 32 times the largest pilot, training from scratch is not expected to overtake the best fine-tuning."
    high = f"to {formats.rows(found.high90)}" if found.high90 else "to beyond what the pilots can tell"
    return (
        f"From about {formats.rows(found.n)} rows training from scratch is predicted to overtake the best fine-tuning "
        f"(90% interval {formats.rows(found.low90 or found.n)} {high})."
    )


def flips_heading(decision: Decision) -> str:
    near = next((f for f in decision.flips if f.at is not None), None)
    if near is None:
        return "No single limit changes the verdict"
    if near.side == "switch":
        return "Only a switch changes the verdict; no amount does"
    return f"Closest limit: {constraint(near.constraint).lower()}; at {at(near)} the verdict is {becomes(near, decision)}"


def rule_heading(decision: Decision) -> str:
    return f"Rule of thumb and measurement {'agree' if decision.rule_of_thumb.agrees else 'disagree'}"


def rule_note(decision: Decision) -> str:
    rule, option = decision.rule_of_thumb, chosen(decision)
    here = f"the measurement says: {marks.name(option.branch).lower()}" if option else "the measurement says: train nothing now"
    return f"The rule says: {rule.says} ({rule.reason}); {here.replace('lora', 'LoRA')}."


def audit_heading(audit: Audit) -> str:
    removed = sum(audit.rows_rejected.values()) + audit.exact_duplicates
    worth = formats.rows(audit.n_effective.value)
    return f"Audit: {formats.rows(removed)} rows removed, {formats.rows(audit.train.rows)} to train on are worth {worth}"


def unseen(evaluation: Evaluation, metric: str) -> str:
    """How good the model is on test text that does not occur in training; empty where that is not asked."""
    found = evaluation.unseen
    if found is None:
        return ""
    if found.metrics is None or metric not in found.metrics:
        return f"On text that does not occur in training: not known ({found.reason}). "
    beside = [f"{name} {formats.score(of[metric], metric)}" for name, of in found.baselines.items() if metric in of]
    return (
        f"On the {formats.rows(found.texts)} test texts ({formats.rows(found.bytes)} bytes) that do not occur in training: "
        f"{formats.score(found.metrics[metric], metric)}{', ' * bool(beside)}{', '.join(beside)}. "
    )


def others(evaluation: Evaluation, metric: str) -> str:
    """The metrics that were not aimed at, beside the baselines'; said to be worse where they are."""
    said = []
    for name, value in evaluation.metrics.items():
        beside = {base: of[name] for base, of in evaluation.baselines.items() if name in of}
        if name == metric or name not in METRICS or not beside:
            continue
        sign = 1 if Metric.of(name, None).higher_is_better else -1
        worse = [base for base, other in beside.items() if sign * (value - other) < 0]
        found = ", ".join(f"{base} {formats.score(other, name)}" for base, other in beside.items())
        note = f"; worse than {' and '.join(worse)}" if worse else ""
        said.append(f"{METRICS[name]}: {formats.score(value, name)} ({found}{note}). ")
    return "".join(said)


def judged(evaluation: Evaluation) -> str:
    """What the user's own judge adds to its means: the differences, or why there are none. Empty where none was asked."""
    found = evaluation.judge
    if found is None:
        return ""
    if found.value is None:
        return f"Judge: not known ({found.reason}). "
    return "".join(
        f"By the judge against {d.against}: {d.value:+.3f} (95% interval {d.low95:+.3f} to {d.high95:+.3f}). "
        for d in found.diff
    )


def realised_heading(decision: Decision, training: Training, evaluation: Evaluation, gpu: str | None = None) -> str:
    """What came true of what was predicted; time and memory only where it ran on the hardware that they were predicted for."""
    option = chosen(decision)
    if evaluation.status == "nothing_to_do" or option is None:
        return "Nothing was trained"
    came = realised(decision, training, evaluation).quantities
    if gpu and training.measured and gpu.lower() not in training.measured.machine.lower():
        came = came[:1]
    name = decision.metric.name
    said = [f"{what}, {_came(one, name)}" for one in came if (what := _amount(one, name)) and one.inside is not None]
    return f"Realised: {'; '.join(said)}" if said else f"Realised: {_amount(came[0], name)}"


def _amount(one: Beside, metric: str) -> str:
    if one.realised is None:
        return ""
    if one.name == "hours":
        return f"training took {formats.duration(one.realised)}"
    return formats.gigabytes(one.realised) + " of memory" if one.name == "peak_gb" else formats.score(one.realised, metric)


def _came(one: Beside, metric: str) -> str:
    """Inside what was predicted, or on which side of it. Of memory only the upper end is."""
    span, value = one.predicted, one.realised
    assert span is not None
    assert value is not None
    less, more = {"hours": ("shorter than", "longer than"), "peak_gb": ("less than", "more than")}.get(
        one.name, ("below", "above")
    )
    side = "inside" if one.inside else more if value > span.high else less
    if one.name == "peak_gb":
        return f"{'within' if one.inside else side} the {formats.gigabytes(span.high)} predicted"
    if one.name == "hours":
        return f"{side} the {formats.duration_range(span.low, span.high)} predicted"
    return f"{side} the {formats.score_range(span.low, span.high, metric)} predicted"


def _name(option: Option) -> str:
    return marks.name(option.branch).lower().replace("lora", "LoRA")


def _count(number: int) -> str:
    return COUNTS[number] if number < len(COUNTS) else str(number)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
