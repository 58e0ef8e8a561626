"""Registration with a real store: what a version carries, that it is one, and that nobody changes it unseen."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import images, ledger, model_card, packed, records, registry, tracking, trainers
from tasks.recipes import recipe
from tasks.registry import register, verify
from tasks.stage import Refused, UserError
from tests import pictures, use_case
from tests.use_case import NAME, settings

pytestmark = pytest.mark.filterwarnings("ignore:.*noload:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Iterator[Path]:
    """A use case with a trained model, the current folder of this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = use_case.repository(tmp_path / "person", settings())
    use_case.trained(180)
    shutil.copyfile(empty_store, folder / "mlflow.db")
    yield folder
    use_case.leave()


def version(number: int) -> Any:
    return tracking.client().get_model_version(NAME, str(number))


def stored(number: int) -> Path:
    with registry.files_of(version(number)) as folder:
        return folder


def test_a_version_names_its_model_data_decision_and_the_ledgers_commit(repo: Path) -> None:
    made = register(settings())
    assert made == registry.Registered(NAME, "1", True, True)
    tags = version(1).tags
    assert (tags["dvc.md5"], tags["branch"]) == ("d41d8cd9", "full")
    for name in ("decision", "evaluation"):
        line = subprocess.run(["sha256sum", f"results/{name}.json"], capture_output=True, text=True, check=True).stdout
        assert tags[f"{name}.sha256"] == line.split()[0]
    assert tags["git.sha"] == ledger.tip()
    assert ledger.show("results/decision.json", tags["git.sha"]) == (repo / "results" / "decision.json").read_text()
    assert version(1).aliases == ["challenger"]
    assert "| **this model** | 0.950 (" in version(1).description
    assert verify(NAME, 1) == []


@pytest.mark.usefixtures("repo")
def test_the_same_model_with_the_same_evaluation_is_one_version_and_one_run() -> None:
    register(settings())
    api = tracking.client()
    (where,) = (e.experiment_id for e in api.search_experiments(filter_string=f"name = '{NAME}'"))
    before, tip = len(api.search_runs([where])), ledger.tip()
    assert register(settings()) == registry.Registered(NAME, "1", False, True)
    assert (len(api.search_runs([where])), ledger.tip()) == (before, tip)
    use_case.trained(190)
    assert register(settings()) == registry.Registered(NAME, "2", True, True)
    assert api.get_registered_model(NAME).aliases == {"challenger": 2}


def test_other_settings_tried_beside_the_checkout_register_without_taking_its_challenger(repo: Path, tmp_path: Path) -> None:
    register(settings())
    use_case.git(repo, "worktree", "add", "--detach", str(tmp_path / "beside"))
    use_case.enter(tmp_path / "beside")
    other, strange = settings(objective={"target": 0.9}), settings(use_case={"name": "tickets"})
    use_case.trained(190)
    assert register(other) == registry.Registered(NAME, "2", True, False)
    assert register(other) == registry.Registered(NAME, "2", False, False)
    assert version(1).aliases == ["challenger"]
    assert version(2).tags["git.sha"] == ledger.tip()
    assert register(strange) == registry.Registered("tickets", "1", True, True)
    shutil.copytree("results", repo / "results", dirs_exist_ok=True)
    shutil.copytree("model", repo / "model", dirs_exist_ok=True)
    use_case.enter(repo)
    assert register(other) == registry.Registered(NAME, "2", False, True)  # these settings have become the person's own


def test_the_cards_own_lines_load_a_registered_model_in_another_folder_without_the_project(repo: Path, tmp_path: Path) -> None:
    register(settings())
    card = (stored(1) / "records" / "model_card.md").read_text()
    lines = card.partition("```python\n")[2].partition("```")[0].replace("@champion", "@challenger")
    script = (
        lines.replace("http://127.0.0.1:5000", f"sqlite:///{repo}/mlflow.db") + "import sys, pandas as pd\n"
        "for given in (['word1 was said', 'word2 was said'], pd.DataFrame({'review': ['word1 was said', 'word2 was said']})):\n"
        "    out = model.predict(given)\n"
        "    print(list(out.columns), list(out.label), [round(float(x), 3) for x in out.probability_positive])\n"
        "print([name for name in sys.modules if name.startswith('tasks')])\n"
    )
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    line = "['label', 'probability_negative', 'probability_positive'] ['positive', 'negative'] [0.999, 0.0]"
    assert (done.returncode, done.stdout) == (0, f"{line}\n{line}\n[]\n"), done.stderr
    assert verify(NAME, 1) == []


@pytest.mark.usefixtures("repo")
def test_the_files_of_a_version_are_its_model_its_code_and_its_records_and_no_pickle() -> None:
    register(settings())
    names = set(packed.manifest(stored(1)))
    assert {"artifacts/model/linear.safetensors", "code/serving/__init__.py", "served.py", "records/model_card.md"} <= names
    assert {f"records/{name}.json" for name in ("decision", "plan", "evaluation", "audit")} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".bin", ".pt"))]
    card = (stored(1) / "records" / "model_card.md").read_text()
    for said in (
        "# movie-reviews: full",
        "label = positive",
        "0.950",
        "tfidf",
        "None: nothing",
        "2027-05-01",
        "linear.safetensors",
    ):
        assert said in card
    assert "/tmp/" not in (stored(1) / "MLmodel").read_text()


def test_training_again_cannot_touch_a_version(repo: Path) -> None:
    register(settings())
    use_case.trained(20)
    shutil.rmtree(repo / "model")
    assert verify(NAME, 1) == []
    texts = [row.text for row in use_case.ROWS]
    assert sum(a == row.label for a, row in zip(packed.guesses(stored(1), texts), use_case.ROWS, strict=True)) == 190


