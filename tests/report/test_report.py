from __future__ import annotations

import re
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasks import formats, records
from tasks.decide import Inputs
from tasks.records import Decision, Plan, Realised, Unseen
from tasks.report import words
from tasks.report.__main__ import main
from tasks.report.svg import smooth
from tests.decide import synthetic
from tests.report import after

VOID = {"meta", "br", "link", "img", "input", "hr"}


def reported(given: Inputs, folder: Path) -> tuple[str, Decision]:
    after.write(given, folder)
    main(folder, folder / "report.html", folder / "realised.json")
    return (folder / "report.html").read_text(encoding="utf-8"), records.read(Decision, folder / "decision.json")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Decision]:
    return reported(synthetic.inputs(), tmp_path_factory.mktemp("results"))


def test_nothing_outside_the_page_is_referred_to(report: tuple[str, Decision]) -> None:
    page, _ = report
    assert not re.search(r"https?://|//[a-z]|<script|<link|<img|@import|javascript:|\son\w+=", page)
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {
        f"#p-{name}{w}" for name in (*synthetic.BRANCHES, "label_more") for w in (680, 444)
    }


def test_every_option_stands_there_with_the_figures_of_its_record(report: tuple[str, Decision]) -> None:
    page, decision = report
    for o in decision.branches:
        assert o.predicted.value is not None
        assert formats.percent(o.predicted.value) in page
        assert f"{100 * (o.predicted.low90 or 0):.1f}–{100 * (o.predicted.high90 or 0):.1f}" in page
        assert o.hours
        assert escape(formats.duration(o.hours.value)) in page


def test_all_elements_are_closed_and_charts_have_titles(report: tuple[str, Decision]) -> None:
    class Check(HTMLParser):
        stack: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
            if tag not in VOID:
                self.stack.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert self.stack.pop() == tag

    check = Check()
    check.feed(report[0])
    assert not check.stack
    assert len(re.findall(r'role="img"><title>', report[0])) == 4


def test_each_anchor_leads_somewhere(report: tuple[str, Decision]) -> None:
    page, _ = report
    assert all(f'id="{name}"' in page for name in re.findall(r'href="#([^"]+)"', page))


def test_what_was_realised_stands_beside_what_was_predicted(report: tuple[str, Decision]) -> None:
    assert "Realised 82.3%" in report[0]


def test_what_came_true_is_a_record_of_its_own(tmp_path: Path) -> None:
    _, decision = reported(synthetic.inputs(), tmp_path)
    came = {q.name: q for q in records.read(Realised, tmp_path / "realised.json").quantities}
    assert came["accuracy"].realised == 0.823
    option = decision.branches[0]
    assert option.predicted.low90 is not None
    assert option.predicted.high90 is not None
    assert came["accuracy"].inside == (option.predicted.low90 <= 0.823 <= option.predicted.high90)
    assert came["hours"].realised == 165 / 3600
    reported(synthetic.inputs(synthetic.settings(constraints={"budget_usd": 0})), tmp_path)
    assert records.read(Realised, tmp_path / "realised.json").status == "nothing_to_do"


def test_the_break_even_the_next_rung_and_what_was_assumed_stand_there(report: tuple[str, Decision]) -> None:
    page, decision = report
    pays = [trade.pays_from_usd for trade in decision.tradeoff if trade.pays_from_usd]
    assert pays
    assert all(f"from {formats.money(usd)} a year" in page for usd in pays)
    assert "Next rung, " in page
    assert all(line in unescape(page) for line in decision.assumed)


def test_an_impossible_budget_is_reported_with_the_way_out(tmp_path: Path) -> None:
    page, decision = reported(synthetic.inputs(synthetic.settings(constraints={"budget_usd": 0})), tmp_path)
    assert decision.verdict.status == "no_branch_fits"
    assert "Nothing fits your limits." in page
    assert "raise constraints.budget_usd to 0.01" in page
    assert "Nothing was trained" in page


def test_cross_validation_and_names_that_look_like_html_are_reported(tmp_path: Path) -> None:
    given = synthetic.folded()
    evil = given.audit.model_copy(update={"rows_rejected": {"<script>alert(1)</script>": 3}})
    page, _ = reported(Inputs(given.settings, evil, given.candidates, given.shortlist, given.screens, given.pilots), tmp_path)
    assert "<script" not in page.lower()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (formats.percent(0.8889), "88.9%"),
        (formats.money(0.001), "<$0.01"),
        (formats.money(4.5), "$4.50"),
        (formats.money(1234.5), "$1,230"),
        (formats.money(0), "$0.00"),
        (formats.duration(1.1), "66 min"),
        (formats.duration(2.04), "2 h"),
        (formats.duration(0.0001), "<1 s"),
        (formats.duration(100), "4.2 days"),
        (formats.chance(0.001), "<1%"),
        (formats.chance(0.999), ">99%"),
        (formats.chance(None), "–"),
        (formats.three(0.000123456), "0.000123"),
        (formats.three(123456), "123,000"),
        (formats.short(0.5), "0.5"),
        (formats.points(-0.012), "−1.2"),
        (formats.gigabytes(1.26), "1.3 GB"),
        (formats.day("2027-02-20"), "20 Feb 2027"),
    ],
)
def test_figures_are_written_with_few_digits(text: str, wanted: str) -> None:
    assert text == wanted


def test_curves_overshoot_no_point() -> None:
    path = smooth([(0, 0), (1, 10), (2, 10), (3, 12)])
    heights = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", path)]
    assert max(heights) == 12
    assert min(heights) == 0


def test_the_report_says_how_good_a_model_is_on_text_that_training_does_not_hold() -> None:
    done = after.evaluation(Plan(branch="full", base_model=None, recipe={}))
    assert words.unseen(done, "bits_per_byte") == ""
    found = Unseen(texts=30, bytes=4210, metrics={"bits_per_byte": 1.25}, baselines={"baseline": {"bits_per_byte": 1.75}})
    assert words.unseen(done.model_copy(update={"unseen": found}), "bits_per_byte") == (
        "On the 30 test texts (4,210 bytes) that do not occur in training: 1.25 bits per byte, baseline 1.75 bits per byte. "
    )
    none = Unseen(texts=0, bytes=0, metrics=None, baselines={}, reason="all are known")
    assert "not known (all are known)" in words.unseen(done.model_copy(update={"unseen": none}), "chrf")
