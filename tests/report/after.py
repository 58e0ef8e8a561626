"""Records of a use case that ran to its end: the decision, and a training and evaluation as they may have gone."""

from __future__ import annotations

from pathlib import Path

from tasks import records
from tasks.decide import Inputs, decide
from tasks.records import Context, Difference, Evaluation, Measured, Plan, Slice, Training, sha256_of
from tests.decide import synthetic


def write(given: Inputs, results: Path) -> None:
    synthetic.write(given, results)
    decision, plan = decide(given)
    records.write(decision, results / "decision.json")
    records.write(plan, results / "plan.json")
    sections = {
        name: getattr(given.settings, name).model_dump(mode="json") for name in ("team", "objective", "constraints", "hardware")
    }
    records.write(Context(infrastructure={"cores": 2}, remarks=[], **sections), results / "context.json")
    records.write(training(plan), results / "train.json")
    records.write(evaluation(plan), results / "evaluation.json")


def training(plan: Plan) -> Training:
    done = plan.branch is not None
    took = Measured(
        cpu_seconds=290.0,
        wall_seconds=165.0,
        predict_cpu_seconds=None,
        peak_gb=1.2,
        model_gb=0.09,
        tokens=290_000,
        machine="a CPU",
    )
    return Training(
        status="finished" if done else "nothing_to_do",
        plan_sha256=sha256_of(plan.model_dump(mode="json")),
        branch=plan.branch,
        base_model=plan.base_model,
        recipe=plan.recipe,
        train_sha256="train",
        rows=2400 if done else 0,
        labels=["negative", "positive"],
        steps_done=450 if done else 0,
        steps_planned=450 if done else 0,
        files={},
        measured=took if done else None,
    )


def evaluation(plan: Plan) -> Evaluation:
    if plan.branch is None:
        return Evaluation(
            status="nothing_to_do",
            model={},
            baselines={},
            metrics={},
            diff=[],
            slices=[],
            steps_done=0,
            steps_planned=0,
            test_sha256="",
            rows=0,
        )
    return Evaluation(
        status="finished",
        model={
            "branch": plan.branch,
            "base_model": None,
            "metric": "accuracy",
            "value": 0.823,
            "low95": 0.792,
            "high95": 0.853,
        },
        baselines={
            "majority": {"accuracy": 0.502, "macro_f1": 0.334, "log_loss": 0.693},
            "tfidf": {"accuracy": 0.741, "macro_f1": 0.74, "log_loss": 0.53},
        },
        metrics={"accuracy": 0.823, "macro_f1": 0.822, "log_loss": 0.4},
        diff=[Difference(against="tfidf", value=0.082, low95=0.047, high95=0.118, p=0.001)],
        slices=[
            Slice(name="label = negative", rows=301, value=0.81, low95=0.76, high95=0.85),
            Slice(name="over 140 characters", rows=200, value=0.84, low95=0.78, high95=0.88),
        ],
        steps_done=450,
        steps_planned=450,
        test_sha256="test",
        rows=600,
    )
