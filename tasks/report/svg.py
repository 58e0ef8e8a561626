"""The few shapes that both charts share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup


@dataclass(frozen=True)
class Frame:
    """The drawing area in px, and what its edges stand for."""

    left: float
    right: float
    top: float
    bottom: float
    rows: tuple[float, float]
    values: tuple[float, float]

    def x(self, n: float) -> float:
        low, high = map(math.log, self.rows)
        return self.left + (math.log(n) - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.values
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def clip(self, value: float) -> float:
        """`y`, within the frame."""
        return min(max(self.y(value), self.top), self.bottom)


def smooth(points: Sequence[tuple[float, float]]) -> str:
    """A path through the points that overshoots none of them: monotone cubic (Fritsch and Carlson 1980)."""
    if len(points) < 3:
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
    tangents = [slopes[0], *(_tangent(a, b) for a, b in pairwise(slopes)), slopes[-1]]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1), m0, m1 in zip(points, points[1:], tangents, tangents[1:], strict=False):
        third = (x1 - x0) / 3
        path += f"C{x0 + third:.1f} {y0 + m0 * third:.1f} {x1 - third:.1f} {y1 - m1 * third:.1f} {x1:.1f} {y1:.1f}"
    return path


def _tangent(before: float, after: float) -> float:
    return 0.0 if before * after <= 0 else 2 * before * after / (before + after)


def text_at(x: float, y: float, text: str, classes: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}">{}</text>').format(x, y, classes, anchor, text)
