"""A model folder is all that serving needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks import serving, trainers
from tasks.trainers import Job
from tests.trainers.conftest import make_rows

MakeJob = Callable[..., Job]


@pytest.fixture(params=["baseline", "probe", "full"])
def folder(request: pytest.FixtureRequest, make_job: MakeJob) -> Path:
    job = make_job(request.param, recipe={"epochs": 1})
    trainers.train(job)
    return job.folder


def test_a_text_scores_the_same_alone_and_among_others(folder: Path) -> None:
    texts = [row.text for row in make_rows(40, ["negative", "positive"], seed=2)]
    model = serving.load(folder)
    together = model.probabilities(texts)
    alone = np.concatenate([model.probabilities([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)


def test_no_texts_empty_texts_and_very_long_ones_are_scored(folder: Path) -> None:
    model = serving.load(folder)
    assert model.probabilities([]).shape == (0, 2)
    assert np.isfinite(model.probabilities(["", "   ", "brilliant " * 5000, "\U0001f600 été"])).all()


def test_serving_works_without_the_project(make_job: MakeJob, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    trainers.train(make_job("full", recipe={"epochs": 1}, folder=place / "model"))
    shutil.copytree(Path(str(serving.__file__)).parent, place / "serving")
    code = "import serving, sys; print(serving.load('model').probabilities(['the film was lovely']).argmax());"
    code += "assert not any(name.split('.')[0] == 'tasks' for name in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("0", "1")
    assert done.stderr == ""
