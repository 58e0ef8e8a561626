"""A flow over whatever graph there is, with nothing after it."""

from __future__ import annotations

from prefect import flow

from flows import stages, workplace
from tasks.params import Params


@flow(name="toy", **workplace.SETTINGS)
@workplace.in_workspace
def toy(params: Params = Params()) -> list[str]:  # noqa: B008
    """The stages alone."""
    return [f"ran: {', '.join(stages.run(params.use_case.name)) or 'nothing'}"]
