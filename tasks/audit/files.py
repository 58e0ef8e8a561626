"""Opens the data file, or says in one line why it cannot be read and what to do."""

from __future__ import annotations

from pathlib import Path

from tasks.audit.lines import delimited, jsonl
from tasks.audit.parquet import parquet
from tasks.audit.table import Table
from tasks.params import Data, Params
from tasks.stage import UserError

READERS = {
    ".jsonl": ("jsonl", jsonl),
    ".ndjson": ("jsonl", jsonl),
    ".csv": ("csv", delimited),
    ".tsv": ("csv", delimited),
    ".parquet": ("parquet", parquet),
}
PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def open_table(path: Path, named: dict[str, str]) -> Table:
    """The rows of `path`, or of the one table in a folder; `named` as in `Table.wanted`. UserError if it is missing, empty,
    packed, of another format or lacks a column."""
    if path.is_dir():
        path = _table_in(path)
    suffix = path.suffix.lower()
    start = _start(path)
    if suffix not in READERS:
        raise UserError(f"{path} (data.path): {_advice(suffix)}")
    if packed := next((name for magic, name in PACKED.items() if start.startswith(magic)), None):
        raise UserError(f"{path} (data.path) is a {packed} file: unpack it first")
    if suffix != ".parquet" and start.startswith(UTF16):
        raise UserError(_encoding(path, "utf-16"))
    kind, reader = READERS[suffix]
    return Table(path, kind, named, reader)


def wanted(data: Data) -> dict[str, str]:
    """Setting to the column that it names, of those that the rows must have."""
    names = ("image",) if data.image else ("messages", "rejected") if data.messages else ("text",)
    named = {f"data.{name}": getattr(data, name) for name in (*names, "label", "id", "group")}
    return {setting: column for setting, column in named.items() if column}


def columns(settings: Params) -> Data:
    """The columns that the use case learns from: of images no text, of texts no image."""
    other = "text" if settings.use_case.task == "image-classification" else "image"
    return settings.data.model_copy(update={other: None})


def check_columns(settings: Params) -> None:
    """Raise UserError, as the audit would, if the data file cannot be read or lacks a column that the settings name.

    Reads line 1 of a CSV and the schema of a Parquet; of a JSONL as many rows as it takes to see each column once.
    """
    table = open_table(Path(settings.data.path), wanted(columns(settings)))
    for _ in table.rows():
        if set(table.wanted.values()) <= set(table.columns):
            return


def _table_in(folder: Path) -> Path:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in READERS)
    if len(found) != 1:
        named = ", ".join(path.name for path in found[:3]) or "none"
        raise UserError(f"{folder} (data.path): a folder needs one table, .jsonl, .csv, .tsv or .parquet; it has {named}")
    return found[0]


def not_utf8(path: Path) -> UserError:
    """What to say when so many rows are not UTF-8 that the file as a whole must be written in another encoding."""
    return UserError(_encoding(path, "latin1"))


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
