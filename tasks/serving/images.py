"""Models that label images. An image is a path, or the bytes of a file that Pillow reads.

What every model sees is the same: upright (EXIF), transparency on white, three colours of 8 bits, squeezed to a square of
`side` pixels: nothing is cut off, and what is not square is distorted. A folder holds `serving.json` and, by its kind,
- `image-linear`: `linear.safetensors` (weight, bias): a linear layer on features computed here, with numpy;
- `image-classifier`: `config.json` and `model.safetensors` of a network with a classification head: one of `networks.py`,
  or one that transformers' `AutoModelForImageClassification` loads;
- `image-probe`: a network without a head of use, and `head.safetensors` (weight, bias): a linear layer on its features.

Networks are scored in float32. torchvision is not needed, here or anywhere.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Floats, softmax

Source = str | Path | bytes
Pixels = NDArray[np.uint8]

PIXELS_MOST = 50_000_000
"""More are not decoded: a small file can claim an image that fills the memory."""
IMAGES_A_BATCH = 32
GREY_SIDE = 16  # pixels a side of the feature set `grey`
HOG_SIDE, CELL, BINS = 32, 8, 9  # pixels a side, pixels a side of a cell, directions over 180 degrees


class Linear:
    """A linear layer on `features`, the class shares where there are none."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        from safetensors.numpy import load_file

        self.labels: list[str] = about["labels"]
        self.features: str = about["features"]
        weights = load_file(folder / "linear.safetensors")
        self.weight, self.bias = weights["weight"], weights["bias"]

    def probabilities(self, images: Sequence[Source]) -> Floats:
        if not len(images):
            return np.zeros((0, len(self.labels)), np.float32)
        seen = np.stack([features(pixels(image), self.features) for image in images])
        return softmax(seen @ self.weight.T + self.bias)


class Classifier:
    """A network with a classification head."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        from .networks import load

        self.labels: list[str] = about["labels"]
        self.look: dict[str, Any] = about["look"]
        self.network = load(folder).eval()

    def probabilities(self, images: Sequence[Source]) -> Floats:
        return softmax(run(self.network, images, self.look, len(self.labels)))


class Probe:
    """A network's features and a linear layer."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        from safetensors.numpy import load_file

        from .networks import load_features

        self.labels: list[str] = about["labels"]
        self.look: dict[str, Any] = about["look"]
        self.network, self.width = load_features(folder)
        head = load_file(folder / "head.safetensors")
        self.weight, self.bias = head["weight"], head["bias"]

    def probabilities(self, images: Sequence[Source]) -> Floats:
        return softmax(run(self.network, images, self.look, self.width) @ self.weight.T + self.bias)


# ---- from a file to pixels -------------------------------------------------------------------------------------------


def pixels(image: Source) -> Pixels:
    """The image as (height, width, 3). Raises ValueError if it cannot be read or is too large."""
    with opened(image) as file:
        return np.asarray(upright(file))


def opened(image: Source) -> Any:
    """Pillow's image, not decoded yet."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on damaged metadata
            found = Image.open(io.BytesIO(image) if isinstance(image, bytes) else image)
    except Image.DecompressionBombError:
        raise ValueError(f"more than {PIXELS_MOST:,} pixels are not read") from None
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise ValueError(f"no image that can be read: {error}") from None
    if found.width * found.height > PIXELS_MOST:
        raise ValueError(f"{found.width} x {found.height} pixels: more than {PIXELS_MOST:,} are not read")
    return found


def upright(file: Any) -> Any:
    """Decoded: turned as its EXIF says, transparency on white, 16 bits cut to 8, RGB. Raises ValueError if it is damaged."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file.load()
            turned = ImageOps.exif_transpose(file)
            if turned.mode.startswith("I;16"):
                return Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8)).convert("RGB")
            if turned.mode in ("I", "F"):
                raise ValueError(f"pixels of mode {turned.mode}: save it with 8 or 16 bits a colour")
            if "A" in turned.getbands() or "transparency" in turned.info:
                turned = turned.convert("RGBA")
                turned = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned)
            return turned.convert("RGB")
    except (OSError, SyntaxError, IndexError, EOFError, MemoryError, TypeError) as error:
        raise ValueError(f"damaged image: {error}") from None


