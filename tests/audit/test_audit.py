"""The whole audit: what was planted is what is counted, and a file that is of no use is refused in one line."""

import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import documents, records
from tasks.audit import splitting
from tasks.audit.pipeline import Audited, audit
from tasks.params import Data
from tasks.records import Audit
from tasks.stage import UserError

Sentences = Callable[..., list[str]]
Jsonl = Callable[[list[Any]], Path]
ALL = Data(max_rows=None)
ROOT = Path(__file__).parents[2]


def labelled(texts: list[str], labels: str = "xy") -> list[dict[str, Any]]:
    return [{"text": text, "label": labels[i % len(labels)]} for i, text in enumerate(texts)]


def kept(audited: Audited) -> list[documents.Document]:
    return audited.train + audited.test


def assert_accounted_for(record: Audit) -> None:
    left_out = sum(record.rows_rejected.values()) + record.exact_duplicates + record.rows_not_drawn
    assert record.rows_delivered == left_out + record.rows_kept
    assert record.rows_kept == record.train.rows + record.test.rows == sum(record.labels.values())
    assert record.groups == record.train.groups + record.test.groups


def assert_no_group_on_both_sides(audited: Audited) -> None:
    assert not {d.group for d in audited.train} & {d.group for d in audited.test}
    assert not {d.id for d in audited.train} & {d.id for d in audited.test}
    assert len({d.id for d in kept(audited)}) == len(kept(audited))


def test_what_was_planted_is_what_is_counted(sentences: Sentences, jsonl: Jsonl) -> None:
    texts = sentences(400, 30)
    rows: list[Any] = labelled(texts)
    rows += [{"text": row["text"].upper() + " ", "label": row["label"]} for row in rows[:25]]  # exact duplicates
    rows += [{"text": row["text"] + " more", "label": row["label"]} for row in rows[40:70]]  # near duplicates
    rows += [{"text": row["text"] + " more", "label": "x" if row["label"] == "y" else "y"} for row in rows[80:87]]
    rows += [{"text": row["text"], "label": "x" if row["label"] == "y" else "y"} for row in rows[100:104]]  # conflicts
    rows += [{"text": text, "label": "rare"} for text in sentences(9, 30, seed=1)]
    rows += [{"text": "", "label": "x"}] * 3 + [{"label": "x"}] * 2 + [{"text": "no label"}, {"text": 3, "label": "x"}]
    rows += [b"\xff\xfe\n", b"{]\n", b"\n", b"7\n", b'{"text": "half a li']
    got = audit(jsonl(rows), ALL)
    record = got.record
    assert record.rows_delivered == 400 + 25 + 30 + 7 + 4 + 9 + 7 + 4
    assert record.rows_rejected == {
        "conflicting_labels": 8, "invalid_utf8": 1, "label_missing": 1, "not_an_object": 1, "not_json": 1,
        "rare_label": 9, "text_empty": 3, "text_missing": 2, "text_not_text": 1, "truncated_line": 1,
    }  # fmt: skip
    assert (record.exact_duplicates, record.near_duplicates) == (25, 37)
    assert (record.conflicting_labels, record.near_conflicts) == (4, 7)
    assert record.rows_kept == 400 + 37 - 4
    assert record.groups == 400 - 4
    assert len(got.rejected) == sum(record.rows_rejected.values())
    assert [row.row for row in got.rejected] == sorted(row.row for row in got.rejected)
    assert_accounted_for(record)
    assert_no_group_on_both_sides(got)


def test_planted_leaks_are_those_that_a_split_by_row_would_have_made(sentences: Sentences, jsonl: Jsonl) -> None:
    clean = labelled(sentences(100))
    assert audit(jsonl(clean), ALL).record.leaks_prevented == 0
    copied = clean[0]
    key = next(d.id for d in kept(audit(jsonl(clean), ALL)) if d.text == copied["text"])
    across = sum(documents.share("row", key, copy) < splitting.TEST_SHARE for copy in range(60))
    assert audit(jsonl(clean + [copied] * 59), ALL).record.leaks_prevented == across > 0


def test_a_shuffled_file_gives_the_same_split_and_record(sentences: Sentences, jsonl: Jsonl, tmp_path: Path) -> None:
    rows: list[Any] = labelled(sentences(300), "xyz")
    rows += [{"text": row["text"] + "!", "label": "x"} for row in rows[:60]]
    rows += [{"text": row["text"].title(), "label": row["label"]} for row in rows[60:90]] + [{"text": ""}]
    written = set()
    for seed in range(3):
        got = audit(jsonl(random.Random(seed).sample(rows, len(rows))), Data(max_rows=250))
        documents.write(got.train, tmp_path / "train")
        documents.write(got.test, tmp_path / "test")
        record = got.record.model_copy(update={"data_md5": None}).model_dump_json()
        written.add(((tmp_path / "train").read_bytes(), (tmp_path / "test").read_bytes(), record))
    assert len(written) == 1


