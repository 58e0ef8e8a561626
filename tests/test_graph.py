"""DVC's graph tells the truth: a change of code that a stage runs makes the stage run again."""

import re
from pathlib import Path
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML

from tasks.params import Objective

STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load(Path("dvc.yaml"))["stages"]
CARRIES_NO_RESULT = {
    "tasks": "sets variables that silence other packages",
    "tasks.stage": "how a process starts and ends",
    "tasks.workspace": "where files lie",
    "tasks.progress": "what is shown meanwhile",
    "tasks.params": "its values are DVC params",
    "tasks.records": "what a record holds; each names its schema's version, and reading checks it",
    "tasks.shelf": "gives out files whose sha256 the records name",
    "tasks.package_index": "fetches them",
    "tasks.onnx_bert": "converts one of them, to pinned bytes",
    "tasks.gguf_llama": "converts another, to pinned bytes",
    "tasks.efficientnet_weights": "converts a third, to pinned bytes",
    "tasks.ledger": "reads records back from git",
    "tasks.machine": "names the machine",
    "tasks.side_by_side": "spreads cells over cores",
    "tasks.launch": "starts a command at a place that is chosen outside the graph",
    "tasks.caps": "when a training pauses, not what it learns",
}
GRAPH = grimp.build_graph("tasks", cache_dir=None)
BY_NAME = {
    "tasks.launch": {"tasks.trainers.job"},  # `python -m` in a process of its own
    "tasks.trainers": GRAPH.find_descendants("tasks.trainers"),  # a branch's module is imported by the branch's name
}


def body(stage: str) -> dict[str, Any]:
    return dict(STAGES[stage].get("do", STAGES[stage]))


def imported(module: str) -> set[str]:
    """The first-party modules that run when `python -m module` does; also those that are loaded by name, or in a process."""
    start = f"{module}.__main__" if f"{module}.__main__" in GRAPH.modules else module
    found = {start} | GRAPH.find_upstream_modules(start)
    for cause, effects in BY_NAME.items():
        if cause in found:
            found |= effects.union(*(GRAPH.find_upstream_modules(effect) for effect in effects))
    return found | {name.rpartition(".")[0] for name in found}


def file_of(module: str) -> Path:
    path = Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def runs(stage: str) -> set[str]:
    module = re.search(r"python -m (\S+)", body(stage)["cmd"])
    assert module
    return imported(module[1])


def dependencies(stage: str) -> set[Path]:
    return {Path(dep) for dep in body(stage)["deps"] if dep.startswith("tasks/")}


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_a_stage_imports_is_among_its_dependencies(stage: str) -> None:
    files = {file_of(name) for name in runs(stage) - CARRIES_NO_RESULT.keys()}
    assert {str(file) for file in files if not dependencies(stage) & {file, *file.parents}} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_every_table_that_a_stages_modules_name_is_among_its_dependencies(stage: str) -> None:
    source = "".join(file_of(name).read_text() for name in runs(stage))
    tables = {file for file in Path("tasks/tables").glob("*.*") if f'"{file.name}"' in source}
    assert tables - dependencies(stage) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_code_that_it_does_not_import(stage: str) -> None:
    files = {file_of(name) for name in runs(stage)}
    code = {dep for dep in dependencies(stage) if dep.parent.name != "tables"}
    assert {str(dep) for dep in code if not any(dep in (file, *file.parents) for file in files)} == set()


def test_another_judge_is_heard_by_the_evaluation_and_decides_and_trains_nothing() -> None:
    named = {stage: [p for p in body(stage).get("params", []) if isinstance(p, str)] for stage in STAGES}
    for stage in STAGES:
        for other in (p for p in body(stage).get("params", []) if isinstance(p, dict)):
            named[stage] += other.get("results/context.json", [])
    assert {stage for stage in STAGES if {"objective", "objective.judge"} & set(named[stage])} == {
        "context",
        "evaluate",
        "report",
    }
    decides = {f"objective.{name}" for name in Objective.model_fields} - {"objective.judge"}
    assert {name for name in named["decide"] if name.startswith("objective")} == decides


def test_no_stage_depends_on_the_flows() -> None:
    for stage in STAGES:
        assert not [dep for dep in body(stage)["deps"] if str(dep).startswith("flows")]


def test_in_tasks_only_the_ledger_and_the_workspace_call_git() -> None:
    callers = {file.stem for file in Path("tasks").rglob("*.py") if re.search(r"""\[\s*["']git["']""", file.read_text())}
    assert callers == {"ledger", "workspace"}
