"""One colour, shape and name for each branch, everywhere on the page."""

from __future__ import annotations

from markupsafe import Markup

NAMES = {
    "baseline": "Baseline",
    "prompt": "Use as it is",
    "probe": "Linear probe",
    "lora": "LoRA",
    "full": "Full fine-tune",
    "continued": "Continue pretraining",
    "scratch": "From scratch",
    "label_more": "Label more data",
    "do_nothing": "Do nothing",
    "no_branch_fits": "Nothing fits",
}
"""Branches, and verdicts without a branch."""


def name(branch: str | None, status: str | None = None) -> str:
    return NAMES[branch or status or "no_branch_fits"]


def mark(branch: str, x: float, y: float, r: float = 5, hollow: bool = False) -> Markup:
    """The branch's shape round (x, y) as SVG; hollow for an option that is excluded."""
    if branch in ("baseline", "prompt", "label_more", "no_branch_fits", "do_nothing"):
        return Markup('<path class="s-{}" d="{}" fill="none" stroke-width="2"/>').format(
            branch, _strokes(branch, x, y, r * 0.8)
        )
    fill = "hollow" if hollow or branch == "probe" else f"f-{branch}"
    if branch in ("full", "probe"):
        shape = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}"').format(x, y, r)
    else:
        shape = Markup('<path d="{}"').format(_outline(branch, x, y, r))
    return shape + Markup(' class="s-{} {}" stroke-width="1.6"/>').format(branch, fill)


def icon(branch: str | None, status: str | None = None, hollow: bool = False) -> Markup:
    """The mark alone, 14 px, for tables; hidden from screen readers, which have the name beside it."""
    drawn = mark(branch or status or "no_branch_fits", 7, 7, 4.6, hollow)
    return Markup('<svg class="icon" width="14" height="14" aria-hidden="true">{}</svg>').format(drawn)


def _outline(branch: str, x: float, y: float, r: float) -> str:
    corners = {
        "lora": [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        "continued": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        "scratch": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    }[branch]
    return "M" + "L".join(f"{x + r * dx:.1f} {y + r * dy:.1f}" for dx, dy in corners) + "Z"


def _strokes(branch: str, x: float, y: float, r: float) -> str:
    if branch == "baseline":
        return f"M{x - r:.1f} {y - r:.1f}L{x + r:.1f} {y + r:.1f}M{x - r:.1f} {y + r:.1f}L{x + r:.1f} {y - r:.1f}"
    if branch == "label_more":
        return f"M{x - r:.1f} {y:.1f}H{x + r:.1f}M{x:.1f} {y - r:.1f}V{y + r:.1f}"
    return f"M{x - r:.1f} {y:.1f}H{x + r:.1f}"
