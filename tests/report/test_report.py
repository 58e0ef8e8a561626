from __future__ import annotations

import re
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasks import formats, records
from tasks.decide import Inputs
from tasks.records import Decision, Difference, Flip, Judged, Metric, Plan, Realised, Span, Unseen
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
    assert re.search(
        r"Realised: 82\.3%, inside the [\d.–]+% predicted; training took 2\.8 min, inside the .* predicted; 1\.2 GB", report[0]
    )


def test_a_training_that_took_longer_than_predicted_is_said_in_the_heading(report: tuple[str, Decision]) -> None:
    _, decision = report
    plan = Plan(branch="full", base_model=None, recipe={})
    training = after.training(plan)
    assert training.measured
    slow = training.model_copy(update={"measured": training.measured.model_copy(update={"wall_seconds": 3600.0})})
    heading = words.realised_heading(decision, slow, after.evaluation(plan))
    assert re.search(r"; training took 60 min, longer than the [\d.]+–[\d.]+ min predicted; ", heading)
    elsewhere = words.realised_heading(decision, slow, after.evaluation(plan), "H100")
    assert re.fullmatch(r"Realised: 82\.3%, inside the [\d.–]+% predicted", elsewhere)


def test_metrics_that_were_not_aimed_at_stand_there_and_worse_ones_are_called_worse(report: tuple[str, Decision]) -> None:
    assert "Log loss: 0.400 (majority 0.693, tfidf 0.530)." in report[0]
    done = after.evaluation(Plan(branch="full", base_model=None, recipe={}))
    worse = done.model_copy(update={"metrics": done.metrics | {"log_loss": 0.6}})
    assert "Log loss: 0.600 (majority 0.693, tfidf 0.530; worse than tfidf)." in words.others(worse, "accuracy")


def test_a_change_of_the_base_model_alone_is_told_with_its_name(report: tuple[str, Decision]) -> None:
    _, decision = report
    mine = decision.verdict
    other = flip(constraint="max_latency_ms", at=6.0, to_branch=mine.branch, to_base_model="another", to_reason="the best")
    assert words.becomes(other, decision).endswith(" of another")
    same = other.model_copy(update={"to_branch": "probe", "to_base_model": mine.base_model})
    assert words.becomes(same, decision) == "linear probe"
    tied = same.model_copy(update={"to_reason": "as good as the best within the noise, and the cheapest of those"})
    assert "ties" in words.becomes(tied, decision)


def test_what_speaks_against_an_option_is_what_is_true_of_it(report: tuple[str, Decision]) -> None:
    _, decision = report
    best = decision.branches[0]
    sure = decision.model_copy(update={"metric": Metric.of("accuracy", 0.5)})
    other = best.model_copy(update={"status": "possible", "base_model": "another"})
    assert "no better" in words.why(other, sure).rest.lower()
    dear = other.model_copy(update={"parts_usd": {"people": sum(best.parts_usd.values()) + 640}})
    assert words.why(dear, sure).rest == "$640 more in the first year."
    unsure = other.model_copy(update={"p_target": 0.31})
    assert (
        "less sure"
        in words.why(unsure, sure.model_copy(update={"branches": [best.model_copy(update={"p_target": 0.9})]})).rest.lower()
    )


def test_what_a_first_year_costs_is_the_same_mean_in_record_and_page(report: tuple[str, Decision]) -> None:
    page, decision = report
    for option in decision.branches:
        assert option.first_year_usd
        assert option.first_year_usd.value == pytest.approx(sum(option.parts_usd.values()))
        assert formats.money(option.first_year_usd.value) in page


def test_a_run_on_all_rows_in_the_place_of_rungs_is_explained(tmp_path: Path) -> None:
    given = synthetic.inputs(rungs=(100, 200, 1800, 1900))
    for pilot in given.pilots.values():
        pilot.cells[:] = [cell for cell in pilot.cells if cell.n == 1900 and cell.seed == 0]
    page, _ = reported(given, tmp_path)
    assert "One run on all 1,900 rows that are not held out was to cost less than the rungs 400 and 800" in page
    assert "1 to 2 seeds a size" in page


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
    assert any(trade.pays_from_usd for trade in decision.tradeoff)
    assert all(f"{said}</td>" in page for said in words.worth_most(decision))
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


def test_with_cross_validation_the_report_knows_one_ratio_and_one_band(tmp_path: Path) -> None:
    page, decision = reported(synthetic.folded(), tmp_path)
    ratio = decision.branches[0].predicted.ratio
    assert f"your data is {formats.short(ratio)} times that" in page
    assert f"predicted for {formats.short(ratio)} times" in page
    assert "means over the folds" in page
    assert page.count(" band") == 2  # one in each of both widths


def test_the_extrapolation_told_is_that_of_the_choice_also_where_others_had_larger_pilots(tmp_path: Path) -> None:
    stopped = tuple(key for key in synthetic.LAWS if key[0] != "baseline")
    page, decision = reported(synthetic.inputs(synthetic.settings(objective={"target": None}), stopped=stopped), tmp_path)
    option = decision.branches[0]
    assert (option.status, option.largest_rung) == ("chosen", 240)
    assert max(other.largest_rung for other in decision.branches) == 960
    assert "The largest pilot of the choice had 240 rows; your data is 10 times that." in page


