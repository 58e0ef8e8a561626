"""What was found and declared, and where it contradicts."""

from pathlib import Path
from typing import Any

import pytest

from tasks.context import context, infrastructure, remarks
from tasks.params import Params, check

HERE: dict[str, Any] = {
    "cpu": "a CPU",
    "cores": 2,
    "memory_gb": 8.0,
    "disk_free_gb": 50,
    "gpus": [],
    "gpus_found_by": "no nvidia-smi here",
}
A100 = {"name": "NVIDIA A100-SXM4-80GB", "memory_gb": 85.9}


def said(gpus: list[Any] | None = None, **settings: dict[str, Any]) -> str:
    return "\n".join(remarks(check(settings, "test"), HERE | {"gpus": gpus or []}))


def test_the_settings_that_come_with_the_project_contradict_nothing() -> None:
    assert said() == ""


@pytest.mark.parametrize(
    ("settings", "remark"),
    [
        ({"objective": {"target": None}}, "the verdict can only rank quality against cost"),
        ({"objective": {"target": 1}}, "no model is always right"),
        ({"objective": {"month_of_delay_usd": 9}}, "waiting has a price, quality has none"),
        ({"constraints": {"budget_usd": None, "deadline_hours": None}}, "nothing limits what a training may take"),
        ({"hardware": {"gpu": "H100"}}, "[0.05, 0.15] is the price of a CPU, but hardware.gpu = H100"),
        ({"hardware": {"gpu": "H100"}}, "right only if that GPU stands in a cluster of your own"),
        ({"hardware": {"usd_per_gpu_hour": [2, 3]}}, "[2, 3] is the price of a GPU, but hardware.gpu is empty"),
        ({"hardware": {"count": 4}}, "hardware.count = 4 counts GPUs"),
        ({"constraints": {"deadline_hours": 0.1}}, "shorter than the pilots themselves take, about 12 minutes"),
        ({"constraints": {"budget_usd": 0}}, "only what costs nothing fits"),
        ({"constraints": {"budget_usd": 0.3}}, "may pay for only 2 hours of 1 x this machine, so the deadline of 12 hours"),
        ({"constraints": {"licences": []}}, "no base model is allowed"),
        ({"constraints": {"third_party_weights": False}}, "and team.has_trained_from_scratch = false"),
        ({"team": {"engineers": 0}}, "nobody would keep the model"),
        ({"team": {"usd_per_hour": 0}}, "people's time counts as free"),
    ],
)
def test_each_contradiction_has_its_remark(settings: dict[str, Any], remark: str) -> None:
    assert remark in said(**settings)


def test_a_gpu_found_but_not_declared_is_remarked_and_one_declared_and_found_is_not() -> None:
    assert "this machine has NVIDIA A100-SXM4-80GB, but hardware.gpu is empty" in said([A100])
    assert said([A100], hardware={"gpu": "A100-80GB", "usd_per_gpu_hour": [1, 2]}, constraints={"budget_usd": 50}) == ""


def test_the_record_tells_the_machine_but_not_its_name_nor_the_time(tmp_path: Path) -> None:
    found = infrastructure(tmp_path)
    assert set(found) == set(HERE) | {"system"}
    assert found["cores"] >= 1
    assert found["cpu"]
    assert found["memory_gb"] > 0.1
    record = context(Params(), found)
    assert record.team.items() >= {"engineers": 1, "usd_per_hour": 80.0, "has_trained_from_scratch": False}.items()
    assert record.model_dump_json() == context(Params(), found).model_dump_json()
