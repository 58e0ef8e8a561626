"""The flow `choose`: measure every branch in pilots and decide."""

from __future__ import annotations

from prefect import flow

from flows import closing, stages, workplace
from tasks.params import Params


@flow(name="choose", **workplace.SETTINGS)
@workplace.in_workspace
def choose(params: Params = Params()) -> list[str]:  # noqa: B008
    """Audit, pilots, decision record: everything up to the verdict; trains nothing beyond the pilots."""
    before = closing.earlier(params)
    ran = stages.run(params.use_case.name, "decide", "context")
    return closing.finish(params, before, ran)
