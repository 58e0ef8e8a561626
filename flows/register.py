"""Registration: the model in `model/` becomes a challenger in the MLflow registry, once."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import workplace
from flows.terminal import say
from tasks.params import Params
from tasks.stage import UserError


@task(name="register", cache_policy=NO_CACHE, persist_result=False)
def register(params: Params) -> dict[str, Any] | None:
    """Name, version and whether it is new; None where nothing was trained, as no branch fits.

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
        return {"name": params.use_case.name, "version": None, "created": False, "reason": reason}
    return None if made is None else {"name": made.name, "version": made.version, "created": made.created}


@flow(name="register", **workplace.SETTINGS)
@workplace.in_workspace
def register_flow(params: Params = Params()) -> list[str]:  # noqa: B008
    """Register what lies in `model/` and `results/`; trains and measures nothing."""
    from flows import closing

    return [closing.registered_line(register(params))]
