"""Every branch of image classification learns and leaves a folder that serves, with own and with transformers' networks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks import images, serving, trainers
from tasks.documents import Document
from tasks.recipes import recipe
from tasks.serving import networks
from tasks.stage import Interrupted
from tasks.trainers import BRANCHES, Job
from tests.pictures import LABELS, encoded, rows, stripes

MakeJob = Callable[..., Job]
VIT = {
    "kind": "vit",
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
SMALL: dict[str, dict[str, Any]] = {
    "baseline": {},
    "probe": {"side": 24, "strengths": [0.1, 10.0]},
    "lora": {"side": 24, "epochs": 12, "learning_rate": 1e-2},
    "full": {"side": 24, "epochs": 8, "learning_rate": 3e-3},
    "scratch": {"epochs": 8, "architecture": {"kind": "cnn", "channels": [8, 16]}},
}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    return rows(96, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    return rows(60, tmp_path_factory.mktemp("unseen"), seed=1)


@pytest.fixture(scope="session")
def own_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CNN with three labels of its own, of random weights."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("bases") / "cnn"
    folder.mkdir()
    config = {"model_type": networks.CNN, "channels": [16, 32], "id2label": {"0": "a", "1": "b", "2": "c"}}
    torch.manual_seed(0)
    network = networks.own(config, 3)
    assert network is not None
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def vit_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT of random weights, as a hub repository would hold it."""
    from transformers import ViTConfig, ViTForImageClassification

    folder = tmp_path_factory.mktemp("bases") / "vit"
    torch.manual_seed(0)
    sizes = {name: value for name, value in VIT.items() if name != "kind"}
    ViTForImageClassification(ViTConfig(image_size=24, **sizes)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.4] * 3, "image_std": [0.3] * 3}))
    return folder


@pytest.fixture
def make_job(pictures: list[Document], own_base: Path, tmp_path: Path) -> MakeJob:
    def job(branch: str, **changes: Any) -> Job:
        settings = recipe(branch, "image-classification", 96) | SMALL[branch] | changes.pop("recipe", {})
        base = own_base if branch in ("probe", "lora", "full") else None
        fields: dict[str, Any] = {"base": base, "labels": LABELS, "documents": pictures, "seed": 0}
        fields |= {"folder": tmp_path / "model", "task": "image-classification"}
        return Job(branch=branch, recipe=settings, **fields | changes)

    return job


def accuracy(folder: Path, documents: list[Document]) -> float:
    model = serving.load(folder)
    guesses = model.probabilities(images.inputs(documents)).argmax(1)
    return float(np.mean([model.labels[guess] == row.label for guess, row in zip(guesses, documents, strict=True)]))


@pytest.mark.parametrize("branch", BRANCHES["image-classification"])
def test_a_branch_learns_what_can_be_learnt_and_its_folder_serves(
    branch: str, make_job: MakeJob, unseen: list[Document]
) -> None:
    job = make_job(branch)
    trained = trainers.train(job)
    assert accuracy(job.folder, unseen) >= 0.9
    assert trained.steps_done == trained.steps_planned > 0
    assert {path.suffix for path in job.folder.rglob("*") if path.is_file()} <= {".json", ".safetensors"}


@pytest.mark.parametrize("branch", ["probe", "lora", "full"])
def test_a_base_of_transformers_is_probed_and_fine_tuned(
    branch: str, make_job: MakeJob, vit_base: Path, unseen: list[Document]
) -> None:
    job = make_job(branch, base=vit_base, recipe={"epochs": 20, "side": 96})
    trainers.train(job)
    assert json.loads((job.folder / "serving.json").read_text())["look"] == {
        "side": 24,  # the only one that this ViT reads
        "mean": [0.4] * 3,
        "std": [0.3] * 3,
    }
    assert accuracy(job.folder, unseen) >= (0.5 if branch == "probe" else 0.8)  # random states tell a head little


