"""The flow `audit`: is the data fit to learn from, and what has changed in it?"""

from __future__ import annotations

from prefect import flow

from flows import closing, stages, workplace
from tasks.params import Params


@flow(name="audit", **workplace.SETTINGS)
@workplace.in_workspace
def audit(params: Params = Params()) -> list[str]:  # noqa: B008
    """Check the data, set bad rows aside, find duplicates, split it without leakage."""
    before = closing.earlier(params)
    stages.run(params.use_case.name, "audit", "context")
    return closing.audit_lines(before)
