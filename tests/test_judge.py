"""A judge of the user's own: what it is given, what its numbers become, and what is lost when it fails (nothing else)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks import answers, documents, evaluate_texts, judge, records, trainers
from tasks.documents import Document
from tasks.params import Params
from tasks.recipes import recipe
from tasks.records import Evaluation
from tasks.stage import UserError
from tests import use_case
from tests.flows.conftest import PROJECT, sh
from tests.test_evaluate import TRAINING

READS = "import json, os, sys\ntold = [json.loads(line) for line in sys.stdin]\n"
TELLS_RIGHT = READS + "for one in told:\n    print(int(one['answer'] == one['right']))\n"
TELLS_LENGTH = READS + "for one in told:\n    print(len(one['answer']) / 100)\n"


def script(folder: Path, code: str) -> str:
    """The command of a judge with this code, in a folder whose name wants quotes."""
    place = folder / "my judge"
    place.mkdir(exist_ok=True)
    (place / "judge.py").write_text(code)
    return f'python "{place}/judge.py"'


def chats(n: int) -> list[Document]:
    rows = []
    for i in range(n):
        asked, answer = f"was ist groß, {i}?", f"thing {i}"
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        rows.append(Document(f"c{i}", f"{asked}\n{answer}", "", f"c{i}", messages))
    return rows


ROWS = chats(40)
RIGHT = [documents.answered(row)[1] for row in ROWS]
SCORED = {
    "model": answers.given([*RIGHT[:30], *10 * ["no"]], RIGHT),
    "baseline": answers.given([*RIGHT[:5], *35 * ["ö"]], RIGHT),
}


def evaluated(command: str | None) -> Evaluation:
    return evaluate_texts.evaluation(TRAINING, [], ROWS, SCORED, "chrf", command)


def test_a_judge_gets_question_right_answer_and_answer_and_inherits_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = {"asked": [{"role": "user", "content": "wie groß?"}], "right": "zwei\nMeter", "answer": "1 m"}
    monkeypatch.setenv("EXPECTED", json.dumps([line, line]))
    code = READS + "for one in told:\n    print(0.25 if told == json.loads(os.environ['EXPECTED']) else 0)\n"
    assert judge.numbers(script(tmp_path, code), [line, line]) == [0.25, 0.25]


def test_its_means_stand_beside_the_other_metrics_with_a_paired_difference(tmp_path: Path) -> None:
    record = evaluated(script(tmp_path, TELLS_RIGHT))
    assert record.metrics["judge"] == record.metrics["exact_match"] == 0.75
    assert record.baselines["baseline"]["judge"] == record.baselines["baseline"]["exact_match"] == 0.125
    assert record.judge is not None
    assert (record.judge.value, record.judge.reason) == (0.75, None)
    (ahead,) = record.judge.diff
    exact = evaluate_texts.evaluation(TRAINING, [], ROWS, SCORED, "exact_match").diff[0]
    assert ahead == exact
    assert [(d.against, d.value) for d in record.diff] == [(d.against, d.value) for d in evaluated(None).diff]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (READS + "print('a secret')\nsys.exit(3)", "it ended with exit code 3"),
        (READS + "print(0.5)", "it printed 1 lines for 40 answers"),
        (READS + "print('1\\n' * 41)", "it printed 42 lines for 40 answers"),
        ("", "it printed 0 lines for 40 answers"),
        (READS + "print('0.5\\n' * 38 + 'a secret\\n1')", "line 39 of its output is no number from 0 to 1"),
        (READS + "print('0.5\\n' * 39 + 'nan')", "line 40 of its output is no number from 0 to 1"),
        (READS + "print('1.01\\n' * 39 + '1')", "line 1 of its output is no number from 0 to 1"),
        (READS + "sys.stdout.buffer.write(b'\\xff\\n' * 40)", "line 1 of its output is no number from 0 to 1"),
    ],
)
def test_a_judge_that_fails_loses_nothing_else_and_its_words_are_in_no_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, reason: str
) -> None:
    command = script(tmp_path, code)
    record = evaluated(command)
    assert record.judge is not None
    assert (record.judge.value, record.judge.diff, record.judge.reason) == (None, [], reason)
    assert record.model_copy(update={"judge": None}) == evaluated(None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"evaluate: objective.judge = {command}: {reason}. All else is measured")
    assert "a secret" not in record.model_dump_json()


def test_a_judge_that_is_gone_when_it_is_needed_is_a_reason_too(tmp_path: Path) -> None:
    gone, broken = tmp_path / "gone", tmp_path / "broken"
    broken.write_bytes(b"\x7fELF of no machine")
    broken.chmod(0o755)
    reasons = [found.reason for found in (evaluated(str(gone)).judge, evaluated(str(broken)).judge) if found]
    assert reasons == [f"{gone} is no program that can be run here", "it cannot be started: Exec format error"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("no-such-judge --fast", "no-such-judge is no program that can be run here"),
        ("./judge.py", "./judge.py is no program that can be run here"),
        ("' '", "  is no program that can be run here"),
        ("", "an empty text is no program that can be run here"),
        ("python 'judge.py", "no command as a shell would read it (No closing quotation)"),
    ],
)
def test_a_judge_that_cannot_be_started_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        judge.check(of_chats(command))
    said = f"params.yaml: objective.judge = {command}: {why}; mend the command, or leave the setting empty"
    assert str(refused.value) == said
    Path("judge.py").write_text("#!/bin/sh\n")
    Path("judge.py").chmod(0o755)
    judge.check(of_chats("./judge.py"))
    judge.check(of_chats(None))


def of_chats(command: str | None) -> Params:
    told: dict[str, dict[str, object]] = {
        "use_case": {"task": "text-generation"},
        "objective": {"metric": "chrf", "judge": command},
        "data": {"path": "data/chats.jsonl", "text": None, "label": None, "messages": "messages"},
        "pilots": {"branches": ["baseline"]},
    }
    return use_case.settings(**told)


# ---- in the graph -----------------------------------------------------------------------------------------------------


def project(folder: Path, command: str | None) -> None:
    """A checkout with the real graph in which a baseline for chats has been trained; what other stages leave is by hand."""
    shutil.copytree(PROJECT / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".gitignore"):
        shutil.copy(PROJECT / name, folder)
    set_judge(folder, command)
    sh("git", "init", "-q", ".", cwd=folder)
    sh("dvc", "init", "-q", cwd=folder)
    known, plan = chats(60), recipe("baseline", "text-generation", 60)
    documents.write(known, folder / "data/split/train.jsonl")
    documents.write([*known[:10], *chats(70)[60:]], folder / "data/split/test.jsonl")
    trainers.train(trainers.Job("baseline", plan, None, [], known, 0, folder / "model", task="text-generation"))
    training = TRAINING.model_copy(update={"branch": "baseline", "labels": [], "recipe": plan})
    records.write(training, folder / "results/train.json")


def set_judge(folder: Path, command: str | None) -> None:
    (folder / "params.yaml").write_text(json.dumps(of_chats(command).model_dump(mode="json")))


def reproduced(folder: Path) -> Evaluation:
    sh("dvc", "repro", "-s", "context", "evaluate", cwd=folder)
    return records.read(Evaluation, folder / "results/evaluation.json")


def locked(folder: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(folder / "dvc.lock")["stages"]["evaluate"])


def test_answers_are_kept_by_dvc_and_another_judge_judges_again(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    project(repo, None)
    assert reproduced(repo).judge is None
    kept = [json.loads(line) for line in (repo / "data/split/answers.jsonl").read_text("utf-8").splitlines()]
    assert kept[3] == {
        "id": "c3",
        "asked": [{"role": "user", "content": "was ist groß, 3?"}],
        "right": "thing 3",
        "answers": {"model": "thing 3", "baseline": "thing 3"},
    }
    assert len(kept) == 20
    (md5,) = (out["md5"] for out in locked(repo)["outs"] if out["path"] == "data/split/answers.jsonl")
    assert (repo / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).exists()
    assert "data/" not in sh("git", "status", "--porcelain", "-uall", cwd=repo)

    set_judge(repo, script(tmp_path, TELLS_RIGHT))
    record = reproduced(repo)
    assert record.metrics["judge"] == record.metrics["exact_match"]
    set_judge(repo, script(tmp_path, TELLS_LENGTH) + " --other")
    record = reproduced(repo)
    mean = sum(len(line["answers"]["model"]) for line in kept) / 100 / len(kept)
    assert record.metrics["judge"] == pytest.approx(mean)