@pytest.mark.usefixtures("repo")
def test_a_changed_missing_or_added_file_is_found() -> None:
    register(settings())
    folder = stored(1)
    weights = folder / "artifacts" / "model" / "linear.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    (folder / "records" / "audit.json").unlink()
    (folder / "code" / "sitecustomize.py").write_text("print('mine')")
    assert verify(NAME, 1) == [
        "records/audit.json is missing",
        "artifacts/model/linear.safetensors was changed",
        "code/sitecustomize.py was added",
    ]
    with pytest.raises(Refused, match=r"its stored files changed: records/audit\.json is missing"):
        register(settings())
    shutil.rmtree(folder)
    assert verify(NAME, 1) == [f"{folder} is gone from the store"]


@pytest.mark.usefixtures("repo")
def test_forged_bytecode_beside_the_checked_source_does_not_survive_the_check() -> None:
    register(settings())
    cache = stored(1) / "code" / "serving" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "__init__.cpython-311.pyc").write_bytes(b"forged")
    assert verify(NAME, 1) == []
    assert not cache.exists()


@pytest.mark.usefixtures("repo")
def test_a_version_made_by_hand_or_with_anothers_commit_does_not_verify() -> None:
    register(settings())
    api = tracking.client()
    unsigned = ["the ledger has no registration of version 2 under its tag git.sha"]
    api.create_model_version(NAME, version(1).source, None, tags={"git.sha": version(1).tags["git.sha"]})
    assert verify(NAME, 2) == unsigned
    api.set_model_version_tag(NAME, "1", "git.sha", ledger.append("something else", {}))
    assert verify(NAME, 1) != []


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"done": 9}, "its training is not finished: 9 of 10 steps"),
        ({"baselines": ("majority",)}, "results/evaluation.json lacks the baselines tfidf"),
    ],
)
def test_an_unfinished_training_and_a_missing_baseline_are_refused(options: dict[str, Any], reason: str) -> None:
    use_case.trained(180, **options)
    with pytest.raises(Refused, match=reason):
        register(settings())


@pytest.mark.usefixtures("repo")
def test_files_and_records_that_do_not_belong_together_are_refused() -> None:
    evaluation = Path("results/evaluation.json").read_bytes()
    use_case.trained(170)
    Path("results/evaluation.json").write_bytes(evaluation)
    with pytest.raises(Refused, match=r"evaluation\.json is of another model"):
        register(settings())
    use_case.trained(170)
    Path("model/serving.json").write_text("{}")
    with pytest.raises(Refused, match="model/ holds other files"):
        register(settings())
    Path("results/evaluation.json").unlink()
    with pytest.raises(UserError, match=r"evaluation\.json: not found"):
        register(settings())


@pytest.mark.usefixtures("repo")
def test_nothing_is_registered_where_no_branch_fits() -> None:
    records.write(use_case.plan().model_copy(update={"branch": None}), Path("results/plan.json"))
    assert register(settings()) is None


@pytest.mark.usefixtures("repo")
def test_a_registration_that_was_cut_short_leaves_no_second_run_or_version(monkeypatch: pytest.MonkeyPatch) -> None:
    for broken in ("create_model_version", "set_registered_model_alias"):
        use_case.trained(180 if broken == "create_model_version" else 190)
        with monkeypatch.context() as patch:
            patch.setattr(f"mlflow.MlflowClient.{broken}", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                register(settings())
        register(settings())
    api = tracking.client()
    assert [int(v.version) for v in api.search_model_versions(f"name = '{NAME}'", order_by=["version_number ASC"])] == [1, 2]
    assert (verify(NAME, 1), verify(NAME, 2)) == ([], [])


@pytest.mark.usefixtures("repo")
def test_an_unknown_version_is_one_line() -> None:
    with pytest.raises(UserError, match="movie-reviews has no version 7: nothing is registered under that name"):
        registry.version_of(NAME, 7)
    register(settings())
    with pytest.raises(UserError, match="movie-reviews has no version 7: it has 1"):
        registry.version_of(NAME, 7)


@pytest.mark.parametrize("branch", ["baseline", "scratch"])
def test_a_registered_model_of_images_takes_paths_and_bytes_without_the_project(
    branch: str, repo: Path, tmp_path: Path
) -> None:
    rows = pictures.rows(40, tmp_path / "pictures")
    plan = recipe(branch, "image-classification", 40) | {"epochs": 1}
    job = trainers.Job(branch, plan, None, pictures.LABELS, rows, 0, repo / "model", task="image-classification")
    trainers.train(job)
    packed.pack(tmp_path / "packed", model_card.about(settings()))
    (tmp_path / "a.png").write_bytes(images.read(str(rows[0].image)))
    script = (
        "import sys, mlflow, pandas as pd\n"
        "content = open('a.png', 'rb').read()\n"
        "model = mlflow.pyfunc.load_model('packed')\n"
        "first, *rest = [model.predict(given) for given in (['a.png', content], pd.DataFrame({'image': [content, 'a.png']}))]\n"
        "assert list(first.columns) == ['label', 'probability_across', 'probability_down'], first\n"
        "assert all(first.equals(other) for other in rest)\n"
        "assert not {name for name in sys.modules if name.split('.')[0] in ('tasks', 'torchvision')}\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    content = images.read(str(rows[0].image))
    assert packed.guesses(tmp_path / "packed", [content, content])[0] in pictures.LABELS
