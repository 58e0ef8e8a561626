"""Promotion and watching, with a real MLflow store, a real ledger and a real Prefect server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, LogFilter, LogFilterFlowRunId
from prefect.logging.handlers import APILogHandler

from tasks import champion, ledger, promotion, registry, tracking
from tasks.stage import UserError
from tests import use_case
from tests.use_case import NAME, settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PROJECT = Path(__file__).parent.parent.parent
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*noload:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("api"),
]
YES = {"approve_as": "Zoë", "reason": "measured better"}


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Iterator[Path]:
    """A use case with two registered versions: 1 is right in 160 of 200 rows, 2 in 190."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = use_case.repository(tmp_path / "person", settings())
    shutil.copyfile(empty_store, folder / "mlflow.db")
    for known in (120, 180):
        use_case.trained(known)
        registry.register(settings())
    yield folder
    use_case.leave()


def promote(version: int = 0, **options: Any) -> Any:
    from flows.promote import promote

    return promote(NAME, str(version), return_state=True, **options)


def aliases() -> dict[str, int]:
    return dict(tracking.client().get_registered_model(NAME).aliases)


def tags(version: int) -> dict[str, str]:
    return dict(tracking.client().get_model_version(NAME, str(version)).tags)


def hand_set(version: int) -> None:
    tracking.client().set_registered_model_alias(NAME, "champion", str(version))


def watch() -> list[str]:
    from flows.watch import watch

    return watch()


def stored(version: int) -> Path:
    with registry.files_of(registry.version_of(NAME, version)) as folder:
        return folder


@pytest.mark.usefixtures("two")
def test_a_better_version_becomes_champion_signed_before_the_alias_and_can_go_back() -> None:
    assert promote(1, **YES).is_completed()
    assert (aliases(), tags(1)["promote"]) == ({"champion": 1, "challenger": 2}, "done")
    assert promote(2, **YES).is_completed()
    assert aliases() == {"champion": 2, "previous": 1}
    entry = ledger.entries()[0]
    assert entry.what == "promotion: movie-reviews: version 2"
    assert entry.details["approval"] == {"who": "Zoë", "reason": "measured better"}
    checks = {check["gate"]: check for check in entry.details["evidence"]["checks"]}
    assert set(checks) == {"files", "training", "better than majority", "better than tfidf", "better than the champion"}
    assert "accuracy 0.950 against 0.800 on the same 200 rows: +0.150" in checks["better than the champion"]["said"]
    assert promote(rollback=True).is_completed()
    assert (aliases(), tags(2)["promote"]) == ({"champion": 1}, "rolled back")
    state = promote(rollback=True)
    assert (state.name, state.message) == ("Refused", "movie-reviews: there is no earlier champion to go back to")
    assert ledger.verify(tags(n)["git.sha"] for n in (1, 2)) == []


@pytest.mark.usefixtures("two")
def test_a_regression_and_a_tie_are_refused_and_the_refusal_is_recorded() -> None:
    promote(2, **YES)
    state = promote(1, **YES)
    assert state.name == "Refused"
    assert "better than the champion: accuracy 0.800 against 0.950" in state.message
    assert tags(1)["promote"] == "refused"
    assert tags(1)["promote.reason"] in state.message
    assert ledger.entries()[0].details["event"] == "refused"
    use_case.trained(181, done=11, planned=11)  # word 180 is negative, as all unknown words are held to be
    registry.register(settings())
    assert "+0.000 (95 %: +0.000 to +0.000); better with 0 %" in promote(3, **YES).message
    assert aliases() == {"champion": 2, "challenger": 3}


@pytest.mark.usefixtures("two")
def test_a_first_champion_must_beat_the_baselines() -> None:
    use_case.trained(20)
    registry.register(settings())
    state = promote(3, **YES)
    assert state.name == "Refused"
    assert "better than tfidf: +0.000" in state.message


