"""What a file delivers: nothing is guessed, every row is counted, each bad one has its reason."""

import gzip
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.audit.files import open_table
from tasks.audit.rows import REASONS, Row, checked, count, without_reused_ids
from tasks.audit.table import Rejected
from tasks.params import Data
from tasks.stage import UserError

DATA = Data()
WANTED = {"data.text": "text", "data.label": "label"}


def read(path: Path, data: Data = DATA) -> tuple[list[Row], list[Rejected]]:
    wanted = WANTED | ({"data.id": data.id} if data.id else {}) | ({"data.group": data.group} if data.group else {})
    rows = [raw if isinstance(raw, Rejected) else checked(raw, data, path.parent) for raw in open_table(path, wanted).rows()]
    return [r for r in rows if isinstance(r, Row)], [r for r in rows if isinstance(r, Rejected)]


def labels(rows: list[Row]) -> list[str]:
    return [row.label for row in rows]


def test_csv_labels_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label\na,010\nb,NA\nc,null\nd,None\ne,nan\nf,1e4\ng,TRUE\n")
    good, bad = read(path)
    assert labels(good) == ["010", "NA", "null", "None", "nan", "1e4", "TRUE"]
    assert not bad


def test_json_labels_that_are_no_text_are_spelled_as_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    spelled = ["1", "1.0", "1e4", "true", "false", '" x "', "9" * 6000]
    path.write_text("".join('{"text": "a", "label": ' + label + "}\n" for label in spelled))
    good, bad = read(path)
    assert labels(good) == ["1", "1.0", "1e4", "true", "false", "x"]
    assert count(bad) == {"label_too_long": 1}


def test_every_reason_of_a_json_line_is_told_apart(tmp_path: Path) -> None:
    lines = {
        b'{"text": "caf\xe9", "label": "x"}': "invalid_utf8",
        b'{"text": "a", "label"}': "not_json",
        b"[" * 50_000: "not_json",
        b'["a", "x"]': "not_an_object",
        b'{"label": "x"}': "text_missing",
        b'{"text": null, "label": "x"}': "text_missing",
        b'{"text": "", "label": "x"}': "text_empty",
        b'{"text": " \\n\\t", "label": "x"}': "text_empty",
        b'{"text": 7, "label": "x"}': "text_not_text",
        b'{"text": ["a"], "label": "x"}': "text_not_text",
        b'{"text": "\\u0000\\u0007\\u200b", "label": "x"}': "text_control_characters",
        b'{"text": "half \\ud83d", "label": "x"}': "lone_surrogate",
        b'{"text": "a", "label": "\\ud83d"}': "lone_surrogate",
        b'{"text": "' + b"a" * 100_001 + b'", "label": "x"}': "too_long",
        b'{"text": "' + b"a" * 9_000_000 + b'", "label": "x"}': "too_long",
        b'{"text": "a"}': "label_missing",
        b'{"text": "a", "label": "  "}': "label_missing",
        b'{"text": "a", "label": NaN}': "label_missing",
        b'{"text": "a", "label": {"x": 1}}': "label_not_text",
        b'{"text": "a", "label": "' + b"y" * 201 + b'"}': "label_too_long",
        b'{"text": "a", "label": "x", "who": []}': "id_not_text",
        b'{"text": "a", "label": "x", "user": []}': "group_not_text",
        b'{"text": "cut off he': "truncated_line",
    }
    path = tmp_path / "d.jsonl"
    path.write_bytes(b"\n".join([b'{"text": "good", "label": "x", "who": 1, "user": 2}', *lines]))
    good, bad = read(path, Data(id="who", group="user"))
    assert [row.text for row in good] == ["good"]
    assert [row.reason for row in bad] == list(lines.values())
    assert [row.row for row in bad] == list(range(2, len(lines) + 2))
    assert all(len(row.excerpt) <= 200 and row.excerpt.encode() for row in bad)


def test_all_reasons_but_those_between_rows_are_planted_somewhere_in_these_tests() -> None:
    source = "".join(
        Path(__file__).with_name(name).read_text() for name in ("test_reading.py", "test_images.py", "test_chats.py")
    )
    between = {"conflicting_labels", "rare_label"}
    assert [reason for reason in REASONS if f'"{reason}"' not in source and reason not in between] == []


