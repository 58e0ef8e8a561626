"""The evidence for a promotion: every gate measured now, challenger and champion on the same rows."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks import answers, champion, documents, gates, images, ledger, packed, params, records, registry
from tasks.documents import Document
from tasks.gates import Check
from tasks.metrics import Ints
from tasks.params import Params
from tasks.records import Evaluation, Record, md5_of_file, sha256_of
from tasks.stage import UserError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

TEST = Path("data/split/test.jsonl")


class Evidence(Record):
    """What is shown to the approver and signed: equal bytes as long as files, champion, rows and gates are the same."""

    model: str
    version: str
    run_id: str | None
    manifest_sha256: str | None
    champion: str | None
    """The version that it would replace."""
    test_sha256: str | None
    """Of the rows that both were measured on; null without a champion."""
    min_gain: float
    confidence: float
    checks: list[Check]

    @property
    def sha256(self) -> str:
        return sha256_of(self.model_dump(mode="json"))

    @property
    def refusal(self) -> str | None:
        return gates.refusal(self.checks)


def settings_of(found: ModelVersion) -> Params:
    """The settings that the version was made with, as the ledger's commit that its tag `git.sha` names holds them."""
    sha = found.tags.get("git.sha")
    text = ledger.show("params.yaml", sha) if sha else None
    if text is None:
        raise UserError(
            f"{found.name} version {found.version}: its tag git.sha names no commit here that holds its params.yaml; "
            "put that file in place of params.yaml and ask again"
        )
    return params.of_text(text, f"params.yaml of {str(sha)[:12]}")


def measure(settings: Params, version: str) -> Evidence:
    """Verify the stored files, then measure every gate. A version whose files changed is not loaded."""
    name = settings.use_case.name
    found, now = registry.version_of(name, version), champion.current(name)
    evidence = Evidence(
        model=name,
        version=str(found.version),
        run_id=found.run_id,
        manifest_sha256=found.tags.get("manifest.sha256"),
        champion=now.version if now else None,
        test_sha256=None,
        min_gain=settings.gates.min_gain,
        confidence=settings.gates.confidence,
        checks=[gates.intact(registry.verify(name, version))],
    )
    if evidence.refusal:
        return evidence
    with registry.files_of(found) as folder:
        evaluation = records.read(Evaluation, folder / "records" / "evaluation.json")
        checks = [*evidence.checks, gates.finished(evaluation)]
        checks += gates.better_than_baselines(evaluation, settings.gates.confidence)
        if now is None:
            return evidence.model_copy(update={"checks": checks})
        rows = test_rows(found.tags["git.sha"])
        checks.append(_against_champion(settings, folder, now.version, rows))
    return evidence.model_copy(update={"checks": checks, "test_sha256": documents.sha256(rows)})


def _against_champion(settings: Params, challenger: Path, champion_version: str, rows: list[Document]) -> Check:
    name, gate = settings.use_case.name, "better than the champion"
    if problems := registry.verify(name, champion_version):
        said = f"the champion, version {champion_version}, cannot be measured: {problems[0]}; roll back first"
        return Check(gate=gate, passed=False, said=said)
    compare = _texts if settings.use_case.task == "text-generation" else _labels
    with registry.files_of(registry.version_of(name, champion_version)) as folder:
        return compare(settings, challenger, folder, rows)


def _labels(settings: Params, challenger: Path, champion: Path, rows: list[Document]) -> Check:
    inputs, truth = images.inputs(rows), [row.label for row in rows]
    ours, theirs = (packed.guesses(folder, inputs) for folder in (challenger, champion))
    labels = sorted({*truth, *ours, *theirs})
    truth_, ours_, theirs_ = (_numbers(column, labels) for column in (truth, ours, theirs))
    return gates.better_than_champion(settings.objective.metric, truth_, ours_, theirs_, settings.gates)


def _texts(settings: Params, challenger: Path, champion: Path, rows: list[Document]) -> Check:
    metric = settings.objective.metric
    ours, theirs = (packed.read(folder, rows) for folder in (challenger, champion))
    for whose, made in (("this version", ours), ("the champion", theirs)):
        if not answers.has(made, metric):
            said = f"{whose} has no {metric} on these rows; set objective.metric to what both have, or roll back first"
            return Check(gate="better than the champion", passed=False, said=said)
    return gates.writes_better_than_champion(metric, ours, theirs, settings.gates)


def _numbers(column: list[str], labels: list[str]) -> Ints:
    return np.array([labels.index(label) for label in column], np.int64)


def test_rows(commit: str) -> list[Document]:
    """The test split that the ledger's commit names: the file here if it is that one, otherwise from DVC's cache."""
    lock = ledger.show("dvc.lock", commit)
    if TEST.exists() and _md5_of(lock, TEST) in (None, md5_of_file(TEST)):
        return documents.read(TEST)
    rows = documents.read(_cached(lock, TEST))
    if not any(row.image for row in rows):
        return rows
    store = _cached(lock, TEST.with_name(images.STORE))
    return [replace(row, image=f"{store}/{str(row.image).rpartition('/')[2]}") for row in rows]


def _cached(lock: str | None, out: Path) -> Path:
    """What the audit of `lock` wrote as `out`, in DVC's cache."""
    md5 = _md5_of(lock, out)
    cache = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True).stdout.strip()
    path = Path(cache) / "files" / "md5" / md5[:2] / md5[2:] if md5 and cache else None
    if path is None or not path.exists():
        raise UserError(f"{out}: not here and not in DVC's cache; run `dvc pull` or `make run` in the main checkout")
    if md5_of_file(path) != md5:
        raise UserError(f"{path}: DVC's cache holds other bytes than its name says; remove it and `dvc pull`")
    return path


def _md5_of(lock: str | None, out: Path) -> str | None:
    from ruamel.yaml import YAML

    stages = YAML(typ="safe").load(lock)["stages"] if lock else {}
    outs = stages.get("audit", {}).get("outs", [])
    return next((str(found["md5"]) for found in outs if found["path"] == str(out)), None)


def shown(evidence: Evidence) -> str:
    """The evidence as markdown, for the person who approves."""
    replaces = f"replace version {evidence.champion}" if evidence.champion else "be the first champion"
    return "\n".join(
        [
            f"## {evidence.model}: may version {evidence.version} {replaces}?",
            "",
            gates.table(evidence.checks),
            "",
            f"The gates are measured once more after your answer. Evidence `{evidence.sha256[:16]}`.",
        ]
    )


def entry(evidence: Evidence) -> dict[str, object]:
    """For the ledger."""
    return {"evidence": json.loads(evidence.model_dump_json()), "evidence_sha256": evidence.sha256}
