"""Many base models: all are looked at, the best of those that may be used get the places. Few: nothing is measured."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks import candidates, documents, look, records, screen, shelf
from tasks.ladder import ladder
from tasks.params import Constraints
from tasks.records import Look, Pilot, RankedBase
from tests.trainers.conftest import make_base, make_rows

NAMES = ["one", "two", "three", "four", "five"]


def ranked(*licences: str) -> list[RankedBase]:
    about = {"layers": 6, "parameters": 10, "fertility": 1.2, "model_gb": 0.1}
    return [RankedBase(rank=i, name=f"b{i}", probe_log_loss=i / 10, licence=one, **about) for i, one in enumerate(licences, 1)]


def places(*licences: str) -> list[str]:
    return [one.name for one in look.placed(ranked(*licences), Constraints()) if one.set_aside is None]


def test_the_best_get_the_places() -> None:
    assert places("mit", "mit", "mit", "mit", "mit", "mit") == ["b1", "b2", "b3", "b4"]


def test_those_that_may_be_used_come_first_and_others_take_what_is_left() -> None:
    assert places("cc-by-nc-4.0", "mit", "mit", "mit", "mit", "mit") == ["b2", "b3", "b4", "b5"]
    assert places("cc-by-nc-4.0", "mit", "cc-by-nc-4.0", "mit", "cc-by-nc-4.0") == ["b1", "b2", "b3", "b4"]
    reasons = [one.set_aside for one in look.placed(ranked("cc-by-nc-4.0", *5 * ["mit"]), Constraints())]
    assert reasons[0] == "others look better, or are allowed"
    assert reasons[-1] == "others look better"


def test_a_look_takes_the_largest_low_rung_or_all_folds() -> None:
    plan = ladder(make_rows(300, ["negative", "positive"]), [20, 40, 80, 160], 2)
    assert {(step.n, step.seed) for step in look.steps(plan)} == {(40, 0), (40, 1)}
    assert len(look.steps(ladder(make_rows(60, ["negative", "positive"]), [100, 200, 400], 2))) == 5


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("bases") / "base")


def prepare(folder: Path, base: Path, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A workplace with `names` on its shelf, all of the same weights and different files, and rows to look at."""
    monkeypatch.chdir(folder)
    subprocess.run(["git", "init", "-q"], check=True)
    listed = ", ".join(names)
    Path("params.yaml").write_text(f"candidates: [{listed}]\npilots: {{branches: [probe], rungs: [20, 30, 40], seeds: 1}}\n")
    documents.write(make_rows(80, ["negative", "positive"]), Path("train.jsonl"))
    entries = {}
    for name in names:
        own = folder / "bases" / name
        shutil.copytree(base, own)
        (own / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "name": name}))
        files = {file: records.sha256_of_file(own / file) for file in shelf.FILES}
        licence = "cc-by-nc-4.0" if name == "two" else "mit"
        entries[name] = {"licence": licence, "source": "-", "parameters": 1000, "max_tokens": 64, "files": files}
        shelf._put(name, own, shelf.FILES)
    Path("shelf.yaml").write_text(json.dumps(entries))
    candidates.main(Path("shelf.yaml"), Path("train.jsonl"), Path("candidates.json"))


def test_of_five_bases_four_are_screened_and_the_look_measures_no_cell_twice(
    tmp_path: Path, bases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, bases, NAMES, monkeypatch)
    look.main(Path("train.jsonl"), Path("candidates.json"), Path("results/look.json"))
    found = records.read(Look, Path("results/look.json"))
    assert found.continued == ["one", "three", "four", "five"]
    assert {cell.base_model for cell in found.cells} == set(NAMES)
    screen.main(Path("train.jsonl"), Path("candidates.json"), Path("results/screen/probe.json"))
    cells = records.read(Pilot, Path("results/screen/probe.json")).cells
    assert {cell.base_model for cell in cells} == set(found.continued)
    assert {cell.key for cell in cells if cell.n == 30} < {cell.key for cell in found.cells}


def test_few_bases_are_all_screened_and_nothing_is_measured_for_that(
    tmp_path: Path, bases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, bases, NAMES[:4], monkeypatch)
    look.main(Path("train.jsonl"), Path("candidates.json"), Path("results/look.json"))
    assert records.read(Look, Path("results/look.json")) == Look(continued=NAMES[:4], ranked=[], cells=[])
