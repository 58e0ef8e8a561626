"""Rows as a file delivers them, before anybody has looked at what they say."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tasks.stage import UserError

EXCERPT = 200  # characters


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row set aside. `row` is the line where it starts (JSONL, CSV) or its number (Parquet), from 1."""

    row: int
    reason: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class Raw:
    """A row as it was delivered: column to value, with the number that `Rejected` has, too."""

    row: int
    values: dict[str, object]


class Number(str):
    """A JSON number, spelled as in the file."""

    __slots__ = ()


@dataclass
class Table:
    """`columns` of a JSONL file fill while its rows are read. `wanted`: setting to the column that it names."""

    path: Path
    format: str
    wanted: dict[str, str]
    reader: Callable[[Table], Iterator[Raw | Rejected]]
    columns: dict[str, None] = field(default_factory=dict)

    def rows(self) -> Iterator[Raw | Rejected]:
        """Every row that the file delivers, good or not, once."""
        return self.reader(self)

    def need_columns(self) -> None:
        """Raise UserError, with the nearest name there is, if a column that the settings name is not there."""
        for setting, column in self.wanted.items():
            if column not in self.columns:
                raise UserError(_missing(self.path, setting, column, list(self.columns)))


def excerpt(text: str) -> str:
    """The first characters of `text`, fit to be written as UTF-8 whatever is in it."""
    return text[:EXCERPT].encode("utf-8", "replace").decode()


def _missing(path: Path, setting: str, column: str, columns: list[str]) -> str:
    folded = {name.casefold().strip(): name for name in columns}
    near = difflib.get_close_matches(column.casefold(), folded, 1)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    there = ", ".join(map(repr, columns[:20])) + (", ..." if len(columns) > 20 else "")
    return f"{path}: no column {column!r} ({setting}); it has {there or 'none'}{hint}"
