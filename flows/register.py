"""Registration: the model in `model/` becomes a version in the MLflow registry, once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import workplace
from flows.terminal import say
from tasks.params import Params
from tasks.stage import UserError


@task(name="register", cache_policy=NO_CACHE, persist_result=False)
def register(params: Params) -> dict[str, Any] | None:
    """Name, version, whether it is new and whether it is challenger; None where nothing was trained, as no branch fits.

    An MLflow that does not answer fails nothing: the version is then null, with the reason.
    """
    from tasks import registry

    try:
        made = registry.register(params)
    except UserError:
        raise
    except Exception as error:
        from tasks import tracking

        reason = f"MLflow at {tracking.address()} did not take it, `make run` registers it later: {tracking.line(error)}"
        say(reason)
        return {"name": params.use_case.name, "version": None, "created": False, "challenger": False, "reason": reason}
    return None if made is None else asdict(made)


@flow(name="register", **workplace.SETTINGS)
@workplace.in_workspace
def register_flow(params: Params = Params()) -> list[str]:  # noqa: B008
    """Register what lies in `model/` and `results/`; trains and measures nothing."""
    from flows import closing

    return [closing.registered_line(register(params))]
