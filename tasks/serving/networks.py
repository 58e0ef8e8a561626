"""The image networks of this project in plain torch, and how those and transformers' are loaded.

`config.json` names the network by `model_type`. EfficientNet-Lite0 (the published TensorFlow definition: EfficientNet-B0,
arXiv 1905.11946, without squeeze-and-excitation and with ReLU6) and a small CNN are defined here; anything else is
transformers' own class.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LITE0 = "efficientnet-lite0"
CNN = "small-cnn"
BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of EfficientNet-Lite0: repeats, kernel, stride of the first, expansion, channels out."""


class Convolution(nn.Module):
    """Convolution, batch normalisation and ReLU6 (or none); padded as TensorFlow's SAME, more on the right and below."""

    def __init__(self, into: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, cut: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride, self.cut = kernel, stride, cut
        self.conv = nn.Conv2d(into, out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        down, right = (max((-(-n // self.stride) - 1) * self.stride + self.kernel - n, 0) for n in x.shape[-2:])
        if down or right:
            x = functional.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        x = self.norm(self.conv(x))
        return functional.relu6(x) if self.cut else x


class Block(nn.Module):
    """Inverted residual (arXiv 1801.04381): widen, look at neighbours channel by channel, narrow."""

    def __init__(self, into: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = into * expansion
        self.expand = Convolution(into, wide) if expansion > 1 else nn.Identity()
        self.depth = Convolution(wide, wide, kernel, stride, groups=wide)
        self.project = Convolution(wide, out, cut=False)
        self.adds = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depth(self.expand(x)))
        return x + y if self.adds else y


class Network(nn.Module):
    """Features (n, width) of images (n, 3, height, width) of any size, and a linear classifier on them."""

    width: int
    dropout: nn.Module
    classifier: nn.Module

    def features(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.dropout(self.features(x)))
        return logits


class EfficientNetLite0(Network):
    """3.4 million parameters and the classifier's."""

    width = 1280

    def __init__(self, labels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = Convolution(3, 32, 3, 2)
        blocks, into = list[Block](), 32
        for repeats, kernel, stride, expansion, out in BLOCKS:
            for place in range(repeats):
                blocks.append(Block(into, out, kernel, stride if place == 0 else 1, expansion))
                into = out
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(into, self.width)
        self.dropout, self.classifier = nn.Dropout(dropout), nn.Linear(self.width, labels)

    def features(self, x: Tensor) -> Tensor:
        seen: Tensor = self.head(self.blocks(self.stem(x)))
        return seen.mean((2, 3))


class SmallCnn(Network):
    """Two convolutions of 3 x 3 a stage, each stage at half the resolution; the mean over what is left of the image."""

    def __init__(self, labels: int, channels: list[int], dropout: float = 0.0) -> None:
        super().__init__()
        pairs = zip([3, *channels], channels, strict=False)
        self.stages = nn.ModuleList(nn.Sequential(_plain(into, out), _plain(out, out)) for into, out in pairs)
        self.width = channels[-1]
        self.dropout, self.classifier = nn.Dropout(dropout), nn.Linear(self.width, labels)

    def features(self, x: Tensor) -> Tensor:
        for place, stage in enumerate(self.stages):
            x = stage(functional.max_pool2d(x, 2) if place else x)
        return x.mean((2, 3))


def _plain(into: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


def own(config: dict[str, Any], labels: int, dropout: float = 0.0) -> Network | None:
    """The network of this file that `config` describes, with random weights; None for one of transformers'."""
    if config["model_type"] == LITE0:
        return EfficientNetLite0(labels, dropout)
    if config["model_type"] == CNN:
        return SmallCnn(labels, config["channels"], dropout)
    return None


def load(folder: Path) -> nn.Module:
    """The whole network in `folder`, float32: images (n, 3, side, side) to logits (n, k)."""
    config = described(folder)
    if (network := own(config, len(config.get("id2label", ())))) is None:
        return Logits(theirs(folder))
    network.load_state_dict(tensors(folder))
    return network


def load_features(folder: Path) -> tuple[Callable[[Tensor], Tensor], int]:
    """The network in `folder` without its head, ready to score: images to features (n, width); and the width.

    Of transformers' models the mean of the last hidden states over patches (or places), because a pooler may be untrained.
    """
    config = described(folder)
    if (network := own(config, len(config.get("id2label", ())))) is not None:
        network.load_state_dict(tensors(folder))
        return network.eval().features, network.width
    from transformers import AutoModel

    _quiet()
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    return lambda x: _mean_state(model(pixel_values=x).last_hidden_state), _width(model)


class Logits(nn.Module):
    """A classifier of transformers as a function from images to logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=x).logits
        return logits


def theirs(folder: Path, **config: Any) -> Any:
    """A classifier of transformers; `config` replaces parts of its configuration, a head that does not fit is new."""
    from transformers import AutoModelForImageClassification

    _quiet()
    fits = {"ignore_mismatched_sizes": True} if config else {}
    return AutoModelForImageClassification.from_pretrained(folder, dtype=torch.float32, local_files_only=True, **fits, **config)


def tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def described(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def _mean_state(states: Tensor) -> Tensor:
    return states.mean(1) if states.ndim == 3 else states.mean((2, 3))


def _width(model: Any) -> int:
    """Features of one grey image, asked for: configurations name their width in many ways."""
    side = model.config.image_size if isinstance(getattr(model.config, "image_size", None), int) else 64
    with torch.inference_mode():
        return int(_mean_state(model(pixel_values=torch.zeros(1, 3, side, side)).last_hidden_state).shape[1])


def _quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
