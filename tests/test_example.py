"""The example's rows: clearly rated sentences, the same bytes each time."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks import example
from tasks.records import sha256_of_file

RATINGS = "1\t0.5\tGood.\r\n2\t-0.5\tBad…\r\n3\t0.4999\tSo so.\r\n4\t-3.9\tTabs\r\n5\t0.0\tNothing\r\n"


def archive(path: Path, ratings: bytes, kind: bytes = tarfile.REGTYPE) -> Path:
    """As the source distribution is: a tar in a tar."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        member = tarfile.TarInfo(example.RATINGS)
        member.size, member.type = len(ratings), kind
        tar.addfile(member, io.BytesIO(ratings))
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(example.INNER)
        member.size = inner.tell()
        tar.addfile(member, io.BytesIO(inner.getvalue()))
    return path


def test_rows_without_a_clear_rating_are_dropped_and_the_sign_is_the_label(tmp_path: Path) -> None:
    example.write(archive(tmp_path / "a.tar.gz", RATINGS.encode()), tmp_path / "rows.jsonl")
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == [
        {"id": "1", "text": "Good.", "label": "positive"},
        {"id": "2", "text": "Bad…", "label": "negative"},
        {"id": "4", "text": "Tabs", "label": "negative"},
    ]


def test_a_member_that_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(example.UserError, match="not a plain file"):
        example.write(archive(tmp_path / "a.tar.gz", b"", tarfile.FIFOTYPE), tmp_path / "rows.jsonl")
    assert not (tmp_path / "rows.jsonl").exists()


def test_the_version_that_dvc_has_is_the_one_that_is_fetched() -> None:
    tracked = YAML(typ="safe", pure=True).load(Path(f"{example.DATA}.dvc"))
    (cached,) = (out["md5"] for out in tracked["outs"])
    assert sha256_of_file(Path(".dvc/cache/files/md5") / cached[:2] / cached[2:]) == example.DATA_SHA256
