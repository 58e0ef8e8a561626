"""Pictures that a small model can tell apart, as bytes, files and documents."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tasks import images
from tasks.audit.images import look
from tasks.documents import Document

LABELS = ["across", "down"]


def stripes(seed: int, label: str, side: int = 24) -> Image.Image:
    """Bright stripes that run across or down on dark noise, of random place, width and colour."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 60, (side, side, 3))
    for _ in range(2):
        at, width = int(draw.integers(0, side - 4)), int(draw.integers(2, 5))
        pixels[at : at + width] = draw.integers(120, 256, 3)
    shown = pixels if label == "across" else pixels.transpose(1, 0, 2)
    return Image.fromarray(shown.astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    made = io.BytesIO()
    image.save(made, kind, **how)
    return made.getvalue()


def rows(n: int, folder: Path, seed: int = 0, side: int = 24) -> list[Document]:
    """`n` documents of two labels by turns; their images in a store in `folder`."""
    pictures = {}
    made = []
    for i in range(n):
        content = encoded(stripes(1000 * seed + i, LABELS[i % 2], side))
        seen = look(content, folder)
        assert not isinstance(seen, str)
        pictures[seen.key] = content
        made.append(
            Document(f"{seed}-{i:04d}", "", LABELS[i % 2], f"{seed}-{i:04d}", image=f"{folder / images.STORE}/{seen.key}")
        )
    images.write(folder / images.STORE, pictures.items())
    return made
