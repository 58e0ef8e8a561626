"""Caps on one training: time, money, energy. They travel with the launch and change nothing that is learnt.

From the environment: CROSSOVER_MAX_HOURS, CROSSOVER_MAX_USD (at the highest price an hour that params.yaml names) and
CROSSOVER_MAX_KWH (at `hardware.watts` of params.yaml; CROSSOVER_WATTS, what the machine draws where this training runs, goes
before). A training that has used one up stops with a checkpoint and exit code 75; started again with a raised cap it goes on.
Earlier attempts count; loading and saving do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.params import Hardware
from tasks.stage import UserError


@dataclass(frozen=True)
class Cap:
    """Seconds of training, and what they stand for in words."""

    seconds: float
    words: str


def cap(environment: Mapping[str, str], hardware: Hardware) -> Cap | None:
    """The cap that is reached first; None if there is none."""
    hours, usd, kwh = (_number(environment, f"CROSSOVER_MAX_{name}") for name in ("HOURS", "USD", "KWH"))
    found, count = [], hardware.count if hardware.gpu else 1
    if hours is not None:
        found.append(Cap(3600 * hours, f"CROSSOVER_MAX_HOURS = {hours:g} is"))
    if usd is not None:
        if hardware.usd_per_gpu_hour is None:
            raise UserError(f"CROSSOVER_MAX_USD = {usd:g}: give hardware.usd_per_gpu_hour in params.yaml, or cap the hours")
        price = hardware.usd_per_gpu_hour[1] * count
        found.append(
            Cap(3600 * usd / price if price else float("inf"), f"CROSSOVER_MAX_USD = {usd:g} (at {price:g} USD an hour) is")
        )
    if kwh is not None:
        watts = _number(environment, "CROSSOVER_WATTS") or (hardware.watts or 0.0) * count
        if not watts:
            raise UserError(
                f"CROSSOVER_MAX_KWH = {kwh:g}: set hardware.watts in params.yaml, or CROSSOVER_WATTS, what the machine draws"
            )
        found.append(Cap(3600 * 1000 * kwh / watts, f"CROSSOVER_MAX_KWH = {kwh:g} (at {watts:g} W) is"))
    return min(found, key=lambda one: one.seconds, default=None)


def _number(environment: Mapping[str, str], name: str) -> float | None:
    """Raises UserError for what is no number above 0."""
    if not (text := environment.get(name, "").strip()):
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UserError(f"{name} = {text}: give a number above 0, or unset it for no cap")
    return value
