"""Watching the registry: promotions asked for in the MLflow UI, and aliases that somebody set by hand.

One look a run; a schedule repeats it. It starts `promote` and nothing else, through the deployment of that name where there
is one, otherwise here. What it finds:
- a version with the tag `promote` = `requested`: it becomes `pending`, and `promote` says done or refused, with the reason;
- an alias `champion` that the ledger has not signed: it goes through the same gates, and back if it fails them;
- a move that was cut short between the ledger and the aliases: it is completed;
- an approval that nobody gave in time, or whose run crashed: the version is `lapsed`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas import State
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowFilter, FlowFilterName
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from flows import workplace
from flows.promote import promote, said
from flows.terminal import say
from tasks import params, records

RUN = "promote.flow_run"


@flow(name="watch", persist_result=False)
def watch() -> list[str]:
    """Look at the registry once, at every model that the ledger has registered; gives what was found, a line each."""
    from tasks import tracking

    api = tracking.client()
    there = [name for name in _registered() if api.search_registered_models(f"name = '{name}'")]
    lines = [line for name in there for line in [*_aliases(name), *_requests(name), *_lapsed(name)]]
    for line in lines:
        say(line)
    return lines


def _registered() -> list[str]:
    """Also the models of use cases that params.yaml was about before."""
    from tasks import ledger

    return sorted({e.details["use_case"] for e in ledger.entries() if e.details.get("event") == "registration"})


def _aliases(name: str) -> list[str]:
    """The alias against the ledger's last line."""
    from tasks import champion, registry

    now, alias, completed = champion.current(name), champion.by_alias(name), champion.completed(name)
    signed = now.version if now else None
    if alias == signed and completed:
        return []
    if not completed or alias is None:
        champion.settle(name)
        return [f"{name}: tags and aliases brought to what the ledger says: champion is version {signed}"]
    if registry.version_of(name, alias).tags.get("promote") == "pending":
        return []
    return [f"{name}: version {alias} was made champion by hand, the ledger says {signed}; {_start(name, alias, by_hand=True)}"]


def _requests(name: str) -> list[str]:
    """Versions that ask for promotion, and those whose promotion was never started after a crash of ours."""
    from tasks import tracking

    api = tracking.client()
    asked = api.search_model_versions(f"name = '{name}' and tags.promote = 'requested'")
    pending = api.search_model_versions(f"name = '{name}' and tags.promote = 'pending'")
    numbers = [str(version.version) for version in [*asked, *(v for v in pending if RUN not in v.tags)]]
    return [f"{name}: version {number} asks for promotion; {_start(name, number)}" for number in numbers]


def _start(name: str, version: str, by_hand: bool = False) -> str:
    """Start `promote`; before, the version becomes `pending`, so that the next look does not start it again."""
    from tasks import champion, ledger, tracking

    api = tracking.client()
    if RUN in api.get_model_version(name, version).tags:
        api.delete_model_version_tag(name, version, RUN)
    champion.say(name, version, "pending", "the gates are being measured; then a person may have to approve in Prefect")
    given = {"model": name, "version": version, "by_hand": by_hand}
    target = _deployment(name) or _deployment(params.load().use_case.name)
    if target is None:
        state: State[Any] = promote(model=name, version=version, by_hand=by_hand, return_state=True)
        return said(state)
    key = records.sha256_of([given, ledger.tip()])
    run: Any = run_deployment(target, parameters=given, timeout=0, idempotency_key=key, as_subflow=False)
    api.set_model_version_tag(name, version, RUN, str(run.id))
    return f"promote runs as {run.name}, {workplace.address(run.id)}"


def _lapsed(name: str) -> list[str]:
    """Versions still pending whose run has ended."""
    from tasks import champion, tracking

    lines = []
    for version in tracking.client().search_model_versions(f"name = '{name}' and tags.promote = 'pending'"):
        ended = _end(version.tags.get(RUN))
        if ended:
            reason = f"no answer: the run of promote ended as {ended}; set promote = requested to ask again"
            champion.refuse(version, reason, {"flow_run": version.tags[RUN]}, outcome="lapsed")
            lines.append(f"{name}: version {version.version}: {reason}")
    return lines


def _end(run: str | None) -> str | None:
    """How the flow run ended; None while it has not."""
    if run is None:
        return None
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run)).state
        except ObjectNotFound:
            return "unknown to this Prefect server"
    return f"{state.name}: {state.message}" if state and state.is_final() else None


def _deployment(name: str) -> UUID | None:
    """The id of this use case's deployment of `promote`, if the server has one."""
    with get_client(sync_client=True) as client:
        found = client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["promote"])),
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[name])),
        )
    return found[0].id if found else None


if __name__ == "__main__":
    watch()