def test_one_more_row_adds_itself_and_changes_no_other(sentences: Sentences, jsonl: Jsonl) -> None:
    rows = labelled(sentences(301))
    before, after = audit(jsonl(rows[:300]), ALL), audit(jsonl(rows), ALL)
    new = set(kept(after)) - set(kept(before))
    assert [d.text for d in new] == [rows[300]["text"]]
    assert set(before.train) <= set(after.train)
    assert set(before.test) <= set(after.test)


def test_with_max_rows_one_more_row_takes_the_place_of_one_at_most(sentences: Sentences, jsonl: Jsonl) -> None:
    rows = labelled(sentences(301))
    before, after = audit(jsonl(rows[:300]), Data(max_rows=100)), audit(jsonl(rows), Data(max_rows=100))
    assert before.record.rows_not_drawn == 200
    assert after.record.rows_not_drawn == 201
    assert len(set(kept(before)) - set(kept(after))) <= 1
    assert_accounted_for(after.record)


def test_ids_and_groups_of_the_user_are_kept(sentences: Sentences, jsonl: Jsonl) -> None:
    rows = [{"text": t, "label": "xy"[i % 2], "nr": i, "who": f"user {i % 50}"} for i, t in enumerate(sentences(500))]
    data = Data(max_rows=None, id="nr", group="who")
    got = audit(jsonl([*rows, {"text": "nameless but usable", "label": "x"}, rows[0] | {"text": "other"}]), data)
    assert {d.id for d in kept(got)} > {str(i) for i in range(1, 500)}
    assert got.record.rows_rejected == {"id_reused": 2}
    assert got.record.groups == 51
    assert got.record.columns == {"text": "text", "label": "label", "nr": "id", "who": "group"}
    assert got.record.n_effective.low <= got.record.n_effective.value <= got.record.n_effective.high <= got.record.train.rows
    assert "rows without id: 1; a hash of the text names each" in got.record.warnings
    assert "rows without group: 1; each counts as a group of its own" in got.record.warnings
    assert_no_group_on_both_sides(got)


def test_a_csv_with_five_classes(sentences: Sentences, tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["id", "body", "queue"], *([i, t, f"00{i % 5}"] for i, t in enumerate(sentences(500)))])
    record = audit(path, Data(text="body", label="queue", max_rows=None)).record
    assert record.labels == {f"00{i}": 100 for i in range(5)}
    assert record.columns == {"id": "not used", "body": "text", "queue": "label"}


def test_300_rows_in_another_language_as_jsonl_and_parquet(tmp_path: Path) -> None:
    draw = random.Random(6)
    greek = ["".join(chr(draw.randint(0x3B1, 0x3C9)) if draw.random() < 0.8 else " " for _ in range(60)) for _ in range(150)]
    chinese = ["".join(chr(draw.randint(0x4E00, 0x9FA5)) for _ in range(30)) for _ in range(150)]
    rows = labelled(greek + chinese)
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    one, other = audit(tmp_path / "d.jsonl", ALL), audit(tmp_path / "d.parquet", ALL)
    assert kept(one) == kept(other)
    assert one.record.rows_kept == one.record.groups == 300
    assert set(one.record.labels) == {d.label for d in one.train} == {d.label for d in one.test}


def test_whatever_is_delivered_is_accounted_for(sentences: Sentences, jsonl: Jsonl) -> None:
    texts = sentences(60, 8)
    for seed in range(15):
        draw = random.Random(seed)
        rows: list[Any] = [
            {
                "text": draw.choice([draw.choice(texts), draw.choice(texts) + "s", "", None, 5, "\x00"]),
                "label": draw.choice(["a", "b", "a", "b", "c", "", None, 1]),
                "id": draw.choice([None, None, None, draw.randint(0, 400)]),
                "user": draw.choice([None, f"u{draw.randint(0, 90)}"]),
            }
            for _ in range(600)
        ] + labelled(sentences(40, seed=99), "ab")
        got = audit(jsonl(rows), Data(max_rows=draw.choice([None, 90]), id="id", group="user"))
        assert got.record.rows_delivered == 640
        assert_accounted_for(got.record)
        assert_no_group_on_both_sides(got)


