"""A trained model as one folder that `mlflow.pyfunc` loads anywhere, without any code of this project.

In it: `artifacts/model` (the files of `model/`), `code/serving`, the script that MLflow runs, what packages it needs, and
in `records/` the model card and the records about the model. No pickle.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from tasks import answers, model_card
from tasks.answers import Rows
from tasks.documents import Document
from tasks.model_card import About
from tasks.records import sha256_of, sha256_of_file
from tasks.runs import RESULTS

MODEL = Path("model")
HERE = Path(__file__).parent
RECORDS = ("decision.json", "plan.json", "train.json", "evaluation.json", "audit.json")
NEEDS = {
    "linear": ("numpy", "pandas", "safetensors"),
    "encoder": ("numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers"),
    "image-linear": ("numpy", "pandas", "pillow", "safetensors"),
    "image": ("numpy", "pandas", "pillow", "safetensors", "torch", "transformers"),
}
LEFT_BY_MLFLOW = "registered_model_meta"  # name and version, written when a version is loaded from a local store
Manifest = dict[str, str]


def pack(folder: Path, about: About) -> None:
    """The model as `mlflow.pyfunc` loads it, with the records about it beside."""
    kind = _kind()
    script = "served_images.py" if kind.startswith("image") else "served.py"
    needs = [f"{package}=={installed(package).partition('+')[0]}" for package in ("mlflow", *NEEDS[kind])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about type hints of MLflow's own classes
        import mlflow.pyfunc
    mlflow.pyfunc.save_model(
        str(folder),
        python_model=str(HERE / script),
        code_paths=[str(HERE / "serving")],
        artifacts={"model": str(MODEL)},
        pip_requirements=needs,
    )
    described = folder / "MLmodel"
    described.write_text(described.read_text().replace(str(HERE / script), script))
    kept = folder / "records"
    kept.mkdir()
    for name in RECORDS:
        shutil.copyfile(RESULTS / name, kept / name)
    (kept / "model_card.md").write_text(model_card.card(about, about.training.files), encoding="utf-8")


def _kind() -> str:
    """The key of NEEDS for what lies in `model/`."""
    told = MODEL / "serving.json"
    kind = str(json.loads(told.read_text(encoding="utf-8")).get("kind")) if told.exists() else ""
    if kind.startswith("image"):
        return kind if kind in NEEDS else "image"
    return "encoder" if (MODEL / "tokenizer.json").exists() else "linear"


def guesses(folder: Path, texts: Sequence[str | bytes]) -> list[str]:
    """The likeliest label of each text or image (bytes), by the version's own code, from source, and its own files."""
    with _no_bytecode():
        model = code_of(folder).load(folder / "artifacts" / "model")
    return [model.labels[i] for i in model.probabilities(texts).argmax(1)]


def read(folder: Path, rows: Sequence[Document]) -> Rows:
    """What a version that writes makes of the rows, by its own code, from source, and its own files."""
    with _no_bytecode():
        model = code_of(folder).load_generator(folder / "artifacts" / "model")
        return answers.measured(model, rows)


def code_of(folder: Path) -> ModuleType:
    """The version's own `serving`, under a name of its own, so that two versions can be loaded in one process.

    Without bytecode: none is left beside the source, and `registry.verify` removes what others left there.
    """
    source = folder / "code" / "serving" / "__init__.py"
    name = f"serving_{sha256_of(manifest(source.parent))[:12]}"
    spec = spec_from_file_location(name, source, submodule_search_locations=[str(source.parent)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@contextmanager
def _no_bytecode() -> Iterator[None]:
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def manifest(folder: Path) -> Manifest:
    """Each file below `folder` with its sha256."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: sha256_of_file(path) for name, path in files.items() if name != LEFT_BY_MLFLOW}


def differences(there: Manifest, signed: Manifest) -> list[str]:
    """What of `there` is not as in `signed`, in words."""
    gone = [f"{name} is missing" for name in signed if name not in there]
    changed = [f"{name} was changed" for name in signed if name in there and there[name] != signed[name]]
    return gone + changed + [f"{name} was added" for name in there if name not in signed]
