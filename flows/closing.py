"""What a run leaves beside its files: an entry in the ledger, MLflow and Prefect brought up to it, its closing lines."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import artifacts, worktrees
from flows.terminal import say
from tasks import ledger, records, workspace
from tasks.audit.changes import changes
from tasks.params import Params
from tasks.records import Audit, Decision, Evaluation
from tasks.report import words
from tasks.stage import UserError

RESULTS = Path("results")


@dataclass(frozen=True)
class Earlier:
    """The records before this run, as far as there are any."""

    audit: Audit | None
    decision: Decision | None


def earlier(params: Params) -> Earlier:
    """From the last entry of this use case in the ledger: the records in this checkout may be another use case's."""
    entry = last_decision(params)
    if entry is None:
        return Earlier(None, None)
    return Earlier(_earlier(Audit, RESULTS / "audit.json", entry.sha), _earlier(Decision, RESULTS / "decision.json", entry.sha))


def _earlier(kind: type[records.R], path: Path, sha: str) -> records.R | None:
    text = ledger.show(str(path), sha)
    with suppress(ValueError):  # written by another version
        return kind.model_validate_json(text) if text else None
    return None


def finish(params: Params, before: Earlier, ran: list[str], evaluated: bool = False) -> list[str]:
    """Record the decision everywhere; the closing lines."""
    decision = records.read(Decision, RESULTS / "decision.json")
    artifacts.decision(params, decision)
    evaluation = records.read(Evaluation, RESULTS / "evaluation.json") if evaluated else None
    enter(params, decision, evaluation)
    project(params)
    return [
        verdict_line(decision),
        *([measured_line(decision, evaluation)] if evaluation else []),
        f"Record: {_place('decision.json')}." + (f" Report: {_place('report.html')}." if evaluated else ""),
        changed_line(before, decision, ran),
    ]


def _place(name: str) -> Path:
    """Where the record is: from the folder that the person is in, or, in a worktree of the run's own, from the root."""
    return (RESULTS / name).resolve() if worktrees.in_own_worktree() else RESULTS / name


# ---- the lines -------------------------------------------------------------------------------------------------------


def verdict_line(decision: Decision) -> str:
    """`Verdict: lora on MiniLM-L6 (chosen): accuracy 0.812 (90 %: 0.780 to 0.840), for $0.02 ($0.01 to $0.03) of training.`"""
    verdict = decision.verdict
    chosen = artifacts.what(verdict.branch, verdict.base_model)
    if not chosen:
        return f"Verdict: {verdict.status.replace('_', ' ')}. {verdict.reason}"
    option = next(o for o in decision.branches if (o.branch, o.base_model) == (verdict.branch, verdict.base_model))
    seen = option.predicted
    value = (
        f"no prediction ({seen.reason})"
        if seen.value is None
        else f"{decision.metric.name} {seen.value:.3f} (90 %: {seen.low90:.3f} to {seen.high90:.3f})"
    )
    usd = artifacts.span(option.cost_usd, words.small_money)
    return f"Verdict: {chosen} ({verdict.status.replace('_', ' ')}): {value}, for {usd} of training."


def measured_line(decision: Decision, evaluation: Evaluation) -> str:
    if evaluation.status == "nothing_to_do":
        return "Nothing was trained."
    name = decision.metric.name
    against = "; ".join(
        f"{diff.value:+.3f} (95 %: {diff.low95:+.3f} to {diff.high95:+.3f}) against {diff.against}" for diff in evaluation.diff
    )
    return f"Trained and measured on {evaluation.rows:,} untouched rows: {name} {evaluation.metrics[name]:.3f}; {against}."


def changed_line(before: Earlier, decision: Decision, ran: list[str]) -> str:
    """What is new since the last run, in the data and in the verdict."""
    data = data_changes(before)
    said = list(data)
    if before.decision is None:
        said.append("this is the first decision")
    elif (old := _chosen(before.decision)) != (new := _chosen(decision)):
        said.append(f"the verdict is {new}, formerly {old}")
    elif ran:
        said.append(f"the verdict stays {new}")
    if not ran:
        said.append("nothing had to be run")
    return f"Changed: {'; '.join(said)}."


