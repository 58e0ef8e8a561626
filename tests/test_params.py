"""params.yaml: what is accepted, and the one line for what is not."""

from pathlib import Path

import pytest

from tasks import params
from tasks.params import Params
from tasks.stage import UserError


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        params.load(path)
    return str(error.value).removeprefix(f"{path}: ")


def test_the_projects_own_file_says_what_the_form_shows_by_default() -> None:
    assert params.load(Path("params.yaml")) == Params()


def test_every_setting_has_a_description_for_the_form() -> None:
    for group, field in Params.model_fields.items():
        for name, setting in getattr(field.annotation, "model_fields", {group: field}).items():
            assert setting.description, f"{group}.{name}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("budget: 3", "budget: no such setting; did you mean constraints.budget_usd?"),
        ("data: {max_row: 3}", "data.max_row: no such setting; did you mean data.max_rows?"),
        ("constraint: {budget_usd: 3}", "constraint: no such setting; did you mean constraints?"),
        ("constraints: {metrics: 3}", "constraints.metrics: no such setting; did you mean objective.metric?"),
        ("colour: red", "colour: no such setting; remove it or correct its name"),
        (
            "data: {max_rows: many}",
            "data.max_rows = many: Input should be a valid integer, unable to parse string as an integer",
        ),
        ("pilots: {rungs: [200, 100]}", "pilots: rungs = [200, 100]: give growing numbers of rows, the first at least 10"),
        (
            "pilots: {branches: [continued]}",
            "pilots.branches = ['continued']: text-classification knows baseline, prompt, probe, lora, full, scratch",
        ),
        (
            "hardware: {usd_per_gpu_hour: [2, 1]}",
            "hardware: usd_per_gpu_hour = [2.0, 1.0]: give the lower price first, neither below 0",
        ),
        ("objective: {target: 80}", "objective.target = 80: accuracy is a share, at most 1"),
        ("objective: {target: 2}", "objective.target = 2: accuracy is a share, at most 1"),
        (
            "use_case: {name: movie_Reviews}",
            "use_case.name = movie_Reviews: write lower-case letters, digits and dashes, 2 to 63, a letter or digit first",
        ),
        ('constraints: {budget_usd: "2.5"}', 'constraints.budget_usd is the text "2.5"; remove the quotes'),
        ('pilots: {rungs: [100, "200"]}', 'pilots.rungs is the text "200"; remove the quotes'),
        ("constraints: {air_gap: no}", 'constraints.air_gap is the text "no"; write false, without quotes'),
        ("objective: {judge: ./judge.py}", "objective.judge = ./judge.py: only chats have answers to judge; leave it empty"),
        (
            "use_case: {task: text-generation}\npilots: {branches: [lora]}\nobjective: {metric: chrf, judge: ./judge.py}",
            "objective.judge = ./judge.py: only chats have answers to judge; leave it empty",
        ),
        ("objective: {metric: chrf}", "objective.metric = chrf: text-classification has accuracy, macro_f1"),
        (
            "use_case: {task: translation}",
            "use_case.task = translation: Input should be 'text-classification', 'text-generation' or 'image-classification'",
        ),
        (
            "use_case: {task: image-classification}\npilots: {branches: [prompt]}",
            "pilots.branches = ['prompt']: image-classification knows baseline, probe, lora, full, scratch",
        ),
        (
            "use_case: {task: image-classification}\npilots: {branches: [scratch]}",
            "data.image and data.label name the columns to learn from: give both",
        ),
        ("data: {path: a, path: b}", "not valid YAML: while constructing a mapping"),
    ],
)
def test_a_mistake_is_one_line_with_key_value_and_mend(tmp_path: Path, text: str, line: str) -> None:
    assert refusal(tmp_path, text).startswith(line)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, "a: 1\nb: 2\nteam: {engineers: -1}").splitlines()) == 3


def test_a_missing_file_says_where_to_stand(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not found; run from the top folder of the project"):
        params.load(tmp_path / "none.yaml")
