"""One file of rows, JSONL, CSV or Parquet, as a stream of raw values; what cannot be read is set aside row by row.

Nothing guesses types: CSV fields stay text (010, NA and null too), JSON numbers keep their spelling. Texts are UTF-8,
with or without a byte-order mark. The delimiter of a CSV file is the one of comma, semicolon, tab and bar under which
its first line holds the columns asked for. Blank lines are no rows. Of a key given twice in a JSON object the last
counts. One line is held in memory at a time, of at most LINE_MOST characters; Parquet is read 1,024 rows at a time.
"""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tasks.stage import UserError

LINE_MOST = 4_000_000  # characters; a longer line is one row too long, whatever else it is
COLUMNS_MOST = 200  # of the names in JSON objects so many are kept, for the record
EXCERPT = 200  # characters
DELIMITERS = ",;\t|"
UNDECODED = re.compile("[\udc80-\udcff]")  # bytes that are not UTF-8, as Python's surrogateescape marks them
PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
UTF16 = (b"\xff\xfe", b"\xfe\xff")


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


DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number)


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


def open_table(path: Path, wanted: dict[str, str]) -> Table:
    """The rows of `path`. UserError if it is missing, empty, packed, of another format or lacks a column."""
    readers: dict[str, tuple[str, Callable[[Table], Iterator[Raw | Rejected]]]] = {
        ".jsonl": ("jsonl", _jsonl), ".ndjson": ("jsonl", _jsonl),
        ".csv": ("csv", _csv), ".tsv": ("csv", _csv), ".parquet": ("parquet", _parquet),
    }  # fmt: skip
    suffix = path.suffix.lower()
    start = _start(path)
    if suffix not in readers:
        raise UserError(f"{path} (data.path): {_advice(suffix)}")
    if packed := next((name for magic, name in PACKED.items() if start.startswith(magic)), None):
        raise UserError(f"{path} (data.path) is a {packed} file: unpack it first")
    if suffix != ".parquet" and start.startswith(UTF16):
        raise UserError(_encoding(path, "utf-16"))
    kind, reader = readers[suffix]
    return Table(path, kind, wanted, reader)


def not_utf8(path: Path) -> UserError:
    """What to say when so many rows are not UTF-8 that the file as a whole must be written in another encoding."""
    return UserError(_encoding(path, "latin1"))


def excerpt(text: str) -> str:
    """The first characters of `text`, fit to be written as UTF-8 whatever is in it."""
    return text[:EXCERPT].encode("utf-8", "replace").decode()


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except FileNotFoundError:
        raise UserError(f"{path} (data.path): not found") from None
    except OSError as error:
        raise UserError(f"{path} (data.path): cannot be read: {error.strerror}") from None
    if not start:
        raise UserError(f"{path} (data.path) is empty")
    return start


def _advice(suffix: str) -> str:
    known = "give .jsonl, .csv, .tsv or .parquet"
    if suffix == ".json":
        return f"{known}; a JSON list becomes JSONL with `jq -c '.[]' in.json > out.jsonl`"
    if suffix in (".gz", ".zip", ".bz2", ".xz", ".zst"):
        return f"unpack it first, then {known}"
    if suffix in (".xlsx", ".xls", ".ods"):
        return f"save the sheet as CSV (UTF-8), then {known}"
    return f"{suffix or 'no suffix'} is no format that is read: {known}"


def _encoding(path: Path, seems: str) -> str:
    fixed = path.with_stem(f"{path.stem}-utf8")
    return f"{path} (data.path) is not UTF-8: convert it, for example `iconv -f {seems} -t utf-8 {path} > {fixed}`"


def _missing(path: Path, setting: str, column: str, columns: list[str]) -> str:
    folded = {name.casefold().strip(): name for name in columns}
    near = difflib.get_close_matches(column.casefold(), folded, 1)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    there = ", ".join(map(repr, columns[:20])) + (", ..." if len(columns) > 20 else "")
    return f"{path}: no column {column!r} ({setting}); it has {there or 'none'}{hint}"


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


def _jsonl(table: Table) -> Iterator[Raw | Rejected]:
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


def _csv(table: Table) -> Iterator[Raw | Rejected]:
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


# ---- Parquet ---------------------------------------------------------------------------------------------------------


def _parquet(table: Table) -> Iterator[Raw | Rejected]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(table.path) as file:
            table.columns.update(dict.fromkeys(file.schema_arrow.names))
            table.need_columns()
            number = 0
            for batch in file.iter_batches(1024, columns=list(dict.fromkeys(table.wanted.values()))):
                columns = {name: _values(batch.column(name)) for name in batch.schema.names}
                for values in zip(*columns.values(), strict=True):
                    number += 1
                    yield _decoded(number, dict(zip(columns, values, strict=True)))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{table.path}: not a readable Parquet file: {' '.join(str(error).split())[:200]}") from None


def _values(column: Any) -> list[object]:
    """Python values; strings stay bytes, because Arrow would fail the whole batch for one that is not UTF-8."""
    import pyarrow as pa

    array = column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
    binary = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    values: list[object] = (array.cast(binary[array.type]) if array.type in binary else array).to_pylist()
    return values


def _decoded(number: int, values: dict[str, object]) -> Raw | Rejected:
    try:
        return Raw(number, {name: str(v, "utf-8") if isinstance(v, bytes) else v for name, v in values.items()})
    except UnicodeDecodeError:
        bad = b" ".join(value for value in values.values() if isinstance(value, bytes))
        return Rejected(number, "invalid_utf8", bad[:EXCERPT].decode("utf-8", "replace")[:EXCERPT])
