"""Exact duplicates: texts that are the same but for case, blanks and Unicode spelling; images with the same pixels."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.audit.rows import Row
from tasks.audit.table import Rejected
from tasks.documents import share


@dataclass(frozen=True, slots=True)
class Distinct:
    """A text that occurs once after exact duplicates have been dropped."""

    key: str
    """Names the normalised text: 16 hexadecimal digits of its sha256."""
    own: str
    """What the side of the split is drawn by: `key`, or the name of the row's group where it has one."""
    row: Row
    copies: int
    """Rows that said this, the kept one too."""

    @property
    def draw(self) -> float:
        """In [0, 1), for good: no other row and no label changes it."""
        return share("test", self.own)


def normalised(text: str) -> str:
    """Unicode NFKC and full case folding (Unicode 3.13, D146), runs of blanks as one."""
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def without_exact_duplicates(rows: Iterable[Row]) -> tuple[list[Distinct], list[Rejected], int]:
    """One row for each normalised text, sorted by its key; the rows whose duplicates disagree about the label; and how
    many texts those are.

    A text with two labels is set aside whole: keeping one of them would be a guess, and a model that is tested on it is
    wrong either way. Of agreeing duplicates stays the one with the smallest draw, then id, then text: whatever order the
    file has, and so that a test row stays one when another group says the same.
    """
    copies: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        copies[_key(row.content if row.image else normalised(row.text))].append(row)
    kept, aside, conflicts = [], [], 0
    for key in sorted(copies):
        same = copies[key]
        if len({row.label for row in same}) > 1:
            conflicts += 1
            aside += [row.rejected("conflicting_labels") for row in same]
        else:
            kept.append(min((_distinct(key, row, len(same)) for row in same), key=lambda d: (d.draw, d.row.id, d.row.text)))
    return kept, aside, conflicts


def drawn(kept: list[Distinct], most: int | None) -> list[Distinct]:
    """At most `most` rows, drawn by hash of their text: one more row in the file changes at most one other row here."""
    if most is None or len(kept) <= most:
        return kept
    return sorted(sorted(kept, key=lambda d: (share("draw", d.key), d.key))[:most], key=lambda d: d.key)


def _distinct(key: str, row: Row, copies: int) -> Distinct:
    return Distinct(key, _key(f"group\x1f{row.group}") if row.group else key, row, copies)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
