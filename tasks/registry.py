"""The MLflow registry: challenger versions with files that cannot change unseen.

A version's files lie in the artifact store under a run of its own: the model as MLflow loads it, without any code of this
project but `serving`, and the records about it. MLflow guards them in no way, so their sha256 go into the ledger
before the version exists; the version's tag `git.sha` names that commit, and `verify` compares. The same model with the
same evaluation is one version, however often it is registered.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tasks import gates, ledger, model_card, packed, params, records, runs, tracking, workspace
from tasks.model_card import About
from tasks.params import Params
from tasks.records import Plan, sha256_of, sha256_of_file
from tasks.runs import RESULTS, Run
from tasks.stage import Refused, UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Registered:
    name: str
    version: str
    created: bool
    challenger: bool
    """Whether it bears the alias now."""


def register(settings: Params) -> Registered | None:
    """A version of what lies in `model/` and `results/`; None if the plan names no branch.

    It becomes challenger unless these are other settings than those of the checkout (`_is_beside`), or it was judged before.
    Raises Refused for a model whose training is unfinished, that changed since, or whose evaluation or baselines are
    missing, and for a version whose stored files are no longer those that were registered.
    """
    if records.read(Plan, RESULTS / "plan.json").branch is None:
        return None
    about = model_card.about(settings)
    if reason := unfit(about, packed.manifest(packed.MODEL)):
        raise Refused(f"not registered: {reason}")
    where, parent = tracking.parent_of(settings)
    with workspace.locked("registry"):
        api, name = tracking.client(), settings.use_case.name
        known, beside = _known(api, name, about), _is_beside(settings)
        if known is None:
            return Registered(name, _create(api, where, parent, about, not beside), True, not beside)
        if problems := verify(name, known.version):
            raise Refused(
                f"{name} version {known.version} is registered, but its stored files changed: {problems[0]}; delete it"
            )
        if "promote" not in known.tags and not beside:
            set_alias(api, name, "challenger", known.version)
        challenger = api.get_registered_model(name).aliases.get("challenger")
        return Registered(name, str(known.version), False, str(challenger) == str(known.version))


def _is_beside(settings: Params) -> bool:
    """Whether a worktree's run tries settings of a use case that the checkout's params.yaml is about, but sets otherwise."""
    main = workspace.main_checkout()
    if workspace.root() == main:
        return False
    try:
        ours = params.load(main / "params.yaml")
    except UserError:  # it is being edited
        return True
    return ours.use_case.name == settings.use_case.name and ours != settings


def unfit(about: About, files: packed.Manifest) -> str | None:
    """Why this model must not be registered. `files` are those in `model/`."""
    training, evaluation = about.training, about.evaluation
    missing = [name for name in gates.baselines_of(evaluation) if name not in evaluation.baselines]
    reasons = {
        f"its training is not finished: {training.steps_done} of {training.steps_planned} steps": training.steps_done
        < training.steps_planned,
        "results/train.json is of another plan than results/plan.json": training.plan_sha256
        != sha256_of(about.plan.model_dump(mode="json")),
        "model/ holds other files than results/train.json names": training.files != files,
        "results/evaluation.json is of another model": evaluation.model.get("files_sha256") != sha256_of(training.files),
        f"results/evaluation.json lacks the baselines {', '.join(missing)}": bool(missing),
    }
    return next((f"{reason}; run `dvc repro`" for reason, holds in reasons.items() if holds), None)


def verify(name: str, version: str | int) -> list[str]:
    """What differs between the version's stored files and those that the ledger says were registered.

    Python's bytecode caches, which loading a model from a local store leaves there, are removed: Python would run them in
    place of the source that was checked.
    """
    found = version_of(name, version)
    entry = entry_of(found)
    if entry is None:
        return [f"the ledger has no registration of version {version} under its tag git.sha"]
    try:
        with files_of(found) as folder:
            for cache in list(folder.rglob("__pycache__")):
                shutil.rmtree(cache)
            return packed.differences(packed.manifest(folder), entry.details["files"])
    except FileNotFoundError as error:
        return [str(error)]


def entry_of(found: ModelVersion) -> ledger.Entry | None:
    """The ledger's registration of this version: the commit that its tag names, if it speaks of the version's run."""
    same = {"event": "registration", "use_case": found.name, "run_id": found.run_id}
    entries = (entry for entry in ledger.entries() if entry.sha == found.tags.get("git.sha"))
    return next((entry for entry in entries if same.items() <= entry.details.items()), None)


def version_of(name: str, version: str | int) -> ModelVersion:
    """Raises UserError if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return tracking.client().get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        known = sorted((v.version for v in tracking.client().search_model_versions(f"name = '{name}'")), key=int)
        has = f"it has {', '.join(map(str, known))}" if known else "nothing is registered under that name; run `make run`"
        raise UserError(f"{name} has no version {version}: {has}") from None


