"""From the records to the page: each block gets its figures as text, the template only places them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tasks import formats
from tasks.evidence import by_pair
from tasks.params import Params
from tasks.records import (
    SHARES,
    Audit,
    Candidates,
    Cell,
    Context,
    Decision,
    Evaluation,
    Flip,
    Option,
    Pilot,
    Shortlist,
    Span,
    Training,
)
from tasks.report import curves_chart, map_chart, marks, words
from tasks.report.curves_chart import Line

HERE = Path(__file__).parent
STRIP_POINTS = 0.14  # the branch table's scale ends so far from its middle, at most
DECADES = 2  # the flips' scale: ÷100 to ×100
WIDTHS = (680, 444)


@dataclass(frozen=True)
class Records:
    settings: Params
    audit: Audit
    context: Context
    candidates: Candidates
    shortlist: Shortlist
    screens: dict[str, Pilot]
    pilots: dict[str, Pilot]
    decision: Decision
    decision_sha256: str
    training: Training
    evaluation: Evaluation

    @property
    def folds(self) -> bool:
        return any(screen.regime == "cross-validation" for screen in self.screens.values())

    def cells(self) -> list[Cell]:
        return [cell for name in self.screens for cell in (*self.screens[name].cells, *self.pilots[name].cells)]


def page(found: Records) -> str:
    """The whole report as HTML: no script, nothing fetched."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"f": formats, "words": words, "marks": marks}
    return environment.get_template("page.html").render(_content(found))


def _content(found: Records) -> dict[str, Any]:
    decision = found.decision
    lines = _lines(found)
    return {
        "r": found,
        "d": decision,
        "metric": words.METRICS.get(decision.metric.name, decision.metric.name),
        "css": (HERE / "page.css").read_text(encoding="utf-8"),
        "verdict": words.verdict(decision),
        "stats": _stats(found),
        "mind": words.mind(decision),
        "curves": [curves_chart.chart(lines, decision.n_rows, decision.metric, width) for width in WIDTHS],
        "lines": lines,
        "heldout": decision.n_rows if found.folds else max(cell.n_heldout for cell in found.cells()),
        "reach": _reach(found),
        "seeds": _seeds(found),
        "whole": _whole(found),
        "bands": curves_chart.banded(lines),
        "options": [_row(option, found) for option in decision.branches],
        "axis": _axis(decision),
        "maps": [map_chart.chart(decision.map, decision.n_rows, _budget(found), decision.crossover, width) for width in WIDTHS],
        "map_verdicts": map_chart.verdicts(decision.map),
        "flips": _flips(decision),
        "idle": [words.constraint(f.constraint).lower() for f in decision.flips if _idle([f])],
        "waterfall": _waterfall(found.audit),
        "realised": _realised(found),
        "next_rung": words.next_rung(decision),
        "trades": _trades(decision),
        "numbers": _numbers(found),
        "pilots": _pilots(found),
    }


def _budget(found: Records) -> float | None:
    return found.settings.constraints.budget_usd


# ---- the four figures at the top -----------------------------------------------------------------------------------------


def _stats(found: Records) -> list[dict[str, Any]]:
    decision, limits = found.decision, found.settings.constraints
    option = words.chosen(decision)
    if option is None:
        return []
    p = option.predicted
    metric = words.METRICS.get(decision.metric.name, decision.metric.name)
    quality = (
        Span(value=p.value, low=p.low90, high=p.high90)
        if p.value is not None and p.low90 is not None and p.high90 is not None
        else None
    )
    place, name = found.settings.hardware.gpu or "this CPU", decision.metric.name
    year = option.first_year_usd
    return [
        _stat(
            f"Expected {metric.lower().replace('f1', 'F1')}",
            quality,
            decision.metric.target,
            "target",
            partial(formats.score, metric=name),
            partial(_scores, name),
        ),
        _stat("First-year cost, on average", year, None, "", formats.money, _moneys),
        _stat(
            f"Training time, by the clock, {place}",
            option.hours,
            limits.deadline_hours,
            "deadline",
            formats.duration,
            _durations,
        ),
        {
            "name": "Chance to meet all limits",
            "value": formats.chance(option.p_all),
            "range": "",
            "squares": round(10 * (option.p_all or 0.0)),
        },
    ]


def _stat(name: str, span: Span | None, limit: float | None, word: str, write: Any, write_range: Any) -> dict[str, Any]:
    """Value, interval and limit as text, and their places on a strip in percent."""
    if span is None:
        return {"name": name, "value": "not known", "range": "", "squares": None}
    shown = [span.low, span.high] + ([limit] if limit is not None else [])
    low, high = min(shown), max(shown)
    room = max((high - low) * 0.15, abs(high) * 0.02) or 1.0
    scale = partial(_place_between, low - room, high + room)
    return {
        "name": name,
        "value": write(span.value),
        "range": _beside(write(span.value), write_range(span)),
        "bar": (scale(span.low), scale(span.high)),
        "dot": scale(span.value),
        "limit": None if limit is None else scale(limit),
        "limit_text": None if limit is None else f"{word} {write(limit)}",
        "squares": None,
    }