def square(seen: Pixels, side: int) -> Pixels:
    """Squeezed or stretched to (side, side, 3): bilinear, over all pixels that fall into one."""
    from PIL import Image

    if seen.shape[:2] == (side, side):
        return seen
    return np.asarray(Image.fromarray(seen).resize((side, side), Image.Resampling.BILINEAR))


def as_tensor(batch: Pixels, look: dict[str, Any]) -> Any:
    """(n, side, side, 3) of 0 to 255 as float32 (n, 3, side, side), less `mean` and over `std` (of values from 0 to 1)."""
    import torch

    mean, std = (torch.tensor(look[name], dtype=torch.float32) * 255 for name in ("mean", "std"))
    values = (torch.from_numpy(np.ascontiguousarray(batch)).float() - mean) / std
    return values.permute(0, 3, 1, 2)


def run(network: Callable[[Any], Any], images: Sequence[Source], look: dict[str, Any], width: int) -> Floats:
    """What `network` makes of each image, (n, width). Decodes a batch at a time."""
    return run_on((square(pixels(image), look["side"]) for image in images), network, look, len(images), width)


def run_on(seen: Iterator[Pixels], network: Callable[[Any], Any], look: dict[str, Any], n: int, width: int) -> Floats:
    """The same on decoded squares."""
    import torch

    out = np.zeros((n, width), np.float32)
    with torch.inference_mode():
        for start in range(0, n, IMAGES_A_BATCH):
            batch = np.stack([next(seen) for _ in range(min(IMAGES_A_BATCH, n - start))])
            out[start : start + len(batch)] = network(as_tensor(batch, look)).float().numpy()
    return out


# ---- features without a network --------------------------------------------------------------------------------------


def features(seen: Pixels, name: str) -> Floats:
    """`grey`: small grey pixels; `hog`: directions of edges and colours of 16 cells; `none`: nothing."""
    if name == "grey":
        return (_grey(square(seen, GREY_SIDE)) / 255).ravel().astype(np.float32)
    if name == "hog":
        small = square(seen, HOG_SIDE)
        colours = small.reshape(HOG_SIDE // CELL, CELL, HOG_SIDE // CELL, CELL, 3).mean((1, 3)) / 255
        return np.concatenate([_hog(_grey(small)), colours.ravel().astype(np.float32)])
    return np.zeros(0, np.float32)


def _grey(seen: Pixels) -> Floats:
    """ITU-R BT.601 luma."""
    grey: Floats = seen.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey


def _hog(grey: Floats) -> Floats:
    """Histograms of oriented gradients (Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177).

    Unsigned directions, each gradient shared between the two nearest bins; blocks of 2 x 2 cells of unit length, cut at 0.2
    and of unit length again (L2-Hys). No Gaussian window, no interpolation between cells.
    """
    down, right = np.gradient(grey)
    size, place = np.hypot(down, right), np.arctan2(down, right) % np.pi / np.pi * BINS - 0.5
    low, share = np.floor(place).astype(int), place - np.floor(place)
    n = len(grey) // CELL
    cell = np.arange(len(grey)) // CELL
    corner = (cell[:, None] * n + cell[None, :]) * BINS
    weights = np.concatenate([(size * (1 - share)).ravel(), (size * share).ravel()])
    places = np.concatenate([(corner + low % BINS).ravel(), (corner + (low + 1) % BINS).ravel()])
    cells = np.bincount(places, weights, n * n * BINS).reshape(n, n, BINS)
    blocks = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=2).reshape(-1, 4 * BINS)
    return _unit(np.minimum(_unit(blocks), 0.2)).ravel().astype(np.float32)


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    unit: NDArray[Any] = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-3)
    return unit
