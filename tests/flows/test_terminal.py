"""What the lines of a run say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import artifacts, closing, terminal
from flows.closing import Earlier
from tasks import formats, ledger, records
from tasks.records import Flip, Span
from tests import use_case
from tests.use_case import settings


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    use_case.repository(tmp_path / "person", settings())
    yield
    use_case.leave()


@pytest.mark.usefixtures("repo")
def test_the_time_of_stages_that_dvc_may_restore_is_not_counted_as_left(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(terminal.log, "debug", said.append)
    ahead = terminal.Ahead(["train", "evaluate"])
    (ahead._path).write_text('{"train": 100, "evaluate": 20}')
    told = {"what": "train", "done": 3, "total": 10, "unit": "rows", "eta_seconds": 7, "note": "seed 2"}
    ahead.progress("train", told)
    ahead.progress("train", None)
    ahead.finished("train", 10)
    ahead.progress("evaluate", told)
    assert said == [
        "[1 of 2] train · train: 3 of 10 rows (seed 2) · about 7 s left, then up to 20 s by earlier runs",
        "[1 of 2] train · then up to 20 s by earlier runs",
        "[2 of 2] evaluate · train: 3 of 10 rows (seed 2) · about 7 s left",
    ]


def test_a_line_of_progress_is_not_said_twice_where_nobody_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", -1.0)
    shown = terminal.Terminal()
    for text in ("[1 of 2] audit", "[1 of 2] audit", "[2 of 2] decide"):
        shown.emit(logging.LogRecord("crossover", logging.DEBUG, "", 0, text, None, None))
    assert capsys.readouterr().err == "[1 of 2] audit\n[2 of 2] decide\n"


def test_what_would_change_the_verdict_names_setting_value_and_new_verdict() -> None:
    flips = [
        Flip(constraint="target", now=0.8, at=0.76, to_branch="probe", to_status="chosen", side="below", note="decided again"),
        Flip(constraint="max_model_gb", now=None, at=None, to_branch=None, side="below", note="none"),
    ]
    record = use_case.decision().model_copy(update={"flips": flips})
    assert artifacts._flips(record) == [
        "- **Target**, now 80.0%: a target of 76.0% or less (linear probe).",
        "- No value that was tried, on one side at least: Largest model",
    ]


@pytest.mark.parametrize(
    ("created", "challenger", "said"),
    [
        (True, True, "new, challenger"),
        (True, False, "new; the challenger stays, as params.yaml has other settings"),
        (False, True, "as before, challenger"),
        (False, False, "as before"),
    ],
)
def test_whether_the_challenger_moved_is_said(created: bool, challenger: bool, said: str) -> None:
    made = {"name": "reviews", "version": "3", "created": created, "challenger": challenger}
    assert closing.registered_line(made) == f"Registered: reviews version 3 ({said})."


def test_an_amount_is_written_once_where_its_interval_is_itself() -> None:
    assert artifacts.span(Span(value=640, low=640, high=640), formats.money) == "$640"
    assert artifacts.span(Span(value=640, low=600, high=700), formats.money) == "$640 ($600 to $700)"
    assert artifacts.span(None, formats.money) == "?"


@pytest.mark.usefixtures("repo")
def test_what_changed_is_told_within_one_use_case() -> None:
    use_case.trained(180)
    ours, theirs = settings(), settings(use_case={"name": "tickets"})
    ledger_entry = {"use_case": ours.use_case.name, "decision_sha256": records.sha256_of_file(Path("results/decision.json"))}
    ledger.append("decision: movie-reviews: full", ledger_entry)
    assert closing.earlier(ours).decision == use_case.decision()
    assert closing.earlier(theirs) == Earlier(None, None)
    assert closing.changed_line(closing.earlier(theirs), use_case.decision(), ["decide"]) == (
        "Changed: this is the first decision."
    )