def test_a_byte_order_mark_blank_lines_and_a_missing_last_line_end_cost_no_row(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a", "label": "x"}\r\n\r\n{"text": "b", "label": "y"}')
    good, bad = read(path)
    assert [(row.row, row.text) for row in good] == [(1, "a"), (3, "b")]
    assert not bad


def test_csv_with_a_mark_and_quoted_line_breaks_counts_rows_and_names_their_first_line(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(
        b'\xef\xbb\xbftext,label\r\n"two\r\nlines, ""quoted""",x\r\nshort\r\nlong,x,y\r\n"z"q,x\r\ncaf\xe9,x\r\n"open,x\r\n'
    )
    good, bad = read(path)
    assert [(row.row, row.text, row.label) for row in good] == [(2, 'two\r\nlines, "quoted"', "x")]
    assert [(row.row, row.reason) for row in bad] == [
        (4, "ragged_row"), (5, "ragged_row"), (6, "malformed_csv"), (7, "invalid_utf8"), (8, "truncated_line"),
    ]  # fmt: skip


def test_a_csv_that_stops_in_the_middle_of_a_row_says_so(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label\na,x\nb")
    assert count(read(path)[1]) == {"truncated_line": 1}


def test_a_csv_field_too_long_to_read_costs_its_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label\na,x\n" + "b" * 200_000 + ",x\nc,x\n")
    good, bad = read(path)
    assert [row.text for row in good] == ["a", "c"]
    assert count(bad) == {"too_long": 1}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_decides_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"n{delimiter}text{delimiter}label\n1{delimiter}a, b; c{delimiter}x\n".replace("a, b; c", '"a, b; c"'))
    assert [(row.text, row.label) for row in read(path)[0]] == [("a, b; c", "x")]


def test_parquet_is_read_with_nulls_numbers_categories_and_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9"]).buffers())
    texts = pa.concat_arrays([pa.array(["a", None, "c", "d"]), bad])
    numbers = pa.array([1, 2, None, 4, 5], pa.int64())
    pq.write_table(pa.table({"text": texts, "label": numbers, "other": numbers}), path)
    good, rejected = read(path)
    assert [(row.row, row.text, row.label) for row in good] == [(1, "a", "1"), (4, "d", "4")]
    assert [(row.row, row.reason) for row in rejected] == [(2, "text_missing"), (3, "label_missing"), (5, "invalid_utf8")]
    pq.write_table(pa.table({"text": ["a", "b"], "label": pa.array(["x", "y"]).dictionary_encode()}), path)
    assert labels(read(path)[0]) == ["x", "y"]


def test_rows_that_share_an_id_with_other_content_are_all_set_aside() -> None:
    rows = [Row(1, "a", "x", "7", ""), Row(2, "b", "x", "7", ""), Row(3, "c", "x", "8", ""), Row(4, "c", "x", "8", "")]
    rows += [Row(5, "d", "x", "", ""), Row(6, "e", "x", "", "")]
    good, bad = without_reused_ids(rows)
    assert [row.row for row in good] == [3, 4, 5, 6]
    assert [(row.row, row.reason) for row in bad] == [(1, "id_reused"), (2, "id_reused")]


def test_whatever_bytes_a_file_holds_every_line_is_a_row_or_a_reason(tmp_path: Path) -> None:
    draw = random.Random(4)
    pieces = [
        b'{"text": "',
        b'"',
        b"\\u",
        b"\\ud800",
        b"\xff\xfe",
        b"}",
        b"[",
        b"\x00",
        b"label",
        b": ",
        b",",
        b"1e999",
        b"\xc3\xa9",
    ]
    first = b'{"text": "a", "label": "x"}'
    for _ in range(100):
        lines = [b"".join(draw.choices(pieces, k=draw.randint(1, 9))) for _ in range(5)]
        path = tmp_path / "d.jsonl"
        path.write_bytes(b"\n".join([first, *lines]) + b"\n")
        good, bad = read(path)
        assert len(good) + len(bad) == 1 + sum(bool(line.decode("utf-8", "surrogateescape").strip()) for line in lines)


def refusal(path: Path, wanted: dict[str, str] = WANTED) -> str:
    with pytest.raises(UserError) as error:
        list(open_table(path, wanted).rows())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_column_is_named_with_those_there_are_and_the_nearest(tmp_path: Path) -> None:
    files: dict[str, Any] = {"csv": "text,Lable\na,x\n", "jsonl": '{"text": "a", "Lable": "x"}\n'}
    for suffix, content in files.items():
        path = tmp_path / f"d.{suffix}"
        path.write_text(content)
        assert refusal(path).endswith("no column 'label' (data.label); it has 'text', 'Lable'; did you mean 'Lable'?")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "d.parquet")
    assert refusal(tmp_path / "d.parquet").endswith("no column 'label' (data.label); it has 'text'")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label,label\na,x,y\n")
    assert "two columns are named 'label'" in refusal(path)


def test_a_file_that_cannot_be_read_is_refused_with_what_to_do(tmp_path: Path) -> None:
    def file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    assert "not found" in refusal(tmp_path / "none.csv")
    assert "a folder needs one table" in refusal(tmp_path)
    assert "is empty" in refusal(file("e.jsonl", b""))
    assert "jq -c" in refusal(file("d.json", b"[]"))
    assert "unpack it first" in refusal(file("d.jsonl.gz", gzip.compress(b"{}")))
    assert "is a gzip file" in refusal(file("d.jsonl", gzip.compress(b"{}")))
    assert "is a zip file" in refusal(file("d.csv", b"PK\x03\x04xlsx"))
    assert "save the sheet as CSV" in refusal(file("d.xlsx", b"PK\x03\x04"))
    assert ".txt is no format" in refusal(file("d.txt", b"a"))
    assert "not a readable Parquet file" in refusal(file("d.parquet", b"text,label\n"))
    assert "iconv -f utf-16" in refusal(file("u.csv", "text,label\n".encode("utf-16")))
