"""The flow `lifecycle`: the whole graph, then the registration of what came out of it. `make run` runs it."""

from __future__ import annotations

from prefect import flow

from flows import closing, stages, workplace
from tasks.params import Params


@flow(name="lifecycle", **workplace.SETTINGS)
@workplace.in_workspace
def lifecycle(params: Params = Params()) -> list[str]:  # noqa: B008
    """Audit, measure, decide, train, evaluate, report, register: from the data to a challenger in the registry."""
    from flows.register import register

    before = closing.earlier(params)
    ran = stages.run(params.use_case.name)
    *lines, changed = closing.finish(params, before, ran, evaluated=True)
    return [*lines, closing.registered_line(register(params)), changed]