def test_a_model_that_params_yaml_is_no_longer_about_is_promoted_by_its_own_settings_and_rolled_back(two: Path) -> None:
    promote(1, **YES)
    (two / "params.yaml").write_text(settings(use_case={"name": "tickets"}, gates={"min_gain": 0.9}).model_dump_json())
    assert promote(2, **YES).is_completed()
    assert ledger.entries()[0].details["evidence"]["min_gain"] == 0
    (two / "params.yaml").write_text("use_case: {nam")
    assert promote(rollback=True).is_completed()
    assert aliases() == {"champion": 1}


@pytest.mark.usefixtures("two")
def test_files_that_changed_in_the_store_are_refused_and_not_run() -> None:
    (stored(2) / "code" / "serving" / "__init__.py").write_text("raise SystemExit('ran what nobody checked')")
    state = promote(2, **YES)
    assert state.message == "movie-reviews version 2 refused: files: code/serving/__init__.py was changed"
    promote(1, **YES)
    (stored(1) / "artifacts" / "model" / "serving.json").unlink()
    use_case.trained(190)
    registry.register(settings())
    assert "the champion, version 1, cannot be measured: artifacts/model/serving.json is missing" in promote(3, **YES).message


@pytest.mark.usefixtures("two")
def test_an_approver_without_a_reason_and_a_name_that_nobody_registered_are_the_users_mistake() -> None:
    from flows.promote import promote as flow

    assert (state := promote(1, approve_as="Zoë")).name == "WrongInput", state.message
    assert "has no version 9: it has 1, 2" in promote(9, **YES).message
    assert "version 1 does not bear the alias champion" in promote(1, by_hand=True).message
    assert flow(return_state=True).message == "version: give the number of the version to promote, or rollback"
    assert "other has no version 1: nothing is registered under that name" in flow("other", "1", return_state=True).message
    assert "other: no model of this name has ever been champion" in flow("other", rollback=True, return_state=True).message


def test_the_command_refuses_with_exit_code_3_and_one_line_where_nobody_can_be_asked(two: Path) -> None:
    command = [sys.executable, "-m", "flows.promote", "--model", NAME, "--version", "1"]
    done = subprocess.run(command, cwd=two, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert "the gates are passed, but gates.needs_approval = true and nobody can be asked here" in done.stderr
    assert aliases() == {"challenger": 2}


@pytest.mark.usefixtures("two")
def test_a_champion_that_changed_meanwhile_is_never_replaced_on_old_evidence() -> None:
    promote(1, **YES)
    found = registry.version_of(NAME, "2")
    with pytest.raises(champion.Changed, match="the champion is now version 1"):
        champion.promote(found, None, {})
    assert aliases()["champion"] == 1


def test_the_test_rows_come_from_dvcs_cache_where_the_split_is_not_or_is_another(two: Path) -> None:
    split = (two / "data" / "split" / "test.jsonl").rename(two / "cached.jsonl")
    for command in (["init", "-q"], ["add", "-q", "cached.jsonl"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=two, check=True, capture_output=True)
    md5 = (two / "cached.jsonl.dvc").read_text().split("md5: ")[1].split()[0]
    split.unlink()
    (two / "dvc.lock").write_text(f"stages:\n  audit:\n    outs:\n    - path: data/split/test.jsonl\n      md5: {md5}\n")
    commit = ledger.append("decision", {})
    (two / "dvc.lock").unlink()
    assert promotion.test_rows(commit) == use_case.ROWS
    promotion.TEST.write_text("the rows of another use case")
    assert promotion.test_rows(commit) == use_case.ROWS
    (cached,) = (two / ".dvc" / "cache" / "files").rglob(md5[2:])
    cached.chmod(0o644)
    cached.write_bytes(cached.read_bytes().replace(b"positive", b"negative", 1))
    with pytest.raises(UserError, match="holds other bytes than its name says"):
        promotion.test_rows(commit)


# ---- a person's approval in Prefect ------------------------------------------------------------------------------------


class Deployed:
    """A run of `promote` as a deployment has it, executed here: suspended, answered over the API, executed again."""

    def __init__(self, client: SyncPrefectClient, version: int) -> None:
        from flows.promote import promote

        self.client, self.given = client, {"model": NAME, "version": str(version)}
        deployment = client.create_deployment(client.create_flow(promote), "promote")
        self.id: UUID = client.create_flow_run_from_deployment(deployment, parameters=self.given).id

    def execute(self) -> Any:
        from prefect.exceptions import Pause
        from prefect.flow_engine import run_flow

        from flows.promote import promote

        with suppress(Pause):  # the process ends here; it begins again from the top when it is resumed
            run_flow(promote, self.client.read_flow_run(self.id), self.given, return_type="state")
        return self.client.read_flow_run(self.id).state

    def answer(self, **given: Any) -> dict[str, Any]:
        reply = self.client._client.post(f"/flow_runs/{self.id}/resume", json={"run_input": given})
        assert reply.status_code in (200, 201), reply.text
        return dict(reply.json())

    def log(self) -> list[str]:
        APILogHandler().flush()
        found = self.client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self.id])))
        return [line.message for line in found]

    def question(self) -> str:
        """The description that the form in the UI shows."""
        state = self.client.read_flow_run(self.id).state
        assert state
        keyset = state.state_details.run_input_keyset
        assert keyset
        reply = self.client._client.get(f"/flow_runs/{self.id}/input/{keyset['description']}")
        return str(reply.json())


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