def _place_between(low: float, high: float, value: float) -> float:
    """In percent of the way from low to high."""
    return round(100 * (value - low) / (high - low), 2)


def _scores(metric: str, span: Span) -> str:
    return formats.score_range(span.low, span.high, metric)


def _moneys(span: Span) -> str:
    return formats.money_range(span.low, span.high)


def _durations(span: Span) -> str:
    return formats.duration_range(span.low, span.high)


def _beside(value: str, interval: str) -> str:
    """The interval as it stands beside the value; empty where it is, to the digits shown, the value itself."""
    return "" if interval == value else interval


# ---- curves and the table of options -----------------------------------------------------------------------------------------


def _lines(found: Records) -> list[Line]:
    """One line a branch: its chosen or its least regretted base model."""
    cells = by_pair(found.cells())
    shown: dict[str, Option] = {}
    for option in found.decision.branches:
        shown.setdefault(option.branch, option)
    metric, folds = found.decision.metric.name, found.folds
    return [_line(option, cells[option.branch, option.base_model], metric, folds) for option in shown.values()]


def _line(option: Option, cells: Sequence[Cell], metric: str, folds: bool) -> Line:
    rungs = [round(sum(c.n for c in cells) / len(cells))] if folds else sorted({cell.n for cell in cells})
    values = [[getattr(c.quality, metric) for c in cells if folds or c.n == rung] for rung in rungs]
    excluded = bool(option.excluded_by)
    label = marks.name(option.branch) + (", excluded" if excluded else "")
    return Line(option.branch, label, list(zip(rungs, values, strict=True)), option.ahead, option.status == "chosen", excluded)


