"""The sentences of the report: each says what the records found, in words that a manager understands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks import formats
from tasks.records import Audit, Crossover, Decision, Evaluation, Flip, Option
from tasks.report import marks

LIKELY = 0.5
SURE = 0.8
METRICS = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "bits_per_byte": "Bits per byte",
    "exact_match": "Exact match",
    "chrf": "chrF",
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
    "third_party_weights": "Weights of others",
}
LIFTED = {
    "licences": "licence not allowed",
    "third_party_weights": "weights of others forbidden",
    "budget_usd": "over budget",
    "deadline_hours": "over the deadline",
    "max_latency_ms": "too slow",
    "max_model_gb": "too large",
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
        "baseline": f"Keep the baseline: word statistics, fitted on {rows}.",
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
    value, low, high = formats.percent(p.value), f"{100 * p.low90:.1f}", formats.percent(p.high90)
    if decision.metric.name == "accuracy":
        text = f"We expect it to get {value} of new cases right (90% interval {low} to {high})"
    else:
        text = f"We expect a macro F1 of {value} (90% interval {low} to {high})"
    if option.cost_usd and option.hours:
        money = formats.money(option.cost_usd.value)
        money = "less than a cent" if money.startswith("<") else f"about {money}"
        text += f", for {money} of computing, after {formats.duration(option.hours.value)} of training"
    return text + "."


def mind(flips: Sequence[Flip]) -> str:
    """At most three nearest changes, each with what follows."""
    found = [f"{_when(flip)} ({_becomes(flip)})" for flip in flips if flip.at is not None][:3]
    return "; ".join(found) + "." if found else "no single limit, moved alone as far as was tried."


def _when(flip: Flip) -> str:
    if flip.side == "switch":
        return (
            "no weights of others"
            if flip.constraint == "third_party_weights"
            else f"no {flip.constraint.removeprefix('licences: ')} licence"
        )
    name = constraint(flip.constraint).lower()
    value = amount(flip.constraint, flip.at)
    if flip.constraint == "max_latency_ms":
        return f"answers within {value}"
    if flip.constraint == "rows":
        return f"{value} training rows or {'less' if flip.side == 'below' else 'more'}"
    article = "an " if name[0] in "aeiou" else "a "
    return f"{article}{name} of {value} or {'less' if flip.side == 'below' else 'more'}"


def _becomes(flip: Flip) -> str:
    return marks.name(flip.to_branch, flip.to_status).lower().replace("lora", "LoRA")


def constraint(name: str) -> str:
    if name.startswith("licences: "):
        return f"Licence {name.removeprefix('licences: ')}"
    return CONSTRAINTS.get(name, name)


def amount(name: str, value: float | bool | None) -> str:
    if value is None:
        return "no limit"
    if isinstance(value, bool):
        return "allowed" if value else "forbidden"
    if name in ("budget_usd", "usd_per_gpu_hour", "value_per_point_usd"):
        return small_money(value)
    if name == "target":
        return formats.percent(value)
    unit = {"deadline_hours": " h", "max_latency_ms": " ms", "max_model_gb": " GB"}.get(name, "")
    return (formats.rows(value) if name == "rows" else formats.short(value)) + unit


def small_money(usd: float) -> str:
    """Limits of money keep their digits below a cent."""
    return f"${formats.short(usd)}" if 0 < usd < 0.1 else formats.money(usd)


def curves_heading(decision: Decision) -> str:
    target, options = decision.metric.target, decision.branches
    if target is None:
        best = max(options, key=lambda o: o.predicted.value or 0.0)
        return f"{_name(best)} is predicted to do best with the data you have"
    likely = [o for o in options if (o.p_target or 0.0) >= LIKELY]
    said = formats.percent(target).replace(".0%", "%")
    if not likely:
        return f"No option is likely to reach {said} with the data you have"
    if len({o.branch for o in likely}) == 1:
        return f"Only {_name(likely[0])} is likely to reach {said} with the data you have"
    return f"{_count(len(likely)).capitalize()} of {_count(len(options))} options are likely to reach {said}"


def table_heading(decision: Decision) -> str:
    options = decision.branches
    out = sum(bool(o.excluded_by) for o in options)
    parts = [f"{_count(out)} {'breaks' if out == 1 else 'break'} a limit" if out else "none breaks a limit"]
    if decision.metric.target is not None:
        missed = sum(o.p_target is not None and o.p_target < LIKELY for o in options)
        parts.append(f"{_count(missed)} would probably miss the target")
    return f"{_count(len(options)).capitalize()} options compared: {', '.join(parts)}"


def why(option: Option, decision: Decision) -> Sentence:
    """Why an option is taken, or is not."""
    if option.status == "chosen":
        return Sentence("Chosen:", decision.verdict.reason)
    if option.excluded_by:
        first = option.excluded_by[0]
        return Sentence("Excluded:", f"{LIFTED.get(first.constraint, first.constraint)}; {first.lifted_by}")
    target, value = decision.metric.target, option.predicted.value
    note = f"Not continued: {option.note}" if option.status == "not_continued" and option.note else ""
    if target is not None and value is not None and value < target:
        return Sentence("", f"Misses the target by {formats.points(max(target - value, 0.001))} points. {note}".strip())
    best = chosen(decision)
    if best and value is not None and best.predicted.value is not None and value < best.predicted.value:
        return Sentence("", f"{formats.points(best.predicted.value - value)} points below the choice. {note}".strip())
    return Sentence("", note or "Costs more than the choice, or is less sure.")


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


def flips_heading(flips: Sequence[Flip]) -> str:
    near = next((f for f in flips if f.at is not None), None)
    if near is None:
        return "No single limit changes the verdict"
    if near.side == "switch":
        return "Only a switch changes the verdict; no amount does"
    way = "or less" if near.side == "below" else "or more"
    value = amount(near.constraint, near.at)
    return f"Closest limit: {constraint(near.constraint).lower()}; at {value} {way} the verdict is {_becomes(near)}"


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


def realised_heading(decision: Decision, evaluation: Evaluation) -> str:
    option = chosen(decision)
    if evaluation.status == "nothing_to_do" or option is None:
        return "Nothing was trained"
    value, p = evaluation.metrics[decision.metric.name], option.predicted
    inside = p.low90 is not None and p.high90 is not None and p.low90 <= value <= p.high90
    return f"Realised {formats.percent(value)}: {'inside' if inside else 'outside'} the predicted interval"


def _name(option: Option) -> str:
    return marks.name(option.branch).lower().replace("lora", "LoRA")


def _count(number: int) -> str:
    return COUNTS[number] if number < len(COUNTS) else str(number)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
