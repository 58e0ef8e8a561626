"""The rows of the examples with text of one domain: what the packages hold, as plain text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks import example_texts
from tasks.example_texts import descriptions, plain, proofs
from tasks.stage import UserError

TEXTS = """\
Package: b
Description-md5: 2
Description-en: title of b
 First paragraph,
 on two lines.
 .
 A list:
   - one
   - two
 And the end.

Package: libc
Description-md5: 3
Description-en: title of libc

Package: a
Description-md5: 1
Description-en: title of a
"""
PACKAGES = """\
Package: a
Source: c (1.0-2)
Description: title of a
Description-md5: 1

Package: b
Description: title of b
Description-md5: 2
Tag: x::y,
 z::w

Package: c
Description: nobody wrote more
Description-md5: 4

Package: libb
Source: b
Description: title of libc
Description-md5: 3
"""
SETS = """\
$( A comment with $p in it $= $)
  ${
    a1i.1 $e |- ph $.
    $( Inference. $)
    a1i $p |- ( ps -> ph ) $=
      ( wi ax-1 ax-mp ) ABADC
      ABEF $.
  $}
  th1 $p |- t = t $= tt tze tpl
     mp $.
"""


def test_one_package_a_source_is_a_row_that_of_its_name_if_it_has_a_text() -> None:
    rows = list(descriptions(TEXTS, PACKAGES))
    assert [row["id"] for row in rows] == ["b"]
    assert list(descriptions(TEXTS, PACKAGES.replace("Package: c\n", "Package: d\n"))) == [
        rows[0],
        {"id": "a", "text": "title of a"},
    ]


def test_paragraphs_are_unwrapped_and_indented_lines_stay() -> None:
    (row,) = descriptions(TEXTS, PACKAGES)
    assert row["text"] == "title of b\nFirst paragraph, on two lines.\n\nA list:\n- one\n- two\nAnd the end."
    assert plain("title alone") == "title alone"


def test_a_theorem_is_a_row_without_comments_and_line_breaks() -> None:
    assert list(proofs(SETS)) == [
        {"id": "a1i", "text": "a1i $p |- ( ps -> ph ) $= ( wi ax-1 ax-mp ) ABADCABEF $."},
        {"id": "th1", "text": "th1 $p |- t = t $= tt tze tpl mp $."},
    ]


def test_long_texts_are_left_out_and_other_bytes_than_the_pinned_ones_are_a_defect(tmp_path: Path) -> None:
    rows = [{"id": "1", "text": "ä" * 150}, {"id": "2", "text": "ä" * 151}]
    with pytest.raises(UserError, match="came out other than it should"):
        example_texts._write(rows, tmp_path / "rows.jsonl", "0" * 64)
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == rows[:1]