@pytest.mark.usefixtures("two")
def test_a_person_sees_the_evidence_approves_in_prefect_and_is_named_in_the_ledger(client: SyncPrefectClient) -> None:
    promote(1, **YES)
    run = Deployed(client, 2)
    assert run.execute().name == "Suspended"
    assert "accuracy 0.950 against 0.800" in run.question()
    assert tags(2)["promote.reason"].endswith(f"/runs/flow-run/{run.id}")
    assert run.answer(approve=True)["status"] == "REJECT"  # no name, no reason
    assert run.answer(approve=True, approver="", reason="")["status"] == "REJECT"
    assert aliases()["champion"] == 1
    assert run.answer(approve=True, approver="Ada", reason="looks right")["status"] == "ACCEPT"
    assert run.execute().is_completed()
    assert aliases()["champion"] == 2
    assert ledger.entries()[0].details["approval"] == {"approve": True, "who": "Ada", "reason": "looks right"}
    assert sum("waits for a person's approval" in line for line in run.log()) == 1


@pytest.mark.usefixtures("two")
def test_a_person_says_no(client: SyncPrefectClient) -> None:
    run = Deployed(client, 1)
    run.execute()
    run.answer(approve=False, approver="Ada", reason="wait for the audit")
    state = run.execute()
    assert (state.name, state.message) == ("Refused", "movie-reviews version 1 refused: Ada said no: wait for the audit")
    assert "champion" not in aliases()


@pytest.mark.usefixtures("two")
def test_an_approval_counts_only_for_the_evidence_that_was_shown(client: SyncPrefectClient) -> None:
    run = Deployed(client, 2)
    assert run.execute().name == "Suspended"
    promote(1, **YES)  # meanwhile there is a champion
    run.answer(approve=True, approver="Ada", reason="looks right")
    assert run.execute().name == "Suspended"
    assert "may version 2 replace version 1?" in run.question()
    run.answer(approve=True, approver="Ada", reason="still right")
    (stored(2) / "served.py").write_text("")  # meanwhile a file changed
    assert "files: served.py was changed" in run.execute().message
    assert aliases()["champion"] == 1


# ---- watching ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def undeployed(client: SyncPrefectClient) -> None:
    """Nobody's deployment of `promote` is on the server, so that a watch starts it in its own process."""
    for deployment in client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=["promote"]))):
        client.delete_deployment(deployment.id)


@pytest.fixture
def unattended(two: Path) -> Path:
    """No approval needed, so that a watch without a deployment can promote."""
    params = settings(gates={"needs_approval": False}).model_dump_json()
    (two / "params.yaml").write_text(params)
    return two


