"""Is one more rung worth its cost? The expected value of sample information (Raiffa and Schlaifer 1961), pair by pair.

After a rung of twice the rows, what is predicted is predicted over half the ratio: the pair's deviation shrinks to what the
same curve would have half as far ahead. The rest of its variance is what the rung will have told: the mean that one will
then hold is drawn from it, and the option that is best by then is taken. What it costs: its cells, as often as the
largest rung was repeated. (`stopping` bounds this before the costs are known.)
"""

from __future__ import annotations

import numpy as np

from tasks import formats
from tasks.choice import MEETS, NAMES, Case, Choice, meets, name_of, utilities
from tasks.evidence import Array
from tasks.first_year import prices
from tasks.records import NextRung, Offer
from tasks.stopping import nearer, told


def next_rung(case: Case, chosen: Choice) -> NextRung:
    evidence = case.evidence
    if evidence.folds:
        return _nothing("every row has been measured by cross-validation; only more rows would tell more")
    if len(chosen.left) < 2 and case.objective.value_per_point_usd is None:
        return _nothing("there is nothing to choose between, so no measurement could change the choice")
    if not chosen.left:
        return _nothing("no option is left to measure")
    offers = sorted(_offers(case, chosen), key=lambda o: _net(o, case), reverse=True)
    if not offers:
        return _nothing("the largest rung has all rows; only more labelled rows would tell more")
    best, value = offers[0], case.objective.value_per_point_usd
    if value is not None:
        return _weighed(best, offers)
    pays = best.cost_usd / best.gain if best.cost_usd is not None and best.gain > 0 else None
    return NextRung(
        offer=best,
        buy=_without_value(best, chosen, case),
        pays_from_usd=pays,
        reason=_why(best, pays, chosen, case),
        offers=offers,
    )


def _nothing(reason: str) -> NextRung:
    return NextRung(offer=None, buy=False, pays_from_usd=None, reason=reason, offers=[])


def _offers(case: Case, chosen: Choice) -> list[Offer]:
    utility = utilities(case, chosen.left)
    mean = utility.mean(1)
    other = case.nothing_usd() if case.objective.value_per_point_usd is not None else -np.inf
    offers = []
    for k, i in enumerate(chosen.left):
        pair = case.evidence.pairs[i]
        rows = min(2 * pair.largest_rung, case.n)
        if rows > pair.largest_rung > 0:
            rivals = max([other, *np.delete(mean, k)])
            gain = _gain(mean[k], rivals, _told(case, i, rows) * _quality_part(case, chosen, k))
            offers.append(
                Offer(branch=pair.branch, base_model=pair.base_name, rows=rows, cost_usd=_cost(case, i, rows), gain=gain)
            )
    return offers


def _gain(mean: float, rivals: float, deviation: Array) -> float:
    """Expected maximum after the measurement, minus the maximum now."""
    return max(0.0, float(np.maximum(mean + deviation, rivals).mean()) - max(mean, rivals))


def _quality_part(case: Case, chosen: Choice, k: int) -> Array:
    """Deviations of the utility that come from quality: the costs are not what a rung tells."""
    points: Array = case.metric.points(case.evidence.paired(case.n, chosen.left)[0][k], case.guessing)
    value = case.objective.value_per_point_usd
    return np.asarray((points - points.mean()) * (1.0 if value is None else value), dtype=np.float64)


def _told(case: Case, i: int, rows: int) -> float:
    then = nearer(case.n, case.evidence.pairs[i].largest_rung, rows)
    return told(case.evidence.at(case.n)[i].predicted, case.evidence.at(then)[i].predicted)


def _cost(case: Case, i: int, rows: int) -> float | None:
    pair = case.evidence.pairs[i]
    hours = case.evidence.needs(pair, rows).hours
    return None if hours is None else float((hours * prices(case.hardware)).mean() * pair.repeats)


def _net(offer: Offer, case: Case) -> float:
    """By which offers are ordered: gain less cost in USD; without a value, the gain."""
    return offer.gain - (offer.cost_usd or 0.0) if case.objective.value_per_point_usd is not None else offer.gain


def _weighed(best: Offer, offers: list[Offer]) -> NextRung:
    if best.cost_usd is None:
        reason = f"worth {formats.money(best.gain)}, at a cost that is not known"
        return NextRung(offer=best, buy=None, pays_from_usd=None, reason=reason, offers=offers)
    buy = best.gain > best.cost_usd
    compared = f"would save {formats.money(best.gain)} of expected regret and cost {formats.money(best.cost_usd)}"
    reason = f"{_what(best)} {compared}: {'worth buying' if buy else 'not worth buying'}"
    return NextRung(offer=best, buy=buy, pays_from_usd=None, reason=reason, offers=offers)


def _what(offer: Offer) -> str:
    of = f" of {offer.base_model}" if offer.base_model else ""
    return f"{formats.rows(offer.rows)} rows for {NAMES[offer.branch]}{of}"


def _without_value(best: Offer, chosen: Choice, case: Case) -> bool | None:
    return False if _certain(chosen, case) or best.gain < 0.005 else None


def _certain(chosen: Choice, case: Case) -> bool:
    return chosen.chosen is not None and (meets(chosen.chosen.outlook, case.metric) or 0.0) >= MEETS


def _why(best: Offer, pays: float | None, chosen: Choice, case: Case) -> str:
    if _certain(chosen, case) and chosen.chosen:
        return f"{name_of(chosen.chosen.outlook.pair)} meets the target with enough certainty already"
    if best.gain < 0.005:
        return f"{_what(best)}, the most telling one, would not change the choice"
    price = "at a cost that is not known" if best.cost_usd is None else f"for {formats.money(best.cost_usd)}"
    worth = "anything at all" if pays is not None and pays < 0.01 else f"more than {formats.money(pays)} a year"
    pay = "" if pays is None else f": it pays if a point is worth {worth}"
    better = formats.apart(best.gain, case.metric.name)
    return f"{_what(best)} would make the choice {better} better on average, {price}{pay}{_set_aside(best, case)}"


def _set_aside(best: Offer, case: Case) -> str:
    """Why it was not measured, where the shortlist is why."""
    pair = next(pair for pair in case.evidence.pairs if (pair.branch, pair.base_name) == (best.branch, best.base_model))
    return f". It was not run because the shortlist set it aside ({pair.stopped})" if pair.stopped else ""