@contextmanager
def files_of(found: ModelVersion) -> Iterator[Path]:
    """The folder with the version's files: the store's own where it is a local one, otherwise a copy for a while.

    Raises FileNotFoundError if the files are not in the store.
    """
    uri = tracking.client().get_model_version_download_uri(found.name, found.version)
    if urlsplit(uri).scheme in ("", "file"):
        folder = Path(unquote(urlsplit(uri).path))
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is gone from the store")
        yield folder
        return
    import mlflow.artifacts

    with tempfile.TemporaryDirectory() as place:
        yield Path(mlflow.artifacts.download_artifacts(uri, dst_path=place, tracking_uri=tracking.store()))


def set_alias(api: MlflowClient, name: str, alias: str, version: str | int) -> None:
    """Set it and read it back; of many setters at once MLflow fails one now and then, so it is tried again."""
    from mlflow.exceptions import MlflowException

    for _ in range(3):
        with suppress(MlflowException):
            api.set_registered_model_alias(name, alias, str(version))
        if str(api.get_registered_model(name).aliases.get(alias)) == str(version):
            return
    raise RuntimeError(f"{name}: the alias {alias} does not stay on version {version}; does somebody else set it?")


def _known(api: MlflowClient, name: str, about: About) -> ModelVersion | None:
    """The newest version of this very model and evaluation."""
    wanted = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in _identity(about).items())
    found = api.search_model_versions(f"name = '{name}' and {wanted}")
    return max(found, key=lambda version: int(version.version), default=None)


def _identity(about: About) -> dict[str, str]:
    return {
        "model.sha256": sha256_of(about.training.files),
        "evaluation.sha256": sha256_of_file(RESULTS / "evaluation.json"),
    }


def _create(api: MlflowClient, where: str, above: str | None, about: About, challenger: bool) -> str:
    """Files, then the ledger, then the version that names the ledger's commit, the alias last."""
    name, run = about.settings.use_case.name, _run(about)
    begun = tracking.found(api, where, run.tags["data.version"])[1]
    run_id = begun.get(run.record_sha256) or tracking.begin(api, where, run, above)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        packed.pack(folder, about)
        files = packed.manifest(folder)
        api.log_artifacts(run_id, str(folder), "model")
    entry = {"event": "registration", "use_case": name, "run_id": run_id, "files": files} | _identity(about)
    commit = ledger.append(f"registration: {name}: {about.what}", entry)
    _make_model(api, about)
    made = api.create_model_version(
        name,
        f"{api.get_run(run_id).info.artifact_uri}/model",
        run_id,
        tags=_tags(about) | {"git.sha": commit, "manifest.sha256": sha256_of(files)},
        description=model_card.summary(about),
        await_creation_for=0,
    )
    if challenger:
        set_alias(api, name, "challenger", made.version)
    tracking.complete(api, run_id, run)
    return str(made.version)


def _run(about: About) -> Run:
    parent = runs.planned(about.settings)[0]
    params = {"branch": about.training.branch, "base_model": about.training.base_model and about.training.base_model.name}
    return Run(
        name=f"registration: {about.what}",
        record_sha256=sha256_of(_identity(about)),
        millis=int(time.time() * 1000),
        params={key: str(value or "-") for key, value in params.items()},
        metrics=about.evaluation.metrics,
        tags={"kind": "registration", "branch": str(about.training.branch), "data.version": parent.record_sha256}
        | {key: value for key, value in parent.tags.items() if key == "dvc.md5"},
    )


def _tags(about: About) -> dict[str, str]:
    tags = {
        "dvc.md5": about.audit.data_md5,
        "branch": about.training.branch,
        "base_model": about.training.base_model.name if about.training.base_model else None,
        "decision.sha256": sha256_of_file(RESULTS / "decision.json"),
    }
    return {name: value for name, value in tags.items() if value} | _identity(about)


def _make_model(api: MlflowClient, about: About) -> None:
    from mlflow.exceptions import MlflowException

    case = about.settings.use_case
    described = (
        f"Models for {case.task.replace('-', ' ')}. `champion` is in use, `challenger` is the newest "
        "with the settings of params.yaml, `previous` was in use."
    )
    how = "To ask for a promotion, set the tag `promote` of a version to `requested`."
    try:
        api.create_registered_model(case.name, description=f"{described}\n\n{how}")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