@pytest.mark.usefixtures("unattended", "undeployed")
def test_a_promotion_asked_for_in_mlflow_is_done_or_refused_once() -> None:
    tracking.client().set_model_version_tag(NAME, "2", "promote", "requested")
    (line,) = watch()
    assert line.startswith("movie-reviews: version 2 asks for promotion; movie-reviews version 2 is champion; ledger ")
    tracking.client().set_model_version_tag(NAME, "1", "promote", "requested")
    assert "version 1 refused" in watch()[0]
    assert (tags(2)["promote"], tags(1)["promote"], aliases()["champion"]) == ("done", "refused", 2)
    assert watch() == []


@pytest.mark.usefixtures("unattended", "undeployed")
def test_an_alias_set_by_hand_stays_if_it_passes_and_goes_back_if_not() -> None:
    hand_set(1)
    assert "version 1 was made champion by hand, the ledger says None; movie-reviews version 1 is champion" in watch()[0]
    hand_set(2)
    watch()
    assert (aliases(), champion.current(NAME).version) == ({"champion": 2, "previous": 1}, "2")  # type: ignore[union-attr]
    hand_set(1)
    assert "version 1 refused: better than the champion" in watch()[0]
    assert (aliases(), tags(1)["promote"]) == ({"champion": 2, "previous": 1}, "refused")
    assert "accuracy 0.800 against 0.950" in tags(1)["promote.reason"]
    assert watch() == []


@pytest.mark.usefixtures("undeployed")
def test_a_request_for_a_model_that_params_yaml_is_no_longer_about_is_answered(two: Path) -> None:
    (two / "params.yaml").write_text(settings(use_case={"name": "tickets"}).model_dump_json())
    tracking.client().set_model_version_tag(NAME, "2", "promote", "requested")
    (line,) = watch()
    assert "the gates are passed, but gates.needs_approval = true" in line
    assert tags(2)["promote"] == "refused"


@pytest.mark.usefixtures("two", "undeployed")
def test_a_first_champion_set_by_hand_that_fails_loses_the_alias() -> None:
    use_case.trained(20)
    registry.register(settings())
    hand_set(3)
    assert "better than tfidf" in watch()[0]
    assert "champion" not in aliases()


@pytest.mark.usefixtures("two")
def test_a_move_that_was_cut_short_is_completed_and_a_lost_alias_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    promote(1, **YES)
    with monkeypatch.context() as patch:
        patch.setattr(champion, "settle", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            champion.promote(registry.version_of(NAME, "2"), "1", {})
    assert aliases()["champion"] == 1
    assert len(watch()) == 1
    assert (aliases(), tags(2)["promote"]) == ({"champion": 2, "previous": 1}, "done")
    tracking.client().delete_registered_model_alias(NAME, "champion")
    watch()
    assert aliases() == {"champion": 2, "previous": 1}
    assert watch() == []


@pytest.mark.usefixtures("two")
def test_an_approval_that_nobody_gave_is_recorded_as_lapsed(client: SyncPrefectClient) -> None:
    from prefect.states import Failed

    run = Deployed(client, 1)
    run.execute()
    for tag, value in (("promote", "pending"), ("promote.flow_run", str(run.id))):
        tracking.client().set_model_version_tag(NAME, "1", tag, value)
    assert watch() == []
    run.client.set_flow_run_state(run.id, Failed(message="the pause timed out"), force=True)
    assert "the pause timed out" in watch()[0]
    assert tags(1)["promote"] == "lapsed"
    assert ledger.entries()[0].details["event"] == "lapsed"
    assert watch() == []


@pytest.mark.usefixtures("two")
def test_where_there_is_a_deployment_the_watch_starts_it_once(client: SyncPrefectClient) -> None:
    from flows.promote import promote

    deployment = client.create_deployment(client.create_flow(promote), "promote", tags=[NAME])
    tracking.client().set_model_version_tag(NAME, "2", "promote", "requested")
    (line,) = watch()
    run = client.read_flow_run(UUID(tags(2)["promote.flow_run"]))
    assert f"promote runs as {run.name}" in line
    assert (run.deployment_id, run.parameters["version"]) == (deployment, "2")
    assert tags(2)["promote"] == "pending"
    assert watch() == []
    client.delete_deployment(deployment)
