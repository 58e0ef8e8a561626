"""The learning curves as SVG: rungs and seeds measured, the way on predicted, bands for the chosen branch and scratch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks import formats
from tasks.records import SHARES, Ahead, Metric
from tasks.report import marks
from tasks.report.svg import Frame, smooth, text_at

LINE = 18  # px between labels


@dataclass(frozen=True)
class Line:
    """One branch: `measured` are (rows, values of the seeds) by rung; values are shares."""

    branch: str
    label: str
    measured: Sequence[tuple[int, Sequence[float]]]
    ahead: Ahead | None
    chosen: bool
    excluded: bool

    def mean(self, i: int) -> float:
        values = self.measured[i][1]
        return sum(values) / len(values)


def chart(lines: Sequence[Line], n: int, metric: Metric, width: int) -> Markup:
    """`width` in px: 680 with labels beside the lines, less for phones."""
    gutter = 200 if width > 600 else 142
    rungs = sorted({rung for line in lines for rung, _ in line.measured})
    frame = Frame(44, width - gutter, 42, 402, (rungs[0] * 0.82, max([4.0 * n, *rungs])), _values(lines, metric))
    body = [_veil(frame, n), _grid(frame, metric), _ticks(frame, rungs, n), _target(frame, metric)]
    body += [_band(frame, line) for line in _banded(lines)]
    body += [_line(frame, line) for line in sorted(lines, key=lambda line: line.chosen)]
    body += [_here(frame, line, n) for line in lines if line.chosen]
    body.append(_target_label(frame, metric, lines))
    body.append(_labels(frame, lines, n, width, metric))
    title = "Learning curves: " + "; ".join(f"{line.label} {_at(line, n, metric)}" for line in lines)
    return Markup('<svg class="chart w{w}" width="{w}" height="452" role="img"><title>{t}</title>{b}</svg>').format(
        w=width, t=title, b=Markup("").join(body)
    )


def _values(lines: Sequence[Line], metric: Metric) -> tuple[float, float]:
    """All that is measured, the predictions, and the chosen band, with a little room; bands of others may be cut off."""
    seen = [v for line in lines for _, values in line.measured for v in values]
    seen += [v for line in lines if line.ahead for v in line.ahead.value]
    seen += [v for line in lines if line.ahead and line.chosen for v in (*line.ahead.low90, *line.ahead.high90)]
    seen += [metric.target] if metric.target is not None else []
    low, high = min(seen), max(seen)
    room = 0.04 * (high - low) + 0.005
    return max(0.0, low - room), min(1.0, high + room) if metric.name in SHARES else high + room


def _veil(frame: Frame, n: int) -> Markup:
    x = frame.x(n)
    return Markup('<rect class="panel" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
        x, frame.top, frame.right - x, frame.bottom - frame.top
    )


def _grid(frame: Frame, metric: Metric) -> Markup:
    low, high = frame.values
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if (high - low) / s <= 7)
    parts = []
    for i in range(math.ceil(low / step), math.floor(high / step) + 1):
        y = frame.y(i * step)
        share = metric.name in SHARES
        text = f"{100 * i * step:.0f}" + ("%" if (i + 1) * step > high else "") if share else formats.short(i * step)
        parts.append(text_at(frame.left - 8, y + 4, text, "axis", "end"))
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(frame.left, y, frame.right))
    return Markup("").join(parts)


def _ticks(frame: Frame, rungs: Sequence[int], n: int) -> Markup:
    x, parts, taken = frame.x(n), [], [frame.x(n)]
    for rows in [*rungs, 2 * n, 4 * n]:
        at = frame.x(rows)
        if at > frame.right + 1 or any(abs(at - other) < 44 for other in taken):
            continue
        taken.append(at)
        parts.append(Markup('<path class="tick" d="M{:.1f} {}v5"/>').format(at, frame.bottom))
        parts.append(text_at(at, frame.bottom + 19, formats.rows(rows), "axis", "middle"))
    parts.append(Markup('<path class="here" d="M{:.1f} {}V{}"/>').format(x, frame.top - 12, frame.bottom + 22))
    parts.append(text_at(x, frame.bottom + 36, formats.rows(n), "label strong", "middle"))
    edge, anchor = (frame.left, "start") if x > (frame.left + frame.right) / 2 else (frame.right, "end")
    parts.append(text_at(edge, frame.bottom + 36, "training rows, doubling scale", "axis", anchor))
    parts.append(text_at(x - 7, frame.top - 16, "all your data", "label strong", "end"))
    parts.append(text_at(x + 7, frame.top - 16, "with more", "label", "start"))
    return Markup("").join(parts)


def _target(frame: Frame, metric: Metric) -> Markup:
    if metric.target is None:
        return Markup("")
    return Markup('<path class="target" d="M{} {:.1f}H{}"/>').format(frame.left, frame.y(metric.target), frame.right)


def _target_label(frame: Frame, metric: Metric, lines: Sequence[Line]) -> Markup:
    """Above the line's left end, or below it, or at its right end: where the fewest symbols stand."""
    if metric.target is None:
        return Markup("")
    y, text = frame.y(metric.target), f"target {formats.score(metric.target, metric.name)}"
    seen = [(frame.x(n) + dx, frame.y(v)) for line in lines for n, vs in line.measured for v in vs for dx in (0, 8)]
    for line in lines:
        if line.ahead:
            seen += [(frame.x(n), frame.y(v)) for n, v in zip(line.ahead.rows, line.ahead.value, strict=True)]
    wide = 7 * len(text)
    places = [(left, y + dy) for left in (frame.left + 4, frame.right - wide - 4) for dy in (-6, 15)]

    def crowd(place: tuple[float, float]) -> int:
        return sum(place[0] - 9 < x < place[0] + wide + 9 and place[1] - 19 < at < place[1] + 9 for x, at in seen)

    left, at = min(places, key=crowd)
    return text_at(left, at, text, "label halo", "start")


