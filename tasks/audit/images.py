"""Images of a data file: which can be used, which are the same, which nearly so, and their way into the split's zip.

Each is decoded once; kept of it are the hash of its pixels and a thumbnail of 16 x 16. Exact duplicates have equal pixels
after decoding (upright, transparency on white, 8 bits, RGB), whatever the file format. Near duplicates are found by the
difference hash (dHash: N. Krawetz, "Kind of Like That", hackerfactor.com 2013), every pair of them, and verified by the
correlation of the thumbnails, which brightness and contrast don't change. SAME and DISTANCE were set on copies of 150 emoji
and 150 Fashion-MNIST images: JPEG at quality 50, twice the size and less contrast are found (97 % and more of the emoji),
half the size where the image has 64 pixels a side; a border cut by 3 % is not, nor is a mirror image or a rotation. Of two
million pairs of different images 24 (Fashion-MNIST) and 54 (emoji) are reported. In pictures of mere noise the hash is
chance, and a tenth of the enlarged copies is missed.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.audit.near import Pair, Parts
from tasks.audit.table import Raw, Table
from tasks.serving.images import PIXELS_MOST, opened, upright

SIDE_LEAST = 8  # pixels; smaller is an icon of nothing
BYTES_MOST = 100_000_000  # of one file
SIDE_STORED = 512  # pixels of the shorter side; larger images are stored reduced: no network here reads more than 256
THUMBNAIL = 16
DISTANCE = 6  # of 64 bits of the difference hash
SAME = 0.99
VERIFIED_AT_ONCE = 4096
SEVERAL = ("MPO",)
"""Formats of cameras that carry previews beside the one image."""

REASONS = {
    "image_missing": "no image: the field is empty, or no file is at that path",
    "image_unreadable": "no image that can be read: damaged, cut off, or of no format that Pillow reads",
    "image_animated": "several pictures in one file",
    "image_too_small": f"an image with a side below {SIDE_LEAST} pixels",
    "image_too_large": f"an image of over {PIXELS_MOST:,} pixels or {BYTES_MOST:,} bytes",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of an image."""

    key: str
    """32 hexadecimal digits of the sha256 of its size and pixels."""
    dhash: int
    thumbnail: bytes
    width: int
    height: int

    @property
    def reduced(self) -> bool:
        return min(self.width, self.height) > SIDE_STORED


def look(value: object, folder: Path) -> Seen | str:
    """What the field `value` shows, or the reason why it is unusable. Paths are relative to `folder`."""
    content = _content(value, folder)
    if isinstance(content, str):
        return content
    try:
        with opened(content) as file:
            if getattr(file, "n_frames", 1) > 1 and file.format not in SEVERAL:
                return "image_animated"
            image = upright(file)
    except ValueError as error:
        return "image_too_large" if "are not read" in str(error) else "image_unreadable"
    if min(image.size) < SIDE_LEAST:
        return "image_too_small"
    return Seen(_hash(image), _dhash(image), _thumbnail(image), *image.size)


def members(table: Table, column: str, wanted: dict[int, Seen]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the images of the rows `wanted` (row number to what was seen), reading the table once more."""
    for raw in table.rows():
        if isinstance(raw, Raw) and (seen := wanted.get(raw.row)):
            content = _content(raw.values.get(column), table.path.parent)
            assert isinstance(content, bytes)
            yield seen.key, _reduced(content) if seen.reduced else content


def near_pairs(images: Sequence[Seen]) -> list[Pair]:
    """Similar pairs, as many as tie every cluster together; `jaccard` holds the correlation. Takes n^2 / 2 comparisons of
    64 bits: 5 s for 70,000 images, and as much again where very many look alike."""
    hashes = np.array([image.dhash for image in images], np.uint64)
    parts, found = Parts(len(images)), list[Pair]()
    for block in _candidates(hashes):
        alike = _correlation(images, block)
        for a, b, similarity in zip(*block.T.tolist(), alike.tolist(), strict=True):
            if similarity >= SAME and parts.root(a) != parts.root(b):
                parts.join(a, b)
                found.append(Pair(a, b, similarity))
    return found


def _candidates(hashes: npt.NDArray[np.uint64]) -> Iterator[npt.NDArray[np.int64]]:
    """Pairs (n, 2), a < b, of hashes that differ in at most DISTANCE bits."""
    held: list[npt.NDArray[np.int64]] = []
    for a in range(len(hashes) - 1):
        near = np.flatnonzero(np.bitwise_count(hashes[a + 1 :] ^ hashes[a]) <= DISTANCE) + a + 1
        if len(near):
            held.append(np.stack([np.full(len(near), a), near], axis=1))
        if sum(map(len, held)) >= VERIFIED_AT_ONCE:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _correlation(images: Sequence[Seen], pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Pearson's, of the thumbnails' values in all three colours; 1 for two that have one and the same value throughout."""
    each = [np.stack([np.frombuffer(images[i].thumbnail, np.uint8) for i in side]).astype(np.float32) for side in pairs.T]
    a, b = (values - values.mean(1, keepdims=True) for values in each)
    length = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    flat = (length == 0) & (np.abs(each[0] - each[1]).max(1) <= 1)
    alike: npt.NDArray[np.float32] = np.where(flat, 1, (a * b).sum(1) / np.maximum(length, 1e-9))
    return alike


def _content(value: object, folder: Path) -> bytes | str:
    """The file's bytes, or a reason. Bytes come as they are, or as Hugging Face's data sets have them: {bytes, path}."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes | bytearray):
        return bytes(value) or "image_missing"
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return "image_missing"
    path = folder / value.strip()
    try:
        return "image_too_large" if path.stat().st_size > BYTES_MOST else path.read_bytes()
    except OSError:
        return "image_missing"


def _hash(image: object) -> str:
    pixels = np.asarray(image)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()[:32]


def _dhash(image: object) -> int:
    """64 bits: whether each of 8 x 8 grey values is less than its neighbour on the right."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BILINEAR)).astype(np.int16)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes())


def _thumbnail(image: object) -> bytes:
    from PIL import Image

    assert isinstance(image, Image.Image)
    return np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)).tobytes()


def _reduced(content: bytes) -> bytes:
    """As PNG with SIDE_STORED pixels on the shorter side, upright and RGB."""
    from PIL import Image

    with opened(content) as file:
        image = upright(file)
    scale = SIDE_STORED / min(image.size)
    made = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR).save(made, "PNG")
    return made.getvalue()
