"""How figures are written for people: three digits, units, words for amounts too small to matter."""

from __future__ import annotations

import math
from datetime import date

from tasks.records import SHARES


def percent(share: float) -> str:
    """0.8889 -> 88.9%"""
    return f"{100 * share:.1f}%"


UNITS = {"bits_per_byte": " bits per byte"}


def score(value: float, metric: str) -> str:
    """A value of the metric: shares in percent, losses with three digits and their unit."""
    return percent(value) if metric in SHARES else three(value) + UNITS.get(metric, "")


def score_range(low: float, high: float, metric: str) -> str:
    """Both ends of an interval of the metric, without a unit but for percent's sign."""
    return f"{100 * low:.1f}–{100 * high:.1f}%" if metric in SHARES else f"{three(low)}–{three(high)}"


def chance(p: float | None) -> str:
    """A probability as whole percents; <1% and >99% at the ends."""
    if p is None:
        return "–"
    return "<1%" if p < 0.005 else ">99%" if p > 0.995 else f"{100 * p:.0f}%"


def points(share: float) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * share:.1f}".replace("-", "−")


def apart(points: float, metric: str) -> str:
    """A difference of the metric in hundredths (`Metric.points`): percentage points of a share, the unit of anything else."""
    if metric in SHARES:
        return f"{three(points) if 0 < points < 0.1 else f'{points:.1f}'} points"
    return three(points / 100) + UNITS.get(metric, f" of {metric}")


def three(value: float) -> str:
    """Three significant digits, never in powers of ten, thousands with a comma."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def short(value: float) -> str:
    """As `three`, without zeros at the end: 0.500 -> 0.5"""
    text = three(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def rows(n: float) -> str:
    return f"{n:,.0f}"


def money(usd: float | None) -> str:
    """Whole cents below ten dollars, three digits above."""
    if usd is None:
        return "–"
    if 0 < usd < 0.005:
        return "<$0.01"
    return f"${usd:,.2f}" if usd < 10 else f"${three(usd)}"


def duration(hours: float | None) -> str:
    """Two digits of seconds, minutes, hours or days."""
    if hours is None:
        return "–"
    seconds = hours * 3600
    if seconds < 1:
        return "<1 s"
    for size, unit in ((86400 * 3, "days"), (5400, "h"), (90, "min")):
        if seconds >= size:
            return f"{_two(seconds / {'days': 86400, 'h': 3600, 'min': 60}[unit])} {unit}"
    return f"{_two(seconds)} s"


def money_range(low: float, high: float) -> str:
    """Both ends of an interval, or the one amount that both are to the digits written."""
    return _range(money(low), money(high))


def duration_range(low: float, high: float) -> str:
    """As `money_range`, of hours; a unit that both ends have is written once."""
    first, last = duration(low), duration(high)
    number, _, unit = first.partition(" ")
    return _range(number if first != last and last.endswith(f" {unit}") else first, last)


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low}–{high}"


def day(iso: str) -> str:
    """2027-02-20 -> 20 Feb 2027"""
    found = date.fromisoformat(iso)
    return f"{found.day} {found:%b} {found.year}"


def _two(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def gigabytes(gb: float) -> str:
    return f"{gb:.1f} GB" if gb >= 0.1 else f"{1000 * gb:.0f} MB"