def data_changes(before: Earlier) -> list[str]:
    return changes(before.audit, records.read(Audit, RESULTS / "audit.json")) if before.audit else []


def audit_lines(before: Earlier) -> list[str]:
    audit = records.read(Audit, RESULTS / "audit.json")
    labels = ", ".join(f"{label} {count:,}" for label, count in audit.labels.items())
    rejected = sum(audit.rows_rejected.values())
    return [
        f"Data: {audit.rows_kept:,} of {audit.rows_delivered:,} rows kept ({labels}); {rejected:,} rejected,"
        f" {audit.exact_duplicates:,} exact duplicates dropped; {audit.train.rows:,} train, {audit.test.rows:,} test.",
        *audit.warnings,
        f"Changed: {'; '.join(data_changes(before)) or ('nothing' if before.audit else 'this is the first audit')}.",
    ]


def registered_line(registered: dict[str, Any] | None) -> str:
    if registered is None:
        return "Registered: nothing, as nothing was trained."
    if registered["version"] is None:
        return f"Not registered: {registered['reason']}"
    what = "new" if registered["created"] else "as before"
    if registered["challenger"]:
        what += ", challenger"
    elif registered["created"]:
        what += "; the challenger stays, as params.yaml has other settings"
    return f"Registered: {registered['name']} version {registered['version']} ({what})."


def _chosen(decision: Decision) -> str:
    verdict = decision.verdict
    return artifacts.what(verdict.branch, verdict.base_model) or verdict.status.replace("_", " ")


# ---- the ledger and MLflow -------------------------------------------------------------------------------------------


def last_decision(params: Params) -> ledger.Entry | None:
    """The newest entry of the ledger that speaks of a decision for this use case."""
    ours = (
        e for e in ledger.entries() if e.details.get("decision_sha256") and e.details.get("use_case") == params.use_case.name
    )
    return next((entry for entry in ours if entry.what.startswith("decision: ")), None)


def enter(params: Params, decision: Decision, evaluation: Evaluation | None) -> None:
    """An entry in the ledger, unless the last one says the same."""
    details = {
        "use_case": params.use_case.name,
        "decision_sha256": records.sha256_of_file(RESULTS / "decision.json"),
        "evaluation_sha256": records.sha256_of_file(RESULTS / "evaluation.json") if evaluation else None,
        "data_md5": decision.inputs.get("data_md5"),
    }
    last = last_decision(params)
    if last is None or last.details != details:
        sha = ledger.append(f"decision: {params.use_case.name}: {_chosen(decision)}", details)
        say(f"ledger: {sha[:12]}")


def project(params: Params) -> None:
    """Bring MLflow up to the records and link to it. If that fails, it is said, and nothing else fails."""
    from tasks import tracking

    try:
        tracking.project(params)
        experiment, run = _in_mlflow(params)
        if run:
            artifacts.mlflow(params, experiment, run)
    except UserError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        say(f"MLflow is not up to date, `python -m tasks.tracking` mends it: {first}")


def _in_mlflow(params: Params) -> tuple[str, str | None]:
    """Ids of the experiment and of the parent run; remembered, as MLflow takes seconds to import."""
    from tasks import tracking

    known = workspace.shared() / "mlflow_parents.json"
    ids = dict(json.loads(known.read_text())) if known.exists() else {}
    audit = records.read(Audit, RESULTS / "audit.json")
    key = " ".join([tracking.store(), params.use_case.name, audit.train.sha256, audit.test.sha256])
    if key not in ids:
        ids[key] = tracking.parent_of(params)
        part = known.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(ids))
        part.replace(known)  # other runs read it
    experiment, run = ids[key]
    return experiment, run
