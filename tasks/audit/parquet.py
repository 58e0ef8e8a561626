"""Parquet, 1,024 rows at a time (64 where they hold images) and only the columns asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tasks.audit.table import EXCERPT, Raw, Rejected, Table
from tasks.stage import UserError


def parquet(table: Table) -> Iterator[Raw | Rejected]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(table.path) as file:
            table.columns.update(dict.fromkeys(file.schema_arrow.names))
            table.need_columns()
            number, image = 0, table.wanted.get("data.image")
            kept = image if image and not _is_text(file.schema_arrow.field(image).type) else None
            for batch in file.iter_batches(64 if kept else 1024, columns=list(dict.fromkeys(table.wanted.values()))):
                columns = {name: _values(batch.column(name)) for name in batch.schema.names}
                for values in zip(*columns.values(), strict=True):
                    number += 1
                    yield _decoded(number, dict(zip(columns, values, strict=True)), kept)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{table.path}: not a readable Parquet file: {' '.join(str(error).split())[:200]}") from None


def _values(column: Any) -> list[object]:
    """Python values; strings stay bytes, because Arrow would fail the whole batch for one that is not UTF-8."""
    import pyarrow as pa

    array = column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
    binary = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    values: list[object] = (array.cast(binary[array.type]) if array.type in binary else array).to_pylist()
    return values


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return value in (pa.string(), pa.large_string(), pa.string_view())


def _decoded(number: int, values: dict[str, object], kept: str | None) -> Raw | Rejected:
    """Bytes as text, but those of the column `kept`, which are images."""
    try:
        return Raw(number, {k: str(v, "utf-8") if isinstance(v, bytes) and k != kept else v for k, v in values.items()})
    except UnicodeDecodeError:
        bad = b" ".join(value for name, value in values.items() if isinstance(value, bytes) and name != kept)
        return Rejected(number, "invalid_utf8", bad[:EXCERPT].decode("utf-8", "replace")[:EXCERPT])
