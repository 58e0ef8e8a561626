"""What the audit makes of images: every unusable one set aside with its reason, none on both sides of the split."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance

from tasks import images
from tasks.audit.images import Seen, look, near_pairs
from tasks.audit.pipeline import Audited, audit
from tasks.params import Data
from tasks.stage import UserError
from tests.pictures import LABELS, encoded, stripes

DATA = Data(path="", text=None, image="image", label="label", group=None, max_rows=None)


def table(folder: Path, rows: list[dict[str, Any]]) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


def good(folder: Path, n: int = 60) -> list[dict[str, Any]]:
    for i in range(n):
        (folder / f"{i}.png").write_bytes(encoded(stripes(i, LABELS[i % 2])))
    return [{"image": f"{i}.png", "label": LABELS[i % 2]} for i in range(n)]


def run(folder: Path, rows: list[dict[str, Any]], **changes: Any) -> Audited:
    return audit(table(folder, rows), DATA.model_copy(update=changes), folder / images.STORE)


def seen(image: Image.Image, kind: str = "PNG", **how: Any) -> Seen:
    found = look(encoded(image, kind, **how), Path())
    assert isinstance(found, Seen)
    return found


def scene(seed: int, side: int) -> Image.Image:
    """Soft blots of colour: no noise, whose difference hash is chance."""
    blots = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(blots).resize((side, side), Image.Resampling.BICUBIC)


def claiming(png: bytes, side: int) -> bytes:
    """The same file with a header that says it is a square of `side` pixels."""
    header = b"IHDR" + struct.pack(">II", side, side) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def test_what_is_no_usable_image_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    rows = good(tmp_path)
    picture = encoded(stripes(99, "down"))
    bad = {
        "cut.png": (picture[: len(picture) // 2], "image_unreadable"),
        "text.png": (b"no image", "image_unreadable"),
        "empty.png": (b"", "image_unreadable"),
        "small.png": (encoded(Image.new("RGB", (7, 30))), "image_too_small"),
        "moves.gif": (
            encoded(stripes(1, "down"), "GIF", save_all=True, append_images=[stripes(2, "down")]),
            "image_animated",
        ),
        "bomb.png": (claiming(picture, 60_000), "image_too_large"),
        "large.png": (claiming(picture, 8_000), "image_too_large"),
    }
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
    odd = [{"image": name, "label": "down"} for name in bad] + [
        {"image": "nowhere.png", "label": "down"},
        {"image": None, "label": "down"},
        {"image": 3, "label": "down"},
    ]
    audited = run(tmp_path, rows + odd)
    reasons = {row.row: row.reason for row in audited.rejected}
    expected = [reason for _, reason in bad.values()] + ["image_missing"] * 3
    assert [reasons[61 + i] for i in range(len(odd))] == expected
    assert audited.record.rows_kept == 60


def test_equal_pixels_are_one_image_whatever_the_file_says(tmp_path: Path) -> None:
    rows = good(tmp_path)
    picture = stripes(0, LABELS[0])
    (tmp_path / "same.bmp").write_bytes(encoded(picture, "BMP"))
    (tmp_path / "alpha.png").write_bytes(encoded(picture.convert("RGBA")))
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    (tmp_path / "turned.png").write_bytes(encoded(picture.transpose(Image.Transpose.ROTATE_90), exif=turned))
    copies = [{"image": name, "label": LABELS[0]} for name in ("same.bmp", "alpha.png", "turned.png")]
    audited = run(tmp_path, rows + copies)
    assert audited.record.exact_duplicates == 3
    assert audited.record.rows_kept == 60


def test_the_same_image_with_two_labels_is_set_aside_whole(tmp_path: Path) -> None:
    rows = good(tmp_path)
    audited = run(tmp_path, [*rows, {"image": "0.png", "label": "down"}])
    assert audited.record.conflicting_labels == 1
    assert audited.record.rows_rejected == {"conflicting_labels": 2}


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.resize((48, 48), Image.Resampling.BICUBIC),
        lambda p: ImageEnhance.Contrast(p).enhance(0.8),
        lambda p: ImageEnhance.Brightness(p).enhance(0.9),
    ],
)
def test_a_changed_copy_is_a_near_duplicate_and_another_picture_is_not(change: Any) -> None:
    pictures = [stripes(i, LABELS[i % 2]) for i in range(40)]
    found = near_pairs([seen(picture) for picture in [*pictures, change(pictures[7])]])
    assert [(pair.a, pair.b) for pair in found] == [(7, 40)]


def test_an_enlarged_copy_of_an_image_never_stands_on_the_other_side_of_the_split(tmp_path: Path) -> None:
    rows = []
    for i in range(80):
        for name, side in (("png", 32), ("tif", 48)):
            (tmp_path / f"{i}.{name}").write_bytes(encoded(scene(i, side), "PNG" if name == "png" else "TIFF"))
            rows.append({"image": f"{i}.{name}", "label": LABELS[i % 2]})
    audited = run(tmp_path, rows)
    assert audited.record.near_duplicates == 80
    assert not {row.group for row in audited.train} & {row.group for row in audited.test}
    assert audited.record.leaks_prevented > 0


def test_bytes_in_parquet_and_paths_beside_a_table_give_the_same_split(tmp_path: Path) -> None:
    rows = good(tmp_path)
    by_path = run(tmp_path, rows)
    stored = dict(by_path.images)
    contents = [(tmp_path / str(row["image"])).read_bytes() for row in rows]
    labels = [row["label"] for row in rows]
    plain, nested = tmp_path / "plain.parquet", tmp_path / "nested.parquet"
    pq.write_table(pa.table({"image": contents, "label": labels}), plain)
    pq.write_table(pa.table({"image": [{"bytes": c, "path": None} for c in contents], "label": labels}), nested)
    for path in (plain, nested):
        by_bytes = audit(path, DATA, tmp_path / images.STORE)
        assert by_bytes.train == by_path.train
        assert by_bytes.test == by_path.test
        assert dict(by_bytes.images) == stored


def test_the_store_holds_what_was_delivered_and_larger_images_reduced(tmp_path: Path) -> None:
    rows = good(tmp_path)
    (tmp_path / "0.png").write_bytes(encoded(stripes(0, LABELS[0], side=700)))
    audited = run(tmp_path, rows)
    images.write(tmp_path / images.STORE, audited.images)
    documents = [*audited.train, *audited.test]
    sizes = sorted(max(look(content, tmp_path).height, 0) for content in images.inputs(documents))  # type: ignore[union-attr]
    assert sizes == [24] * 59 + [512]
    assert audited.record.images_reduced == 1
    assert any("reduced to 512 pixels" in warning for warning in audited.record.warnings)


def test_a_folder_with_one_table_is_data_and_one_with_two_is_refused(tmp_path: Path) -> None:
    run_folder = tmp_path / "pictures"
    run_folder.mkdir()
    table(run_folder, good(run_folder))
    record = audit(run_folder, DATA).record
    assert (record.path, record.data_md5, record.rows_kept) == (str(run_folder), None, 60)
    (run_folder / "more.csv").write_text("image,label\n")
    with pytest.raises(UserError, match="needs one table"):
        audit(run_folder, DATA)


def test_images_that_dvc_does_not_watch_are_named(tmp_path: Path) -> None:
    assert any("DVC sees no change" in warning for warning in run(tmp_path, good(tmp_path)).record.warnings)


def test_sixteen_bits_are_cut_to_eight_and_transparency_is_white() -> None:
    deep = Image.fromarray(np.full((9, 9), 0x8123, np.uint16))
    clear = Image.new("RGBA", (9, 9), (0, 0, 0, 0))
    assert seen(deep).key == seen(Image.new("RGB", (9, 9), (0x81,) * 3)).key
    assert seen(clear).key == seen(Image.new("RGB", (9, 9), "white")).key
