"""EfficientNet-Lite0's published weights (a PyTorch pickle) as safetensors and config.json, once, when the shelf is filled.

The pickle is read with `weights_only`, which runs no code; after that nothing but safetensors is ever loaded.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

NAMES = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.conv."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depth.conv."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depth.norm."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.conv."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
)
"""Their names to those of `tasks.serving.networks`."""
LABELS = 1000  # of ImageNet, unnamed here: the head is of no use to anybody else
CENTRE, SPREAD = 127 / 255, 128 / 255
"""The model's training saw (value - 127) / 128: efficientnet_lite_builder.py of tensorflow/tpu, MEAN_RGB and STDDEV_RGB."""


def convert(pickle: Path, folder: Path) -> None:
    """Write model.safetensors, config.json and preprocessor_config.json into `folder`."""
    import torch
    from safetensors.torch import save_file

    weights = torch.load(pickle, weights_only=True, map_location="cpu")
    save_file({_renamed(name): tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors")
    config = {"model_type": "efficientnet-lite0", "image_size": 224, "id2label": {i: f"LABEL_{i}" for i in range(LABELS)}}
    _write(folder / "config.json", config)
    _write(folder / "preprocessor_config.json", {"image_mean": [CENTRE] * 3, "image_std": [SPREAD] * 3})


def _renamed(name: str) -> str:
    for theirs, ours in NAMES:
        name = re.sub(theirs, ours, name)
    return name


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
