"""Two versions that write text, in a real store, with real models: who may become champion, and who may not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks import answers, champion, documents, evaluate_texts, model_card, promotion, records, registry, serving, trainers
from tasks.documents import Document
from tasks.params import Params
from tasks.promotion import Evidence
from tasks.records import Difference, Judged, Metric, Plan, Training
from tasks.stage import Refused
from tests import use_case
from tests.trainers.language import make_job, sentences

pytestmark = pytest.mark.filterwarnings("ignore:.*noload:sqlalchemy.exc.SADeprecationWarning")
HELD = sentences(60, seed=1)


def chats(wrong: int) -> list[Document]:
    """60 questions, of which the first so many get a wrong answer."""
    rows = []
    for i in range(60):
        asked, answer = f"what is in box number{i}", "nothing" if i < wrong else f"the thing numbered {i}"
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        rows.append(Document(f"{i:02}", f"{asked}\n{answer}", "", f"{i}", messages))
    return rows


def settings(metric: str) -> Params:
    told: dict[str, dict[str, object]] = {
        "use_case": {"task": "text-generation"},
        "objective": {"metric": metric, "target": None},
    }
    return use_case.settings(**told, data={"label": None})


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = use_case.repository(tmp_path / "person", settings("bits_per_byte"))
    shutil.copyfile(empty_store, folder / "mlflow.db")
    yield folder
    use_case.leave()


def registered(branch: str, metric: str, rows: list[Document], held: list[Document], **recipe: Any) -> str:
    """Train, evaluate beside a weak baseline, register; the version's number."""
    documents.write(held, promotion.TEST)
    model, weak = Path("model"), Path("weak")
    made = trainers.train(make_job(branch, Path(), None, documents=rows, recipe=recipe))
    trainers.train(make_job("baseline", weak, None, documents=rows[:2], recipe={"orders": [1]}))
    plan = Plan(task="text-generation", branch=branch, base_model=None, recipe=recipe)
    training = Training(
        status="finished",
        plan_sha256=records.sha256_of(plan.model_dump(mode="json")),
        branch=branch,
        base_model=None,
        recipe=recipe,
        train_sha256=documents.sha256(rows),
        rows=len(rows),
        labels=[],
        steps_done=made.steps_done,
        steps_planned=made.steps_planned,
        files={p.name: records.sha256_of_file(p) for p in sorted(model.iterdir())},
        measured=None,
    )
    scored = {
        name: answers.measured(serving.load_generator(at), held)
        for name, at in (("model", model), ("baseline", weak / "model"))
    }
    decision = use_case.decision().model_copy(update={"metric": Metric.of(metric, None)})
    written = {"train": training, "plan": plan, "decision": decision, "audit": use_case.audit()}
    for name, record in (written | {"evaluation": evaluate_texts.evaluation(training, rows, held, scored, metric)}).items():
        records.write(record, Path("results") / f"{name}.json")
    shutil.rmtree(weak)
    found = registry.register(settings(metric))
    assert found is not None
    return found.version


def promoted(metric: str, version: str) -> Evidence:
    """The evidence, after which the version is champion if no gate refused it."""
    evidence = promotion.measure(settings(metric), version)
    if not evidence.refusal:
        champion.promote(registry.version_of(use_case.NAME, version), evidence.champion, promotion.entry(evidence))
    return evidence


def test_a_language_model_replaces_one_that_needs_more_bits_and_is_not_replaced_by_it(repo: Path) -> None:
    few = registered("baseline", "bits_per_byte", sentences(160), HELD, orders=[2])
    many = registered("scratch", "bits_per_byte", sentences(160), HELD, epochs=6)
    assert promoted("bits_per_byte", few).refusal is None
    evidence = promoted("bits_per_byte", many)
    assert evidence.refusal is None, evidence.refusal
    assert (evidence.champion, evidence.test_sha256) == (few, documents.sha256(HELD))
    assert [check.gate for check in evidence.checks][-2:] == ["better than baseline", "better than the champion"]
    assert "on the same 60 rows: -" in evidence.checks[-1].said
    assert "bits_per_byte" in str(promoted("bits_per_byte", few).refusal)
    assert "+0.000 (95 %: +0.000 to +0.000); better with 0 %" in str(promoted("bits_per_byte", many).refusal)
    assert champion.current(use_case.NAME).version == many  # type: ignore[union-attr]
    assert not list((repo / "mlartifacts").rglob("__pycache__"))


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize("metric", ["exact_match", "chrf"])
def test_better_answers_replace_worse_ones_and_not_the_other_way_round(metric: str) -> None:
    worse = registered("baseline", metric, chats(wrong=20), chats(wrong=0))
    better = registered("baseline", metric, chats(wrong=5), chats(wrong=0))
    assert promoted(metric, worse).refusal is None
    evidence = promoted(metric, better)
    assert evidence.refusal is None, evidence.refusal
    assert "on the same 60 rows: +0." in evidence.checks[-1].said
    assert f"better than the champion: {metric} 0." in str(promoted(metric, worse).refusal)


@pytest.mark.usefixtures("repo")
def test_one_more_right_answer_is_no_proof() -> None:
    first = registered("baseline", "exact_match", chats(wrong=6), chats(wrong=0))
    second = registered("baseline", "exact_match", chats(wrong=5), chats(wrong=0))
    promoted("exact_match", first)
    assert "better than the champion" in str(promoted("exact_match", second).refusal)


@pytest.mark.usefixtures("repo")
def test_a_champion_that_has_no_such_metric_is_not_compared_and_the_line_says_what_to_do() -> None:
    found = registered("baseline", "exact_match", chats(wrong=0), chats(wrong=0))
    promoted("exact_match", found)
    reason = "this version has no bits_per_byte on these rows; set objective.metric to what both have"
    assert reason in str(promotion.measure(settings("bits_per_byte"), found).refusal)


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("train", {"steps_done": 0}, "its training is not finished: 0 of 1 steps"),
        ("evaluation", {"baselines": {}, "diff": []}, "results/evaluation.json lacks the baselines baseline"),
    ],
)
def test_an_unfinished_training_and_a_missing_baseline_are_not_registered(
    name: str, change: dict[str, Any], reason: str
) -> None:
    registered("baseline", "chrf", chats(wrong=9), chats(wrong=0))
    path = Path("results") / f"{name}.json"
    record = records.read({"train": Training, "evaluation": records.Evaluation}[name], path)
    records.write(record.model_copy(update=change), path)
    with pytest.raises(Refused, match=reason):
        registry.register(settings("chrf"))


@pytest.mark.usefixtures("repo")
def test_the_card_has_a_dash_for_what_a_baseline_lacks_and_the_judges_difference() -> None:
    registered("baseline", "chrf", chats(wrong=9), chats(wrong=0))
    about = model_card.about(settings("chrf"))
    seen = about.evaluation
    judged = Judged(
        command="./judge", value=0.7, diff=[Difference(against="baseline", value=0.3, low95=0.2, high95=0.4, p=0.01)]
    )
    told = seen.model_copy(update={"metrics": seen.metrics | {"bits_per_byte": 1.25}, "judge": judged})
    card = model_card.card(replace(about, evaluation=told), {})
    assert re.search(r"\*\*this model\*\* \| 1\.250 \|", card)
    assert re.search(r"\| baseline \| – \| 0\.\d+", card)
    assert "- +0.300 judge against baseline (95 %: +0.200 to +0.400" in card
