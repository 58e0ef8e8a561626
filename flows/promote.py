"""Promotion: gates, a person's approval, the move: `python -m flows.promote --model NAME --version N [...]`.

Every start measures all gates anew, also the one after the approval: a suspended run begins again from the top, and the
approval counts only for evidence with the hash of the evidence that was shown. Who approves is a claim, not a login, and
is recorded as such.
"""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import suppress
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.context import get_run_context
from prefect.exceptions import Pause
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Failed
from pydantic import Field

from flows import workplace
from flows.stages import STATE_NAMES
from flows.terminal import say
from tasks import params
from tasks.params import Params
from tasks.promotion import Evidence
from tasks.stage import Refused, UserError

HOURS_TO_APPROVE = 7 * 24.0
Outcome = dict[str, Any]


class Approval(RunInput):
    """What a person answers in the Prefect UI."""

    approve: bool = Field(description="Shall this version become champion?")
    approver: str = Field(min_length=1, description="Your name; it is recorded as you give it")
    reason: str = Field(min_length=1, description="Why")


@flow(name="promote", persist_result=True, result_serializer="json")
def promote(
    model: str = "",
    version: str = "",
    rollback: bool = False,
    approve_as: str = "",
    reason: str = "",
    by_hand: bool = False,
    hours_to_approve: float = HOURS_TO_APPROVE,
) -> Outcome | State[Any]:
    """Make a version champion if it passes every gate, or go back to the champion before.

    Args:
        model: Name of the registered model; empty: the one of params.yaml
        version: Number of the version to promote
        rollback: Go back to the champion before instead; needs no version
        approve_as: Your name, if you approve beforehand; otherwise a person is asked where a person must approve
        reason: Why
        by_hand: The alias was already set by hand in MLflow, which counts as the approval
        hours_to_approve: The run fails when nobody has answered by then
    """
    name = model
    try:
        name = model or params.load().use_case.name
        given = _by_hand(name, version) if by_hand else _given(approve_as, reason)
        outcome = (
            _rolled_back(name, given) if rollback else _promoted(_settings(name, version), version, given, hours_to_approve)
        )
    except UserError as error:
        if name:
            _closed(name, version, by_hand, str(error))
        say(str(error))
        workplace.log_no_traceback()
        return Failed(name=STATE_NAMES.get(error.exit_code, "Failed"), message=str(error))
    say(outcome["said"])
    return outcome


def _settings(name: str, version: str) -> Params:
    """Those of params.yaml; of a model that it is not about, those that the version was made with."""
    from tasks import promotion, registry

    if not version.strip():
        raise UserError("version: give the number of the version to promote, or rollback")
    with suppress(UserError):  # a params.yaml that is being edited is no reason
        settings = params.load()
        if settings.use_case.name == name:
            return settings
    return promotion.settings_of(registry.version_of(name, version))


def _given(approve_as: str, reason: str) -> Outcome | None:
    """The approval that came with the request, as it goes into the ledger."""
    if bool(approve_as.strip()) != bool(reason.strip()):
        raise UserError("--approve-as and --reason: give both, who approves and why")
    return {"who": approve_as, "reason": reason} if approve_as.strip() else None


def _by_hand(name: str, version: str) -> Outcome:
    from tasks import champion

    if champion.by_alias(name) != version:
        raise UserError(f"by_hand: version {version} does not bear the alias champion; leave by_hand off to ask for approval")
    return {"who": None, "reason": "the alias champion was set by hand in MLflow, which does not say by whom"}


def _promoted(settings: Params, version: str, given: Outcome | None, hours: float) -> Outcome:
    """Measure, ask, move; from the start again if the champion changed meanwhile."""
    from tasks import champion, promotion, registry

    name = settings.use_case.name
    found = registry.version_of(name, version)
    while True:
        now = champion.current(name)
        if now and now.version == str(found.version):
            champion.settle(name)
            champion.say(name, now.version, "done", "is the champion already")
            return {"state": "unchanged", "version": now.version, "said": f"{name} version {version} is the champion already"}
        evidence = promotion.measure(settings, version)
        approval, refusal = _judged(settings, evidence, given, hours)
        details = promotion.entry(evidence) | {"approval": approval}
        if refusal:
            champion.refuse(found, refusal, details)
            raise Refused(f"{name} version {version} refused: {refusal}")
        try:
            sha = champion.promote(found, evidence.champion, details)
        except champion.Changed as change:
            say(f"{change}; the gates run again")
            continue
        said = f"{name} version {version} is champion" + (
            f" instead of version {evidence.champion}" if evidence.champion else ""
        )
        return {"state": "promoted", "version": str(found.version), "said": f"{said}; ledger {sha[:12]}"}


