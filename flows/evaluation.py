"""The flow `evaluate`: measure the trained model on the untouched test rows, beside honest baselines."""

from __future__ import annotations

from prefect import flow

from flows import closing, stages, workplace
from tasks.params import Params


@flow(name="evaluate", **workplace.SETTINGS)
@workplace.in_workspace
def evaluate(params: Params = Params()) -> list[str]:  # noqa: B008
    """Everything up to the evaluation and the report; registers nothing."""
    before = closing.earlier(params)
    ran = stages.run(params.use_case.name)
    return closing.finish(params, before, ran, evaluated=True)