def test_each_option_is_worth_most_up_to_where_the_next_one_is(report: tuple[str, Decision]) -> None:
    _, decision = report
    first = decision.tradeoff[0]
    trades = [first.model_copy(update={"pays_from_usd": usd}) for usd in (0.0, 430.0, None, 900.0)]
    assert words.worth_most(decision.model_copy(update={"tradeoff": trades})) == [
        "less than $430 a year",
        "$430 to $900 a year",
        "no amount: another is always worth more",
        "$900 or more a year",
    ]
    assert words.worth_most(decision.model_copy(update={"tradeoff": trades[:1]})) == ["any amount"]


def test_two_values_of_a_point_at_which_things_change_are_explained(report: tuple[str, Decision]) -> None:
    _, decision = report
    trades = [decision.tradeoff[0].model_copy(update={"pays_from_usd": usd}) for usd in (0.0, 430.0)]
    at = flip(constraint="value_per_point_usd", now=500.0, at=459.0)
    apart = decision.model_copy(update={"tradeoff": trades, "flips": [at]})
    assert words.value_note(apart).startswith("The verdict changes elsewhere, at $459 a year: of what ties within the noise")
    assert words.value_note(apart.model_copy(update={"flips": [at.model_copy(update={"at": 430.0})]})) == ""
    assert words.value_note(apart.model_copy(update={"flips": []})) == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"constraint": "max_latency_ms", "at": 6.36, "side": "above"}, "a limit of 6.36 ms or more for an answer"),
        ({"constraint": "max_model_gb", "at": 0.0899}, "a limit of 0.0899 GB or less for the model"),
        ({"constraint": "months_until_use", "at": 3.0}, "a limit of 3 months or less until use"),
        ({"constraint": "usd_per_label", "at": 0.02, "side": "above"}, "labels at $0.02 or more"),
        (
            {"constraint": "usd_per_label", "at": 0.001, "side": "above", "at_end": True},
            "labels at $0.001 or more, the lowest value tried",
        ),
        ({"constraint": "deadline_hours", "at": 12.0, "at_end": True}, "a deadline of 12 h or less, the highest value tried"),
        ({"constraint": "business_use", "at": True, "side": "switch"}, "for business"),
    ],
)
def test_a_change_is_a_phrase_that_can_be_read_aloud(report: tuple[str, Decision], given: dict[str, object], said: str) -> None:
    _, decision = report
    assert words.mind(decision.model_copy(update={"flips": [flip(**given)]})) == f"{said} (linear probe)."


def flip(**given: object) -> Flip:
    return Flip.model_validate({"now": None, "to_branch": "probe", "to_status": "chosen", "side": "below", "note": ""} | given)


def test_an_interval_that_is_the_value_beside_it_is_not_written_twice(tmp_path: Path) -> None:
    given = synthetic.inputs()
    after.write(given, tmp_path)
    decision = records.read(Decision, tmp_path / "decision.json")
    sure = {"first_year_usd": Span(value=640, low=640, high=640), "hours": Span(value=2, low=2, high=2)}
    options = [option.model_copy(update=sure | {"parts_usd": {"people": 640.0}}) for option in decision.branches]
    records.write(decision.model_copy(update={"branches": options}), tmp_path / "decision.json")
    main(tmp_path, tmp_path / "report.html", tmp_path / "realised.json")
    text = " ".join(re.sub(r"<[^>]*>", " ", (tmp_path / "report.html").read_text(encoding="utf-8")).split())
    assert "$640" in text
    assert not re.search(r"\$640 \$640|\$640–\$640|2 h \(?2 h|2 h–2 h", text)


def test_a_setting_that_is_empty_is_not_said_to_be_no(report: tuple[str, Decision]) -> None:
    assert words.amount("business_use", None) == "not declared"
    found = next(one for one in report[1].flips if one.constraint == "business_use")
    assert found.now is None


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
        (formats.duration_range(0.05, 0.1), "3–6 min"),
        (formats.duration_range(0.01, 0.1), "36 s–6 min"),
        (formats.duration_range(0.1, 0.1), "6 min"),
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


def test_the_report_says_what_the_users_own_judge_says_or_why_it_says_nothing() -> None:
    done = after.evaluation(Plan(branch="full", base_model=None, recipe={}))
    assert words.judged(done) == ""
    ahead = Difference(against="baseline", value=0.21, low95=-0.1, high95=0.32, p=0.01)
    told = {
        "metrics": {"chrf": 0.4, "judge": 0.7},
        "baselines": {"baseline": {"chrf": 0.3, "judge": 0.49}},
        "judge": Judged(command="./judge", value=0.7, diff=[ahead]),
    }
    heard = done.model_copy(update=told)
    assert words.others(heard, "chrf") == "Judge: 0.700 (baseline 0.490). "
    assert words.judged(heard) == "By the judge against baseline: +0.210 (95% interval -0.100 to +0.320). "
    silent = Judged(command="./judge", value=None, diff=[], reason="it ended with exit code 3")
    assert words.judged(done.model_copy(update={"judge": silent})) == "Judge: not known (it ended with exit code 3). "