def _judged(settings: Params, evidence: Evidence, given: Outcome | None, hours: float) -> tuple[Outcome | None, str | None]:
    """The approval, as far as there is one, and why this evidence does not make a champion, if it does not."""
    if evidence.refusal:
        return None, evidence.refusal
    if given or not settings.gates.needs_approval:
        return given, None
    answer = _asked(evidence, hours)
    if answer is None:
        return None, (
            "the gates are passed, but gates.needs_approval = true and nobody can be asked here: `python -m flows.promote "
            f"--model {evidence.model} --version {evidence.version} --approve-as WHO --reason TEXT`"
        )
    return answer, None if answer["approve"] else f"{answer['who']} said no: {answer['reason']}"


def _asked(evidence: Evidence, hours: float) -> Outcome | None:
    """A person's answer to this very evidence; the run is suspended until it is there. None where nobody can be asked."""
    from tasks import champion, promotion

    run = get_run_context().flow_run  # type: ignore[union-attr]
    if not run or not run.deployment_id:
        return None
    where = workplace.address(run.id)
    waits = f"passed the gates; waits for a person's approval in Prefect, `Resume` at {where}"
    question = Approval.with_initial_data(description=promotion.shown(evidence))
    try:
        answer = suspend_flow_run(wait_for_input=question, timeout=round(hours * 3600), key=evidence.sha256[:16])
    except Pause:  # not after the resumption, when the answer is there
        say(f"{evidence.model} version {evidence.version} {waits}")
        champion.say(evidence.model, evidence.version, "pending", waits)
        raise
    return {"approve": answer.approve, "who": answer.approver, "reason": answer.reason}


def _closed(name: str, version: str, by_hand: bool, reason: str) -> None:
    """Nothing is left pending; an alias that was set by hand returns to the champion that the ledger signed."""
    from tasks import champion, registry

    if by_hand:
        champion.settle(name)
    with suppress(UserError):  # there is no such version
        if version and registry.version_of(name, version).tags.get("promote") == "pending":
            champion.say(name, version, "refused", reason)


def _rolled_back(name: str, given: Outcome | None) -> Outcome:
    from tasks import champion

    left, back, sha = champion.roll_back(name, {"approval": given, "reason": given and given["reason"]})
    line = f"{name}: version {back} is champion again instead of version {left}; ledger {sha[:12]}"
    return {"state": "rolled back", "version": back, "said": line}


def main(arguments: list[str]) -> int:
    """The exit code: 0 moved, 2 the user's mistake, 3 refused."""
    from flows import servers

    given = _arguments(arguments)
    for handler in logging.root.handlers:  # Prefect's console; its logs of the run go to the server as ever
        handler.setLevel(logging.CRITICAL)
    try:
        with servers.prefect() as url, temporary_settings({PREFECT_API_URL: url, PREFECT_HOME: servers.folder()}):
            servers.until_it_answers(f"{url}/health")
            state: State[Any] = promote(**given, return_state=True)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    code = workplace.exit_code(state)
    print(said(state), file=sys.stderr)
    return code


def said(state: State[Any]) -> str:
    """How a run of `promote` ended, in a line."""
    return str(state.result()["said"] if state.is_completed() else state.message)


def _arguments(arguments: list[str]) -> Outcome:
    parser = argparse.ArgumentParser(prog="python -m flows.promote", description="Make a version champion, or go back.")
    parser.add_argument("--model", required=True, help="name of the registered model")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--version", default="", help="the version to promote")
    what.add_argument("--rollback", action="store_true", help="go back to the champion before")
    parser.add_argument("--approve-as", default="", metavar="WHO", help="your name: you approve")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why")
    return vars(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
