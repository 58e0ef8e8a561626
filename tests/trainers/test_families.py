"""BERT and ViT, as a hub repository would hold them: 50 steps lower the loss, and the folder gives what was trained.

The language models (LLaMA, Mistral, Falcon, Qwen) are in `test_causal.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks import trainers
from tasks.recipes import recipe
from tasks.trainers import Job, text
from tasks.trainers.vision import squares
from tests.pictures import LABELS, rows
from tests.trainers.conftest import SMALL


def fifty_steps(job: Job, module: Any, monkeypatch: pytest.MonkeyPatch, model_at: int) -> Any:
    """Train, and see that the loss falls; gives the model as it was when it was saved."""
    kept: list[Any] = []
    save = module.save
    monkeypatch.setattr(module, "save", lambda *given: (kept.append(given[model_at]), save(*given)))
    job = replace(job, metrics=job.folder.with_name("metrics.jsonl"))
    trained = trainers.train(job)
    assert job.metrics is not None
    losses = [json.loads(line)["loss"] for line in job.metrics.read_text().splitlines()]
    assert trained.steps_done == trained.steps_planned >= 50
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    return kept[0].eval()


@pytest.mark.parametrize("branch", ["lora", "full"])
def test_bert(branch: str, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForSequenceClassification

    job = make_job(branch, recipe=SMALL[branch] | {"epochs": 9})
    model = fifty_steps(job, text, monkeypatch, 2)
    loaded = AutoModelForSequenceClassification.from_pretrained(job.folder).eval()
    ids = torch.arange(2, 22).reshape(2, 10)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("branch", ["lora", "full"])
def test_vit(branch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForImageClassification, ViTConfig, ViTForImageClassification

    sizes = {"patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    ViTForImageClassification(ViTConfig(image_size=24, **sizes)).save_pretrained(tmp_path / "base")
    settings = recipe(branch, "image-classification", 96) | {"rows_a_step": 16, "epochs": 9, "learning_rate": 3e-3}
    pictures, task = rows(96, tmp_path / "pictures"), "image-classification"
    job = Job(branch, settings, tmp_path / "base", LABELS, pictures, 0, tmp_path / "model", task=task)
    model = fifty_steps(job, squares, monkeypatch, 2)
    loaded = AutoModelForImageClassification.from_pretrained(job.folder).eval()
    seen = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(pixel_values=seen).logits, model(seen), atol=1e-5, rtol=1e-4)
