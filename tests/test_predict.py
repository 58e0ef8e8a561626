"""`python -m tasks.predict`: the columns written, refusals, and that no table of these shapes makes it crash."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import predict, validate, verdicts
from tasks.cost import TABLES
from tasks.stage import UserError

OUTCOMES = {
    "cost": ("training_runs.csv", ["gpu_hours", "wall_days", "mfu_reported", "cost_usd_reported", "energy_mwh"]),
    "memory": ("memory_truth.csv", ["mem_gb"]),
    "verdict": ("ft_vs_scratch.csv", ["scratch", "transfer", "delta_transfer", "winner"]),
}


def without_outcomes(kind: str) -> list[dict[str, str]]:
    name, outcomes = OUTCOMES[kind]
    with (TABLES / name).open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in outcomes} for row in csv.DictReader(file)]


def predicted(kind: str, rows: list[dict[str, str]], folder: Path) -> list[dict[str, str]]:
    given, written = folder / "in.csv", folder / "out.csv"
    with given.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    predict.main(kind, given, written)
    with written.open(newline="") as file:
        return list(csv.DictReader(file))


def sound(row: dict[str, str]) -> bool:
    """A refusal with a reason, or an estimate inside its interval."""
    if not row["estimate"]:
        return bool(row["flag"]) and not row["low90"] and not row["high90"]
    return 0 <= float(row["low90"]) <= float(row["estimate"]) <= float(row["high90"])


@pytest.mark.parametrize("kind", list(OUTCOMES))
def test_every_row_of_the_shipped_tables_gets_an_estimate_or_a_reason(kind: str, tmp_path: Path) -> None:
    rows = without_outcomes(kind)
    answers = predicted(kind, rows, tmp_path)
    assert list(answers[0])[:5] == ["id", "estimate", "low90", "high90", "flag"]
    assert len(answers) == len(rows)
    assert all(map(sound, answers))
    assert sum(bool(row["estimate"]) for row in answers) >= 40


@pytest.mark.parametrize("kind", list(OUTCOMES))
def test_no_cell_makes_it_crash(kind: str, tmp_path: Path) -> None:
    draw = random.Random(0)
    odd = [
        "",
        " ",
        "nan",
        "inf",
        "-1",
        "0",
        "1e400",
        "7B",
        "6,7",
        "~5",
        "unknown",
        "8xH100 + 8xA100",
        "None",
        "½",
        '"',
        "1e-300",
        "9e9",
    ]
    rows = without_outcomes(kind)
    for row in rows:
        for column in draw.sample(list(row), 3):
            row[column] = draw.choice(odd)
    assert all(map(sound, predicted(kind, rows, tmp_path)))


def test_a_7b_run_on_a100_is_foretold_and_a_run_without_tokens_refused(tmp_path: Path) -> None:
    run = {"id": "a", "kind": "pretrain", "params_b": "6.738", "active_b": "6.738", "tokens_b": "2000", "gpu": "A100-80GB-SXM"}
    rows = [
        run,
        {**run, "id": "b", "tokens_b": ""},
        {**run, "id": "c", "gpu": "abacus"},
        {**run, "id": "d", "params_b": "6738000000", "active_b": ""},
        {**run, "id": "e", "kind": "pretrain-moe", "active_b": ""},
        {**run, "id": "f", "kind": "pretrain(pruned+distilled)"},
        {**run, "id": "g", "gpu": "B200"},
    ]
    a, *refused, g = predicted("cost", rows, tmp_path)
    assert float(a["low90"]) < 184_320 < float(a["high90"])
    assert [row["estimate"] for row in refused] == [""] * 5
    assert [row["flag"].split(":")[0].split(" is")[0] for row in refused] == [
        "tokens_b",
        "gpu",
        "params_b",
        "active_b",
        "distilled",
    ]
    assert "no published run" in g["flag"]


def test_memory_says_whether_it_fits_and_verdicts_whether_they_abstain(tmp_path: Path) -> None:
    memory = predicted("memory", without_outcomes("memory"), tmp_path)
    assert {row["fits"] for row in memory} == {"0", "1", ""}
    assert all(bool(row["fits"]) <= bool(row["estimate"]) for row in memory)
    verdict = predicted("verdict", without_outcomes("verdict"), tmp_path)
    assert all((row["abstain"] == "1") == (row["estimate"] == "") and 0 <= float(row["p_transfer"]) <= 1 for row in verdict)


def test_the_data_ratio_decides_only_at_its_ends() -> None:
    row = {"comparison": "general_ft_vs_domain_scratch_pretrain"}
    assert verdicts.screen({**row, "scratch_desc": "Finnish BERT from scratch on 3B tokens"}).favours == "scratch"
    assert verdicts.screen({**row, "scratch_desc": "a 7B model from scratch on 1B tokens"}).favours == "transfer"
    assert verdicts.screen({**row, "scratch_desc": "RoBERTa-Twitter pretrained from scratch on 60M tweets"}).rule is None
    assert verdicts.screen({**row, "scratch_desc": "in-domain SimCLR"}).rule is None


def test_ratio_is_read_from_the_description() -> None:
    assert verdicts.scratch_ratio("a 50B model on 363B tokens") == pytest.approx(0.363)
    assert verdicts.scratch_ratio("BERT-large on 6.8B tokens") == pytest.approx(1)
    assert verdicts.scratch_ratio("BERT") is None


def test_curves_give_one_row_a_curve(tmp_path: Path) -> None:
    point = {"curve": "a", "learner": "", "seed": "0", "to_n": "8000", "higher_is_better": "0"}
    rows = [{**point, "n": str(n), "value": str(10 * n**-0.2)} for n in (125, 250, 500, 1000)]
    rows += [{**point, "curve": "b", "n": "zero", "value": "1"}]
    a, b = predicted("curves", rows, tmp_path)
    assert a["id"] == "a"
    assert float(a["estimate"]) == pytest.approx(10 * 8000**-0.2, rel=0.1)
    assert b["estimate"] == ""
    assert b["flag"]


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("cost", "id,params_b,tokens_b\na,7,1000\n", "column gpu is missing"),
        ("cost", "", "column id is missing"),
        ("memory", None, "cannot be read"),
        ("verdict", "id,comparison,scratch_desc\n\xff\n", "cannot be read"),
        ("divination", "id\n", "give one of curves, cost, memory, verdict"),
    ],
)
def test_a_users_mistake_is_one_line(kind: str, text: str | None, says: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "in.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=says) as caught:
        predict.main(kind, tmp_path / "in.csv", tmp_path / "out.csv")
    assert "\n" not in str(caught.value)


def test_the_command_exits_with_2_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.predict", "cost", "none.csv", str(tmp_path / "o.csv")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("none.csv: cannot be read")


def test_validation_reaches_its_targets_on_the_shipped_tables() -> None:
    measures = [*validate.hours(TABLES), *validate.peaks(TABLES), *validate.bad_runs(TABLES), *validate.contested(TABLES)]
    assert [one.measure for one in measures if one.met is False] == []
    assert sum(one.met is True for one in measures) == 8


def test_validation_holds_on_a_folder_with_a_few_rows(tmp_path: Path) -> None:
    for name in ("training_runs.csv", "memory_truth.csv", "ft_vs_scratch.csv"):
        lines = (TABLES / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[:3]))
    measures = [
        *validate.hours(tmp_path),
        *validate.peaks(tmp_path),
        *validate.bad_runs(tmp_path),
        *validate.contested(tmp_path),
    ]
    assert measures[0].n == 2
    assert json.loads(json.dumps(validate.record(measures), allow_nan=False))[0]["n"] == 2


@pytest.mark.parametrize(
    ("target", "reached", "met"),
    [
        ("<= 2", 2, True),
        (">= 88", 87.9, False),
        ("88-92", 92.1, False),
        ("", 1, None),
        ("better", 1, None),
        ("<= 2", float("nan"), None),
    ],
)
def test_a_target_is_met_missed_or_none(target: str, reached: float, met: bool | None) -> None:
    assert validate.Measure("m", reached, target, 1).met is met