def _axis(decision: Decision) -> dict[str, Any]:
    """The branch table's scale: ends, ticks, the target. Shares: every 5 points (or wider), not far from the target."""
    metric = decision.metric
    known = [o.predicted for o in decision.branches if o.predicted.value is not None]
    best = max(known, key=lambda p: metric.points(p.value, 0.0), default=None)
    centre = metric.target if metric.target is not None else (best.value if best else None) or 0.5
    share = metric.name in SHARES
    reach = STRIP_POINTS if share else math.inf
    low = max(0.0, centre - reach, min((p.low90 or 0.0 for p in known), default=0.0) - 0.01)
    high = min(1.0 if share else math.inf, centre + reach, max((p.high90 or 1.0 for p in known), default=1.0) + 0.01)
    low, high = min(low, centre - 0.02), max(high, centre + 0.02)
    step = next((s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (high - low) / s <= 7), high - low)
    ticks = [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    at = partial(_place_between, low, high)
    write: Callable[[float], str] = lambda v: f"{100 * v:g}" if share else formats.short(v)  # noqa: E731
    return {
        "low": low,
        "high": high,
        "ticks": [(at(t), write(round(t, 6))) for t in ticks if abs(at(t) - at(centre)) > 38],
        "target": None if metric.target is None else (at(centre), f"target {write(round(centre, 6))}"),
    }


def _row(option: Option, found: Records) -> dict[str, Any]:
    axis, p, metric = _axis(found.decision), option.predicted, found.decision.metric.name
    at = partial(_place_between, axis["low"], axis["high"])
    strip = None
    if p.value is not None and p.low90 is not None and p.high90 is not None:
        off = "◀ off scale" if p.value < axis["low"] else "off scale ▶" if p.value > axis["high"] else None
        strip = {"bar": (max(at(p.low90), 0), min(at(p.high90), 100)), "dot": at(p.value), "off": off}
    return {
        "o": option,
        "name": marks.name(option.branch),
        "base": option.base_model or {"baseline": "no pretrained model", "scratch": "small network"}.get(option.branch, ""),
        "value": "–" if p.value is None else formats.score(p.value, metric),
        "interval": "" if p.low90 is None or p.high90 is None else formats.score_range(p.low90, p.high90, metric).rstrip("%"),
        "strip": strip,
        "year": (year := words.first_year(option)),
        "year_range": _beside(year, _moneys(option.first_year_usd)) if option.first_year_usd else "not known",
        "cost": f"training {formats.money(option.cost_usd.value)}" if option.cost_usd else "training not known",
        "time": formats.duration(option.hours.value) if option.hours else "–",
        "time_range": _time_range(option) if option.hours else "not known",
        "memory": formats.gigabytes(option.peak_gb.value) if option.peak_gb else "–",
        "regret": _regret(option, found.decision),
        "why": words.why(option, found.decision),
    }


def _time_range(option: Option) -> str:
    return _beside(formats.duration(option.hours.value), _durations(option.hours)) if option.hours else ""


def _regret(option: Option, decision: Decision) -> str:
    if option.expected_regret is None:
        return "–"
    return formats.money(option.expected_regret) if decision.regret_unit == "USD" else f"{option.expected_regret:.1f} pt"


# ---- flips, audit, what was realised -------------------------------------------------------------------------


def _flips(decision: Decision) -> list[dict[str, Any]]:
    """One row a constraint, with a bar where the verdict holds, on a log scale round now."""
    rows: dict[str, list[Flip]] = {}
    for flip in decision.flips:
        rows.setdefault(flip.constraint, []).append(flip)
    return [_flip_row(name, group, decision) for name, group in rows.items() if not _idle(group)]


def _idle(group: Sequence[Flip]) -> bool:
    """A setting that is empty now, and changes nothing at any value tried."""
    return all(flip.now is None and flip.at is None for flip in group)


def _flip_row(name: str, group: Sequence[Flip], decision: Decision) -> dict[str, Any]:
    changes = [flip for flip in group if flip.at is not None]
    ends = {flip.side: _place(flip) for flip in changes}
    return {
        "name": words.constraint(name),
        "now": words.amount(name, group[0].now),
        "switch": group[0].side == "switch",
        "below": ends.get("below"),
        "above": ends.get("above"),
        "no_distance": None
        if group[0].now
        else "0 now: no distance"
        if group[0].now == 0
        else words.amount(name, None) + " now",
        "changes": [{"flip": flip, "text": _change(name, flip), "to": _to(flip, decision)} for flip in changes],
        "none": _none(group[0]),
    }


def _to(flip: Flip, decision: Decision) -> str:
    text = words.becomes(flip, decision)
    return text[:1].upper() + text[1:]


def _place(flip: Flip) -> float:
    """Percent of the strip: 50 is now, the ends are a factor of 100 away; for a target, the errors allowed."""
    if not flip.now or isinstance(flip.at, bool) or flip.at is None:
        return 50.0
    errors = flip.constraint == "target" and flip.now < 1
    ratio = (1 - flip.now) / max(1 - flip.at, 1e-3) if errors else flip.at / flip.now
    return round(min(max(50 + 50 * math.log10(max(ratio, 1e-9)) / DECADES, 0.0), 100.0), 2)


def _change(name: str, flip: Flip) -> str:
    if flip.side == "switch":
        return f"if {words.amount(name, flip.at)}"
    return words.at(flip)


def _none(flip: Flip) -> str:
    if flip.side == "switch":
        return "changes nothing"
    return "none, ÷100 to ×100" if flip.now and flip.constraint not in ("rows", "target") else "none tried does"


def _waterfall(audit: Audit) -> list[dict[str, Any]]:
    """From delivered to effective rows; bars in percent of what was delivered."""
    total = audit.rows_delivered
    steps = [("Delivered", total, 0, "kept")]
    left = total
    losses = [
        (reason.replace("_", " ").capitalize(), count)
        for reason, count in sorted(audit.rows_rejected.items(), key=lambda item: -item[1])
    ]
    losses += [("Exact duplicates", audit.exact_duplicates), ("Not drawn (data.max_rows)", audit.rows_not_drawn)]
    for name, count in losses:
        if count:
            left -= count
            steps.append((name, count, left, "held" if name.startswith("Not drawn") else "lost"))
    left -= audit.test.rows
    steps.append(("Held out for the test", audit.test.rows, left, "held"))
    steps.append(("For training", audit.train.rows, 0, "train"))
    steps.append(("Effective, after overlap", round(audit.n_effective.value), 0, "train"))
    return [
        {
            "name": name,
            "count": ("−" if kind in ("lost", "held") else "") + formats.rows(count),
            "left": round(100 * start / total, 2),
            "width": round(max(100 * count / total, 0.3), 2),
            "kind": kind,
        }
        for name, count, start, kind in steps
    ]


def _realised(found: Records) -> dict[str, Any] | None:
    """The trained model on the test rows, beside its prediction and the baselines."""
    done, option, metric = found.evaluation, words.chosen(found.decision), found.decision.metric.name
    if done.status == "nothing_to_do" or option is None:
        return None
    took = found.training.measured
    sliced = "accuracy" if done.unseen is None else metric  # rows with labels are sliced by accuracy, whatever is aimed at
    return {
        "value": formats.score(done.metrics[metric], metric),
        "interval": _interval(done.model.get("low95"), done.model.get("high95"), metric),
        "predicted": "–" if option.predicted.value is None else formats.score(option.predicted.value, metric),
        "predicted_interval": _interval(option.predicted.low90, option.predicted.high90, metric),
        "time": formats.duration(took.wall_seconds / 3600) if took else "–",
        "time_range": _time_range(option),
        "time_predicted": formats.duration(option.hours.value) if option.hours else "–",
        "rows": formats.rows(done.rows),
        "sliced": words.METRICS[sliced],
        "memory": formats.gigabytes(took.peak_gb) if took else "–",
        "memory_predicted": formats.gigabytes(option.peak_gb.value) if option.peak_gb else "–",
        "baselines": [
            (name, formats.score(values[metric], metric)) for name, values in done.baselines.items() if metric in values
        ],
        "differences": [
            (d.against, formats.points(d.value), formats.points(d.low95), formats.points(d.high95)) for d in done.diff
        ],
        "others": words.others(done, metric) + words.judged(done),
        "slices": [
            (s.name, formats.rows(s.rows), formats.score(s.value, sliced), _interval(s.low95, s.high95, sliced))
            for s in done.slices
        ],
        "unseen": words.unseen(done, metric),
    }


def _interval(low: float | None, high: float | None, metric: str) -> str:
    return "" if low is None or high is None else formats.score_range(low, high, metric).rstrip("%")


def _trades(decision: Decision) -> list[dict[str, Any]]:
    mine = decision.verdict.branch, decision.verdict.base_model
    return [
        {
            "t": trade,
            "icon": marks.icon(trade.branch, "do_nothing"),
            "name": marks.name(trade.branch, "do_nothing"),
            "base": trade.base_model or "",
            "value": formats.score(trade.value, decision.metric.name),
            "cost": formats.money(trade.cost_usd),
            "pays": pays,
            "chosen": (trade.branch, trade.base_model) == mine and trade.branch is not None,
        }
        for trade, pays in zip(decision.tradeoff, words.worth_most(decision), strict=True)
    ]


def _numbers(found: Records) -> list[dict[str, Any]]:
    """Every cell, as measured."""
    metric = found.decision.metric.name
    return [
        {
            "branch": marks.name(cell.branch),
            "base": cell.base_model or "–",
            "rows": formats.rows(cell.n),
            "seed": cell.seed,
            "value": formats.score(getattr(cell.quality, metric), metric),
            "loss": "–" if cell.quality.log_loss is None else f"{cell.quality.log_loss:.3f}",
            "seconds": formats.three(cell.measured.cpu_seconds),
            "memory": formats.gigabytes(cell.measured.peak_gb),
        }
        for cell in found.cells()
    ]


def _pilots(found: Records) -> str:
    cells = found.cells()
    hours = sum(cell.measured.cpu_seconds for cell in cells) / 3600
    return f"{len(cells)} cells, {_seeds(found)}, {formats.duration(hours)} of CPU time"


def _reach(found: Records) -> dict[str, str]:
    """How far the choice is extrapolated, from the largest of its own pilots; without a choice, from the largest of all."""
    option, n = words.chosen(found.decision), found.decision.n_rows
    times = option.predicted.ratio if option else n / _largest(found)
    return {"whose": " of the choice" if option else "", "rows": formats.rows(n / times), "times": formats.short(times)}


def _largest(found: Records) -> int:
    """Rows of the largest pilot; the mean over the folds, as what is predicted counts them."""
    n = [cell.n for cell in found.cells() if cell.n] or [0]
    return round(sum(n) / len(n)) if found.folds else max(n)


def _seeds(found: Records) -> str:
    """How often a size was repeated: said of every number of repeats that there is."""
    if found.folds:
        return f"{len({cell.seed for cell in found.cells()})} folds"
    times = [sum(1 for cell in mine if cell.n == n) for mine in by_pair(found.cells()).values() for n in {c.n for c in mine}]
    low, high = min(times, default=0), max(times, default=0)
    return f"{high} seed{'s' * (high != 1)}" if low == high else f"{low} to {high} seeds a size"


def _whole(found: Records) -> str:
    """Which rungs one run on all rows stood in for, and why; empty where there was none."""
    rungs, cells = set(found.settings.pilots.rungs), found.cells()
    extra = sorted({cell.n for cell in cells if cell.n and cell.n not in rungs})
    if found.folds or not extra:
        return ""
    mine = {
        cell.n for cell in cells if (cell.branch, cell.base_model) in {(c.branch, c.base_model) for c in cells if c.n in extra}
    }
    left = [formats.rows(n) for n in sorted(rungs - mine) if n < extra[-1]]
    if not left:
        return ""
    return (
        f"One run on all {formats.rows(extra[-1])} rows that are not held out was to cost less than the rungs "
        f"{' and '.join([', '.join(left[:-1]), left[-1]] if left[1:] else left)}, so that was run in their place, once."
    )
