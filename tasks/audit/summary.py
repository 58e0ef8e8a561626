"""What the audit says about the rows that it kept: lengths, effective number of rows, warnings in plain words."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tasks.audit.images import SIDE_STORED
from tasks.audit.near import SAME, WORD, Pair
from tasks.audit.rows import REASONS
from tasks.records import Span

Z90 = 1.645  # standard normal quantile of a two-sided 90 % interval
Z95 = 1.96


def lengths(values: Iterable[int]) -> dict[str, float]:
    """Least, median, mean, 95th percentile and greatest."""
    a = np.fromiter(values, np.float64)
    low, median, p95, high = np.percentile(a, [0, 50, 95, 100])
    figures = {"min": low, "median": median, "mean": a.mean(), "p95": p95, "max": high}
    return {name: round(float(value), 1) for name, value in figures.items()}


def words(text: str) -> int:
    """Runs of letters and digits; characters in scripts that put no blanks between words."""
    return len(WORD.findall(text))


def n_effective(clusters: Sequence[object], pairs: Sequence[Pair], groups: Sequence[str], labels: Sequence[str]) -> Span:
    """How many independent rows these ones are worth, by Kish's design effect (*Survey Sampling*, 1965, 5.4 and 8.2).

    m rows that correlate by r are worth m / (1 + (m - 1) r). A cluster of near duplicates has for r the mean Jaccard
    similarity of its pairs, with 1 and the least similarity of a pair at the ends. What is left of the rows of a group
    has for r the intraclass correlation of the label (`label_correlation`) with its 90 % interval. `groups` is empty
    where the settings name no group. Does not see noise in labels, nor likeness of meaning in other words.
    """
    similarity = float(np.mean([pair.jaccard for pair in pairs])) if pairs else 1.0
    within = label_correlation(groups, labels)
    low, value, high = (
        _worth(clusters, groups, *correlations)
        for correlations in ((1.0, within.high), (similarity, within.value), (SAME, within.low))
    )
    return Span(value=round(value, 1), low=round(low, 1), high=round(high, 1))


def label_correlation(groups: Sequence[str], labels: Sequence[str]) -> Span:
    """Intraclass correlation of the label within groups: agreement of pairs beyond chance, (A - E) / (1 - E).

    A kappa (Fleiss and Cuzick 1979, doi:10.1177/014662167900300410), clipped to [0, 1]; 90 % interval by Fisher's
    standard error (1 - r)(1 + (m - 1) r) sqrt(2 / (m (m - 1) k)) for k groups of mean size m (Donner 1986,
    doi:10.2307/1403259). 0 without groups of two rows, and for one such group [0, 1].
    """
    members = defaultdict(list)
    for group, label in zip(groups, labels, strict=False):
        members[group].append(label)
    several = [Counter(its) for its in members.values() if len(its) > 1]
    if not several:
        return Span(value=0, low=0, high=0)
    sizes = [c.total() for c in several]
    agree = sum(n * (n - 1) for c in several for n in c.values()) / sum(n * (n - 1) for n in sizes)
    chance = sum((n / len(labels)) ** 2 for n in Counter(labels).values())
    if chance == 1:  # one label, or none
        return Span(value=0, low=0, high=1)
    r = min(max((agree - chance) / (1 - chance), 0.0), 1.0)
    m = float(np.mean(sizes))
    error = (1 - r) * (1 + (m - 1) * r) * math.sqrt(2 / (m * (m - 1) * len(sizes))) if len(sizes) > 1 else math.inf
    return Span(value=r, low=max(r - Z90 * error, 0.0), high=min(r + Z90 * error, 1.0))


def _worth(clusters: Sequence[object], groups: Sequence[str], near: float, within: float) -> float:
    """Rows that the clusters are worth at correlation `near`, and then their groups at correlation `within`."""
    of_group: dict[object, float] = defaultdict(float)
    group_of = dict(zip(clusters, groups or clusters, strict=True))
    for cluster, size in Counter(clusters).items():
        of_group[group_of[cluster]] += size / (1 + (size - 1) * near)
    return sum(rows / (1 + max(rows - 1, 0.0) * within) for rows in of_group.values())


def warnings(path: object, facts: dict[str, Any], rejected: dict[str, int], **counts: int) -> list[str]:
    """`facts`: the fields of the record; `counts`: what the record has no field for. Most serious first."""
    found = [
        *_about_rejected(path, facts["rows_delivered"], rejected, facts["conflicting_labels"]),
        *_about_labels(facts["labels"]),
        *(_about_texts(facts["words"], counts["mangled"]) if facts["words"] else _about_images(facts)),
        *_about_split(facts),
    ]
    if n := facts["near_conflicts"]:
        found.append(f"{n:,} clusters of near duplicates disagree about the label: look for wrong labels there")
    found += [f"rows without {what}: {n:,}; {meaning}" for what, meaning in NO_NAME.items() if (n := counts[f"no_{what}"])]
    return found


NO_NAME = {"id": "a hash of the text names each", "group": "each counts as a group of its own"}


def _about_rejected(path: object, delivered: int, rejected: dict[str, int], conflicts: int) -> Iterable[str]:
    if rejected:
        each = "; ".join(f"{n:,} {reason} ({REASONS[reason]})" for reason, n in rejected.items())
        yield f"{sum(rejected.values()):,} of {delivered:,} rows are set aside: {each}"
    if rejected.get("truncated_line"):
        yield f"{path} stops in the middle of its last row: was it copied whole?"
    if rejected.get("invalid_utf8"):
        yield "some rows are not UTF-8: if the file has another encoding, convert it, for example `iconv -f latin1 -t utf-8`"
    if conflicts:
        yield (
            f"{conflicts:,} texts or images occur with different labels and are set aside: if several people labelled each, "
            "give one row each, with the label of most of them"
        )


def _about_labels(labels: dict[str, int]) -> Iterable[str]:
    if not labels:
        return
    total = sum(labels.values())
    most = max(labels, key=lambda label: labels[label])
    if labels[most] > 0.8 * total:
        yield (
            f"{labels[most] / total:.0%} of the rows have the label {most!r}: whoever always says so is as often right; "
            "consider objective.metric: macro_f1"
        )
    if few := [f"{label!r} ({n})" for label, n in labels.items() if n < 50]:
        yield f"labels with fewer than 50 rows, which are hard to learn and to measure: {', '.join(few[:10])}"
    spellings = defaultdict(list)
    for label in labels:
        spellings[label.casefold()].append(repr(label))
    for same in spellings.values():
        if len(same) > 1:
            yield f"labels that differ only in case count as different: {', '.join(same)}"


def _about_texts(length: dict[str, float], mangled: int) -> Iterable[str]:
    if length["median"] < 4:
        yield f"half of the texts have {length['median']:.0f} words or fewer: there is little to learn from"
    if mangled:
        yield f"{mangled:,} texts hold the replacement character U+FFFD: their encoding was damaged earlier"


def _about_images(facts: dict[str, Any]) -> Iterable[str]:
    if n := facts["images_reduced"]:
        yield f"{n:,} images are stored reduced to {SIDE_STORED} pixels on the shorter side"
    if max(facts["width"]["p95"] / facts["height"]["min"], facts["height"]["p95"] / facts["width"]["min"]) > 3:
        yield "some images are much longer than wide: models see each squeezed to a square"


def _about_split(facts: dict[str, Any]) -> Iterable[str]:
    train, test, kept = facts["train"].rows, facts["test"].rows, facts["rows_kept"]
    for label in facts["stand_ins"]:
        yield f"label {label!r}: chance drew no test row; one group of it was moved to the test set"
    if not 0.1 < test / kept < 0.35:
        yield (
            f"{test:,} rows test and {train:,} train: groups tie many rows together"
            f" (the largest has {facts['largest_group']:,}), so the split cannot be nearer to one in five"
        )
    if test < 400 and facts["labels"]:  # ± 5 points at most
        yield f"{test:,} test rows measure an accuracy to within ±{100 * Z95 * math.sqrt(0.25 / test):.0f} points at best"
