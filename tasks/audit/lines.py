"""JSONL and CSV, row by row; a row that cannot be read is set aside and the next one read.

Texts are UTF-8, with or without a byte-order mark. CSV fields stay text (010, NA and null too), JSON numbers keep their
spelling, and of a key given twice in a JSON object the last counts. Blank lines are no rows. One line is held in memory
at a time, of at most LINE_MOST characters; a CSV field has at most csv.field_size_limit (131,072).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tasks.audit.table import Number, Raw, Rejected, Table, excerpt
from tasks.stage import UserError

LINE_MOST = 4_000_000  # characters; a longer line is one row too long, whatever else it is
COLUMNS_MOST = 200  # of the names in JSON objects so many are kept, for the record
DELIMITERS = ",;\t|"
UNDECODED = re.compile("[\udc80-\udcff]")  # bytes that are not UTF-8, as Python's surrogateescape marks them
DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number)


class Lines:
    """The lines of a text file, each at most LINE_MOST characters: the rest of a longer one is skipped."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.ended = True
        """False when the last line read had no line end: the file stops there, perhaps in the middle of a row."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = rest = self.file.readline(LINE_MOST)
        if not line:
            raise StopIteration
        while rest and not rest.endswith(("\n", "\r")):
            rest = self.file.readline(LINE_MOST)
        self.ended = bool(rest)
        return line


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


# ---- JSONL -----------------------------------------------------------------------------------------------------------


def jsonl(table: Table) -> Iterator[Raw | Rejected]:
    """The rows of a JSONL file: one object a line."""
    with _open(table.path) as file:
        lines = Lines(file)
        for number, line in enumerate(lines, 1):
            if line.strip():
                values = _object(line)
                if isinstance(values, str):
                    cut = values == "not_json" and not lines.ended
                    yield Rejected(number, "truncated_line" if cut else values, excerpt(line))
                else:
                    table.columns.update(dict.fromkeys(list(values)[: COLUMNS_MOST - len(table.columns)]))
                    table.columns.update({name: None for name in table.wanted.values() if name in values})
                    yield Raw(number, values)
    if table.columns:
        table.need_columns()


def _object(line: str) -> dict[str, object] | str:
    """The JSON object in `line`, or the reason why there is none."""
    if len(line) >= LINE_MOST:
        return "too_long"
    if UNDECODED.search(line):
        return "invalid_utf8"
    try:
        values = DECODER.decode(line)
    except (ValueError, RecursionError):
        return "not_json"
    return values if isinstance(values, dict) else "not_an_object"


# ---- CSV -------------------------------------------------------------------------------------------------------------


def delimited(table: Table) -> Iterator[Raw | Rejected]:
    """The rows of a CSV file; its delimiter is the one of DELIMITERS under which line 1 has the columns asked for."""
    delimiter, header = _header(table)
    with _open(table.path) as file:
        lines = Lines(file)
        records = csv.reader(lines, delimiter=delimiter, strict=True)
        next(records)
        while True:
            number = records.line_num + 1
            try:
                fields = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                yield Rejected(number, _malformed(str(error), lines.ended), f"line {number}: {error}")
                continue
            if fields:
                yield _record(number, fields, header, lines.ended, delimiter)


def _header(table: Table) -> tuple[str, list[str]]:
    headers = {delimiter: _first_record(table.path, delimiter) for delimiter in DELIMITERS}
    wanted = set(table.wanted.values())
    delimiter = next((d for d in DELIMITERS if wanted <= set(headers[d])), max(DELIMITERS, key=lambda d: len(headers[d])))
    header = headers[delimiter]
    table.columns.update(dict.fromkeys(header))
    table.need_columns()
    if twice := sorted(name for name in wanted if header.count(name) > 1):
        raise UserError(f"{table.path}: two columns are named {twice[0]!r}: rename one")
    return delimiter, header


def _first_record(path: Path, delimiter: str) -> list[str]:
    with _open(path) as file:
        try:
            record = next(csv.reader(Lines(file), delimiter=delimiter), [])
        except csv.Error as error:
            raise UserError(f"{path}: line 1 names no columns: {error}") from None
    return [UNDECODED.sub("\ufffd", name).strip() for name in record]


def _record(number: int, fields: list[str], header: list[str], ended: bool, delimiter: str) -> Raw | Rejected:
    line = delimiter.join(fields)
    if UNDECODED.search(line):
        return Rejected(number, "invalid_utf8", excerpt(line))
    if len(fields) != len(header):
        cut = len(fields) < len(header) and not ended
        return Rejected(number, "truncated_line" if cut else "ragged_row", excerpt(line))
    return Raw(number, dict(zip(header, fields, strict=True)))


def _malformed(error: str, ended: bool) -> str:
    if "field larger" in error:
        return "too_long"
    return "truncated_line" if "unexpected end" in error or not ended else "malformed_csv"