# ---- refusals ----------------------------------------------------------------------------------------------------------


def refusal(path: Path, data: Data = ALL) -> str:
    with pytest.raises(UserError) as error:
        audit(path, data)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_thirty_rows_are_enough_and_29_are_not(sentences: Sentences, jsonl: Jsonl) -> None:
    rows = labelled(sentences(30))
    assert audit(jsonl(rows), ALL).record.rows_kept == 30
    said = refusal(jsonl([*rows[:29], rows[0], {"text": "", "label": "x"}]))
    assert "29 of 31 rows are usable and different, at least 30 are needed" in said
    assert "text_empty: the text is empty" in said


def test_one_class_only_is_refused(sentences: Sentences, jsonl: Jsonl) -> None:
    assert "only one label, 'x', in column 'label'" in refusal(jsonl(labelled(sentences(100), "x")))


def test_a_column_that_holds_no_classes_is_refused(sentences: Sentences, jsonl: Jsonl) -> None:
    rows = [{"text": text, "label": str(i)} for i, text in enumerate(sentences(100))]
    assert "has 100 different labels, and fewer than two of them have 10" in refusal(jsonl(rows))


def test_an_id_column_that_names_no_rows_is_refused(sentences: Sentences, jsonl: Jsonl) -> None:
    rows = [row | {"nr": 1} for row in labelled(sentences(100))]
    assert "id_reused: other rows with another content or label have the same id" in refusal(jsonl(rows), Data(id="nr"))


def test_a_file_in_another_encoding_is_refused_and_one_with_few_bad_bytes_is_not(sentences: Sentences, jsonl: Jsonl) -> None:
    rows = labelled(sentences(100))
    latin = [f'{{"text": "caf\u00e9 {i}", "label": "x"}}\n'.encode("latin1") for i in range(101)]
    assert "is not UTF-8: convert it, for example `iconv -f latin1 -t utf-8" in refusal(jsonl(rows + latin))
    record = audit(jsonl(rows + latin[:5]), ALL).record
    assert record.rows_rejected == {"invalid_utf8": 5}
    assert any("iconv" in warning for warning in record.warnings)


def test_files_without_rows_are_refused(tmp_path: Path, jsonl: Jsonl) -> None:
    assert "holds no rows" in refusal(jsonl([b"\n\n"]))
    (tmp_path / "d.csv").write_text("text,label\n")
    assert "holds no rows" in refusal(tmp_path / "d.csv")


# ---- the command -------------------------------------------------------------------------------------------------------


def command(folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    (folder / "params.yaml").write_text(f"data: {{path: {path.name}, max_rows: }}\n")
    outputs = ["split/train.jsonl", "split/test.jsonl", "results/audit.json", "results/rejected.jsonl", "split/images.zip"]
    done = [sys.executable, "-m", "tasks.audit", path.name, *outputs]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(done, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_command_writes_the_split_the_record_and_what_it_set_aside(
    sentences: Sentences, jsonl: Jsonl, tmp_path: Path
) -> None:
    path = jsonl([*labelled(sentences(100)), {"text": "no label"}, b"nonsense\n"])
    done = command(tmp_path, path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("audit: 2 of 102 rows are set aside: 1 label_missing (no label); 1 not_json")
    record = records.read(Audit, tmp_path / "results/audit.json")
    train, test = (documents.read(tmp_path / f"split/{part}.jsonl") for part in ("train", "test"))
    assert (len(train), len(test)) == (record.train.rows, record.test.rows)
    assert record.train.sha256 == documents.sha256(train)
    rejected = [json.loads(line) for line in (tmp_path / "results/rejected.jsonl").read_text().splitlines()]
    assert [(row["row"], row["reason"]) for row in rejected] == [(101, "label_missing"), (102, "not_json")]


def test_the_command_ends_with_2_and_one_line_for_a_users_mistake_and_writes_nothing(jsonl: Jsonl, tmp_path: Path) -> None:
    done = command(tmp_path, jsonl([{"text": "a", "sentiment": "x"}] * 40))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("data.jsonl: no column 'label' (data.label); it has 'text', 'sentiment'")
    assert not (tmp_path / "results").exists()


def test_the_audit_imports_no_training_engine() -> None:
    loaded = "import sys, tasks.audit.__main__ as _, tasks.context as _; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "sklearn", "mlflow", "pandas", "scipy", "prefect"} & set(done.stdout.split())
