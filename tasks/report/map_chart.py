"""The decision map as SVG: the verdict by amount of data and budget, each square one run of the decision."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from tasks import formats
from tasks.records import Crossover, DecisionMap
from tasks.report import marks
from tasks.report.svg import Frame, text_at

STROKES = {
    "lora": (8, 45, "M0 0V8"),
    "continued": (8, -45, "M0 0V8"),
    "probe": (7, 0, "M1 2h2M2 1v2"),
    "scratch": (8, 0, "M0 0H8M0 0V8"),
    "label_more": (6, 0, "M0 0H6"),
}
"""Verdict to size, turn in degrees and path of its pattern: what tells them apart without colour."""
PATTERN = Markup(
    '<pattern id="p-{0}{1}" width="{2}" height="{2}" patternUnits="userSpaceOnUse" patternTransform="rotate({3})">'
    '<path class="s-{0}" fill="none" d="{4}"/></pattern>'
)


def chart(drawn: DecisionMap, n: int, budget_usd: float | None, crossover: Crossover, width: int) -> Markup:
    frame = Frame(64, width - 16, 44, 384, _edges(drawn.rows), _edges([math.log(b) for b in drawn.budget_usd], linear=True))
    words = [[drawn.key[letter] for letter in line] for line in drawn.verdicts]
    found = sorted({word for line in words for word in line})
    body = [PATTERN.format(word, width, *STROKES[word]) for word in found if word in STROKES]
    body += [_region(frame, words, word, width) for word in found]
    body += [_veil(frame, drawn), _axes(frame), _crossing(frame, crossover)]
    body += [_name(frame, words, word, _here_at(frame, n, budget_usd)) for word in found]
    body.append(_here(frame, n, budget_usd))
    title = "Decision map. Verdicts shown: " + ", ".join(marks.NAMES[word] for word in found)
    svg = Markup('<svg class="chart w{w}" width="{w}" height="436" role="img"><title>{t}</title>{b}</svg>')
    return svg.format(w=width, t=title, b=Markup("").join(body))


def _edges(centres: Sequence[float], linear: bool = False) -> tuple[float, float]:
    """Outer edges of cells with these centres, in equal steps (of the logarithm, unless linear)."""
    if linear:
        half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2
        return centres[0] - half, centres[-1] + half
    half = (centres[-1] / centres[0]) ** (0.5 / (len(centres) - 1))
    return centres[0] / half, centres[-1] * half


def _cell(frame: Frame, words: Sequence[Sequence[str]]) -> tuple[float, float]:
    return (frame.right - frame.left) / len(words[0]), (frame.bottom - frame.top) / len(words)


def _region(frame: Frame, words: Sequence[Sequence[str]], word: str, width: int) -> Markup:
    """One path for all squares of a verdict, so that no seams show."""
    w, h = _cell(frame, words)
    path = ""
    for j, line in enumerate(words):
        for start, end in _runs(line, word):
            x, y = frame.left + start * w, frame.bottom - (j + 1) * h
            path += f"M{x:.2f} {y:.2f}h{(end - start) * w:.2f}v{h + 0.4:.2f}h{-(end - start) * w:.2f}Z"
    tint = Markup('<path class="f-{0} tint tint-{0}" d="{1}"/>').format(word, path)
    if word not in STROKES:
        return tint
    return tint + Markup('<path class="pattern" fill="url(#p-{}{})" d="{}"/>').format(word, width, path)


def _runs(line: Sequence[str], word: str) -> list[tuple[int, int]]:
    runs, start = [], None
    for i, other in enumerate([*line, ""]):
        if other == word and start is None:
            start = i
        elif other != word and start is not None:
            runs.append((start, i))
            start = None
    return runs


def _veil(frame: Frame, drawn: DecisionMap) -> Markup:
    """Over what is not decision grade."""
    x = frame.x(drawn.decision_grade_rows)
    if x >= frame.right:
        return Markup("")
    veil = Markup('<rect class="veil" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
        x, frame.top, frame.right - x, frame.bottom - frame.top
    )
    edge = Markup('<path class="target" d="M{:.1f} {}V{}"/>').format(x, frame.top, frame.bottom)
    return veil + edge + text_at(x - 4, frame.bottom - 6, "not decision grade →", "axis halo", "end")


def _axes(frame: Frame) -> Markup:
    box = Markup('<rect class="frame" x="{}" y="{}" width="{}" height="{}"/>').format(
        frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top
    )
    parts = [box, text_at(4, frame.top - 10, "budget", "axis", "start")]
    low, high = (math.log10(math.exp(v)) for v in frame.values)
    every = 1 if high - low <= 5 else 2
    for power in range(math.ceil(low), math.floor(high) + 1, every):
        y = frame.y(math.log(10.0**power))
        parts.append(text_at(frame.left - 6, y + 4, f"${10.0**power:,.{max(-power, 0)}f}", "axis", "end"))
        parts.append(Markup('<path class="tick" d="M{} {:.1f}h-4"/>').format(frame.left, y))
    taken: list[float] = []
    for rows in (m * 10**e for e in range(1, 8) for m in (1, 2, 5)):
        x = frame.x(rows)
        if frame.left <= x <= frame.right and all(abs(x - other) > 56 for other in taken):
            taken.append(x)
            parts.append(text_at(x, frame.bottom + 18, formats.rows(rows), "axis", "middle"))
            parts.append(Markup('<path class="tick" d="M{:.1f} {}v4"/>').format(x, frame.bottom))
    parts.append(text_at(frame.right, frame.bottom + 36, "training rows, equal steps are equal ratios", "axis", "end"))
    return Markup("").join(parts)


def _crossing(frame: Frame, crossover: Crossover) -> Markup:
    if crossover.n is None or not frame.left < frame.x(crossover.n) < frame.right:
        return Markup("")
    x = frame.x(crossover.n)
    low = frame.x(crossover.low90) if crossover.low90 else x
    high = min(frame.x(crossover.high90), frame.right) if crossover.high90 else frame.right
    y = frame.top - 12
    end = f"M{high:.1f} {y - 4}v8" if crossover.high90 else f"M{high - 5:.1f} {y - 4}l5 4l-5 4"
    path = f"M{x:.1f} {y}V{frame.bottom}M{low:.1f} {y - 4}v8M{low:.1f} {y}H{high:.1f}{end}"
    line = Markup('<path class="s-scratch" fill="none" stroke-width="2.4" d="{}"/>').format(path)
    return line + text_at(x, y - 8, f"crossover {formats.rows(crossover.n)}", "label strong", "middle")


def _here_at(frame: Frame, n: int, budget_usd: float | None) -> tuple[float, float]:
    """Where now is; at the edge where the budget lies outside the map, or is no limit."""
    y = frame.top if budget_usd is None else frame.y(math.log(budget_usd)) if budget_usd > 0 else frame.bottom
    return min(max(frame.x(n), frame.left), frame.right), min(max(y, frame.top), frame.bottom)


def _here(frame: Frame, n: int, budget_usd: float | None) -> Markup:
    x, y = _here_at(frame, n, budget_usd)
    ring = Markup(
        '<circle class="ring" cx="{0:.1f}" cy="{1:.1f}" r="8"/><circle class="dot" cx="{0:.1f}" cy="{1:.1f}" r="3"/>'
    ).format(x, y)
    left = x > (frame.left + frame.right) / 2
    at, anchor = (x - 14, "end") if left else (x + 14, "start")
    down = 22 if y < frame.top + 16 else -18 if y > frame.bottom - 16 else -2
    words = "no limit" if budget_usd is None else formats.money(budget_usd)
    said = text_at(at, y + down, "You are here", "label strong halo", anchor)
    return ring + said + text_at(at, y + down + 14, f"{formats.rows(n)} rows, {words}", "axis halo", anchor)


def _name(frame: Frame, words: Sequence[Sequence[str]], word: str, here: tuple[float, float]) -> Markup:
    """The verdict's name in the middle of its widest place; nothing where it does not fit."""
    w, h = _cell(frame, words)
    text = marks.NAMES[word]
    half = 0.31 * 12.5 * len(text) + 3
    best, place = 0.0, None
    for j, line in enumerate(words):
        for start, end in _runs(line, word):
            x, y = frame.left + (start + end) / 2 * w, frame.bottom - (j + 0.5) * h
            up = _reach(words, word, (start + end) // 2, j)
            free = abs(x - here[0]) > half + 70 or abs(y - here[1]) > 42
            score = min((end - start) * w / 2 / half, up * h / 9) if free else 0.0
            if (end - start) * w / 2 >= half and up * h >= 9 and score > best:
                best, place = score, (x, y)
    return text_at(place[0], place[1] + 4, text, "label strong halo", "middle") if place else Markup("")


def _reach(words: Sequence[Sequence[str]], word: str, i: int, j: int) -> float:
    """How many squares up and down from the middle of (i, j) stay within the verdict, the lesser of the two."""
    up = next((k for k in range(len(words) - j) if words[j + k][i] != word), len(words) - j)
    down = next((k for k in range(j + 1) if words[j - k][i] != word), j + 1)
    return min(up, down) - 0.5


def verdicts(drawn: DecisionMap) -> list[str]:
    """Verdicts on the map, by how many squares they take."""
    count: dict[str, int] = {}
    for line in drawn.verdicts:
        for letter in line:
            count[drawn.key[letter]] = count.get(drawn.key[letter], 0) + 1
    return sorted(count, key=lambda word: -count[word])