def banded(lines: Sequence[Line]) -> str:
    """Whose interval is shaded, in words."""
    return "the choice and for training from scratch" if len(_banded(lines)) > 1 else "the choice"


def _banded(lines: Sequence[Line]) -> list[Line]:
    """The choice; training from scratch too, where curves are drawn: on a single size two bands hide all that stands there."""
    curve = any(len(line.measured) > 1 for line in lines)
    return [line for line in lines if line.chosen or (line.branch == "scratch" and curve)]


def _band(frame: Frame, line: Line) -> Markup:
    if line.ahead is None or not line.measured:
        return Markup("")
    start = (frame.x(line.measured[-1][0]), frame.y(line.mean(-1)))
    upper = [start] + [(frame.x(n), frame.clip(v)) for n, v in zip(line.ahead.rows, line.ahead.high90, strict=True)]
    lower = [start] + [(frame.x(n), frame.clip(v)) for n, v in zip(line.ahead.rows, line.ahead.low90, strict=True)]
    corners = "L".join(f"{x:.1f} {y:.1f}" for x, y in upper + lower[::-1])
    return Markup('<path class="f-{} band" d="M{}Z"/>').format(line.branch, corners)


def _line(frame: Frame, line: Line) -> Markup:
    means = [(frame.x(n), frame.y(line.mean(i))) for i, (n, _) in enumerate(line.measured)]
    width = 2.8 if line.chosen else 1.6
    parts = [Markup('<path class="s-{}" fill="none" stroke-width="{}" d="{}"/>').format(line.branch, width, smooth(means))]
    if line.ahead:
        on = [means[-1]] + [(frame.x(n), frame.y(v)) for n, v in zip(line.ahead.rows, line.ahead.value, strict=True)]
        dashed = Markup('<path class="s-{}" fill="none" stroke-width="{}" stroke-dasharray="5 3.5" d="{}"/>')
        parts.append(dashed.format(line.branch, width, smooth(on)))
    for (x, y), (_, values) in zip(means, line.measured, strict=True):
        dots = [
            Markup('<circle class="f-{} seed" cx="{:.1f}" cy="{:.1f}" r="1.8"/>').format(line.branch, x + 8, frame.y(v))
            for v in values
        ]
        parts += [*dots, marks.mark(line.branch, x, y)]
    return Markup("").join(parts)


def _here(frame: Frame, line: Line, n: int) -> Markup:
    """A ring at the chosen value, with the ends of its interval."""
    if line.ahead is None or n not in line.ahead.rows:
        return Markup("")
    i, x = line.ahead.rows.index(n), frame.x(n)
    low, value, high = (frame.y(v[i]) for v in (line.ahead.low90, line.ahead.value, line.ahead.high90))
    whiskers = f"M{x:.1f} {low:.1f}V{high:.1f}M{x - 5:.1f} {low:.1f}h10M{x - 5:.1f} {high:.1f}h10"
    drawn = Markup(
        '<path class="s-{0}" stroke-width="2" d="{1}"/>'
        '<circle class="s-{0} hollow" cx="{2:.1f}" cy="{3:.1f}" r="6" stroke-width="2.6"/>'
    )
    return drawn.format(line.branch, whiskers, x, value)


def _labels(frame: Frame, lines: Sequence[Line], n: int, width: int, metric: Metric) -> Markup:
    """Name and value at full data beside the line's end, spread so that none overlap."""
    wanted = sorted(((_end(frame, line), line) for line in lines), key=lambda pair: pair[0])
    places = spread([y for y, _ in wanted], LINE, frame.top + 14, frame.bottom)
    parts = (
        [text_at(width - 4, places[0] - LINE, f"{'% ' if metric.name in SHARES else ''}at {formats.rows(n)}", "axis", "end")]
        if places
        else []
    )
    for (end, line), y in zip(wanted, places, strict=True):
        weight = " strong" if line.chosen else ""
        parts.append(
            Markup('<path class="s-{}" d="M{} {:.1f}L{} {:.1f}" fill="none"/>').format(
                line.branch, frame.right + 2, end, frame.right + 13, y
            )
        )
        parts.append(text_at(frame.right + 17, y + 4, line.label, f"label t-{line.branch}{weight}", "start"))
        parts.append(text_at(width - 4, y + 4, _at(line, n, metric), f"label t-{line.branch}{weight}", "end"))
    return Markup("").join(parts)


def _end(frame: Frame, line: Line) -> float:
    return frame.y(line.ahead.value[-1] if line.ahead else line.mean(-1))


def _at(line: Line, n: int, metric: Metric) -> str:
    if line.ahead is None or n not in line.ahead.rows:
        return "–"
    value = line.ahead.value[line.ahead.rows.index(n)]
    return f"{100 * value:.1f}" if metric.name in SHARES else formats.three(value)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places in ascending order near the wanted ones, at least `gap` apart, within [low, high] where they fit."""
    places: list[float] = []
    for y in wanted:
        places.append(max(y, places[-1] + gap if places else low))
    limit = high
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit)
        limit = places[i] - gap
    return places