def test_scratch_can_be_a_vit_which_transformers_alone_loads_and_says_the_same(make_job: MakeJob) -> None:
    from transformers import AutoModelForImageClassification

    job = make_job("scratch", recipe={"architecture": VIT, "epochs": 2})
    trainers.train(job)
    theirs = AutoModelForImageClassification.from_pretrained(job.folder, local_files_only=True).eval()
    about, picture = json.loads((job.folder / "serving.json").read_text())["look"], stripes(5, "down")
    seen = (np.asarray(picture) / 255 - about["mean"]) / about["std"]
    with torch.inference_mode():
        shares = theirs(pixel_values=torch.tensor(seen.transpose(2, 0, 1)[None]).float()).logits.softmax(1)
    ours = serving.load(job.folder).probabilities([encoded(picture)])
    np.testing.assert_allclose(ours, shares.numpy(), atol=1e-5)
    assert theirs.config.id2label == dict(enumerate(LABELS))


@pytest.mark.parametrize("branch", BRANCHES["image-classification"])
def test_the_same_images_in_another_order_give_the_same_bytes(branch: str, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(branch, recipe={"epochs": 2})
    again = make_job(branch, recipe={"epochs": 2}, documents=job.documents[::-1], folder=tmp_path / "again")
    trainers.train(job)
    trainers.train(again)
    assert {p.name: p.read_bytes() for p in job.folder.iterdir()} == {p.name: p.read_bytes() for p in again.folder.iterdir()}


@pytest.mark.parametrize("branch", ["lora", "full", "scratch"])
def test_a_training_of_images_that_was_stopped_ends_with_the_weights_of_one_that_was_not(
    branch: str, make_job: MakeJob, tmp_path: Path
) -> None:
    whole = make_job(branch, recipe={"epochs": 3}, folder=tmp_path / "whole")
    trainers.train(whole)
    stopped = make_job(branch, recipe={"epochs": 3}, checkpoints=tmp_path / "checkpoints", max_seconds=0.0)
    with pytest.raises(Interrupted):
        trainers.train(stopped)
    trained = trainers.train(make_job(branch, recipe={"epochs": 3}, checkpoints=tmp_path / "checkpoints"))
    assert trained.steps_done == trained.steps_planned
    name = "model.safetensors"
    assert (stopped.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_an_image_scores_the_same_alone_among_others_as_a_path_and_as_bytes(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("full", recipe={"epochs": 1})
    trainers.train(job)
    model, contents = serving.load(job.folder), [encoded(stripes(i, "down", side=24 + i)) for i in range(40)]
    together = model.probabilities(contents)
    (tmp_path / "a.png").write_bytes(contents[3])
    np.testing.assert_allclose(model.probabilities([contents[3]]), together[3:4], atol=1e-5)
    np.testing.assert_allclose(model.probabilities([tmp_path / "a.png"]), together[3:4], atol=1e-5)
    assert model.probabilities([]).shape == (0, 2)


@pytest.mark.parametrize("branch", BRANCHES["image-classification"])
def test_serving_images_works_without_the_project_and_without_torchvision(
    branch: str, make_job: MakeJob, tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere"
    trainers.train(make_job(branch, recipe={"epochs": 1}, folder=place / "model"))
    shutil.copytree(Path(str(serving.__file__)).parent, place / "serving")
    (place / "a.png").write_bytes(encoded(stripes(0, "down")))
    code = "import serving, sys; print(serving.load('model').probabilities(['a.png']).argmax());"
    code += "assert not {name.split('.')[0] for name in sys.modules} & {'tasks', 'torchvision'}"
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("0", "1")


def test_the_baseline_of_images_imports_no_torch() -> None:
    code = "import sys; from tasks.trainers.vision import baseline; from tasks.serving import images;"
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_convolution_pads_as_tensorflow_does() -> None:
    """SAME: an odd pixel of padding is added on the right and below, not on the left."""
    layer = networks.Convolution(1, 1, 3, 2, cut=False).eval()
    with torch.no_grad():
        layer.conv.weight.copy_(torch.arange(9.0).reshape(1, 1, 3, 3))
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 0] = 1
    assert layer(image)[0, 0, 0, 0].item() == pytest.approx(0.0)  # the kernel's corner, not its middle
    assert layer(torch.zeros(1, 1, 5, 5)).shape == (1, 1, 3, 3)
