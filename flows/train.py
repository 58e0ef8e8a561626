"""The flow `train`: execute the plan that the decision left, on all training rows."""

from __future__ import annotations

from prefect import flow

from flows import closing, stages, workplace
from tasks.params import Params


@flow(name="train", **workplace.SETTINGS)
@workplace.in_workspace
def train(params: Params = Params()) -> list[str]:  # noqa: B008
    """Everything up to the trained model of the chosen branch: fine-tuning or training from scratch, as decided."""
    before = closing.earlier(params)
    ran = stages.run(params.use_case.name, "train")
    return closing.finish(params, before, ran)
