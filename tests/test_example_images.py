"""The examples of images: the rows that the packages hold, nothing of a package that is another than the pinned one."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tasks import example_images
from tasks.serving.images import pixels


def npm_archive(path: Path) -> Path:
    tone = {"unified": "1F44D-1F3FB", "image": "1f44d-1f3fb.png", "has_img_google": True}
    none = {"unified": "1F44D-1F3FF", "image": "1f44d-1f3ff.png", "has_img_google": False}
    thumb = {"unified": "1F44D", "image": "1f44d.png", "has_img_google": True, "category": "People & Body"}
    listed = [thumb | {"skin_variations": {"1F3FB": tone, "1F3FF": none}}]
    files = {"package/emoji.json": json.dumps(listed).encode(), "package/img/google/128/1f44d.png": b"large"}
    files |= {f"{example_images.PICTURES}/{one['image']}": one["unified"].encode() for one in (thumb, tone)}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_the_skin_tones_of_an_emoji_are_rows_of_its_group_and_pictures_of_other_sizes_stay_packed(tmp_path: Path) -> None:
    example_images.write_emoji(npm_archive(tmp_path / "a.tgz"), tmp_path / "emoji")
    with (tmp_path / "emoji" / "rows.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["label"], row["group"]) for row in rows] == [
        ("1F44D", "People & Body", "1F44D"),
        ("1F44D-1F3FB", "People & Body", "1F44D"),
    ]
    assert [(tmp_path / "emoji" / row["image"]).read_bytes() for row in rows] == [b"1F44D", b"1F44D-1F3FB"]
    assert len(list((tmp_path / "emoji" / "img").iterdir())) == 2


def test_every_picture_of_fashion_mnist_has_its_label_and_its_pixels(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    for part, rows in (("train", slice(0, 3)), ("t10k", slice(3, 5))):
        named = gzip.compress(bytes(8) + bytes([9, 0, 1, 2, 3][rows]))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(named)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + drawn[rows].tobytes()))
    example_images.write_fashion_mnist(tmp_path, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet").to_pydict()
    assert table["label"] == ["ankle boot", "t-shirt", "trouser", "pullover", "dress"]
    np.testing.assert_array_equal(np.stack([pixels(content)[:, :, 0] for content in table["image"]]), drawn)
