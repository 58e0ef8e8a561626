"""The audit from a file to a split and its record."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.audit import files, images, splitting, summary
from tasks.audit.duplicates import Distinct, drawn, normalised, without_exact_duplicates
from tasks.audit.images import Seen
from tasks.audit.near import near_pairs
from tasks.audit.rows import REASONS, Row, checked, count, without_reused_ids
from tasks.audit.table import Rejected, Table
from tasks.documents import Document, sha256
from tasks.params import Data
from tasks.records import Audit, Split, md5_of_file
from tasks.stage import UserError

ROWS_LEAST = 30
"""About 24 to train on and 6 to test with, five for each fold of a cross-validation; fewer measure nothing."""
LABEL_LEAST = 10
"""Rows of one label: about 8 to train on, so that most of five folds hold one, and 2 to test with."""


@dataclass(frozen=True)
class Audited:
    record: Audit
    train: list[Document]
    test: list[Document]
    rejected: list[Rejected]
    images: Iterable[tuple[str, bytes]]
    """Name and content of the kept rows' images, read when it is iterated over."""


def audit(path: Path, data: Data, store: Path = Path("data/split/images.zip")) -> Audited:
    """Read `path`, set rows aside, drop duplicates, draw, split. UserError where nothing can be made of the file.

    Holds the usable rows in memory (of an image a hash and a thumbnail); `store` is where
    images will lie. No row's place in the file matters to anything but the numbers in `rejected`.
    """
    table = files.open_table(path, files.wanted(data))
    delivered = [raw if isinstance(raw, Rejected) else checked(raw, data, table.path.parent) for raw in table.rows()]
    aside = [row for row in delivered if isinstance(row, Rejected)]
    if 2 * sum(row.reason == "invalid_utf8" for row in aside) > len(delivered):
        raise files.not_utf8(path)
    usable, reused = without_reused_ids(row for row in delivered if isinstance(row, Row))
    distinct, conflicting, conflicts = without_exact_duplicates(usable)
    some = drawn(distinct, data.max_rows)
    kept, rare = _without_rare_labels(some)
    aside = sorted([*aside, *reused, *conflicting, *rare], key=lambda row: row.row)
    _need_enough(table, len(delivered), {row.label for row in usable}, kept, count(aside))
    counts: dict[str, Any] = {
        "rows_delivered": len(delivered),
        "exact_duplicates": len(usable) - len(conflicting) - len(distinct),
        "rows_not_drawn": len(distinct) - len(some),
        "conflicting_labels": conflicts,
    }
    if path.is_dir():
        counts |= {"path": str(path), "data_md5": None, "bytes": sum(p.stat().st_size for p in path.rglob("*") if p.is_file())}
    return _split(table, data, kept, aside, counts, store)


def _split(
    table: Table, data: Data, kept: list[Distinct], aside: list[Rejected], counts: dict[str, Any], store: Path
) -> Audited:
    looks = [row.row.image for row in kept if row.row.image]
    pairs = images.near_pairs(looks) if data.image else near_pairs([normalised(row.row.text) for row in kept])
    clusters, groups = splitting.clusters(kept, pairs).tolist(), splitting.groups(kept, pairs)
    tested, stand_ins = splitting.test_groups(kept, groups)
    everything = splitting.documents(kept, groups, store)
    train = [d for d in everything if d.group not in tested]
    test = [d for d in everything if d.group in tested]
    learned = [i for i, group in enumerate(groups) if group not in tested]
    places = set(learned)
    facts = {"path": str(table.path), "bytes": table.path.stat().st_size, "data_md5": md5_of_file(table.path)} | counts
    facts |= _sizes(kept, looks)
    facts |= {
        "format": table.format,
        "rows_kept": len(kept),
        "near_duplicates": len(kept) - len(set(clusters)),
        "near_conflicts": _disagreeing(kept, clusters),
        "labels": dict(sorted(Counter(row.row.label for row in kept if data.label).items())),
        "groups": len(set(groups)),
        "largest_group": max(Counter(groups).values()),
        "leaks_prevented": splitting.leaks(kept, clusters),
        "stand_ins": stand_ins,
        "train": Split(rows=len(train), groups=len({d.group for d in train}), sha256=sha256(train)),
        "test": Split(rows=len(test), groups=len({d.group for d in test}), sha256=sha256(test)),
        "n_effective": summary.n_effective(
            [clusters[i] for i in learned],
            [pair for pair in pairs if pair.a in places],
            [groups[i] for i in learned] if data.group else [],
            [kept[i].row.label for i in learned],
        ),
        "columns": _uses(table, data),
    }
    rejected = count(aside)
    said = summary.warnings(table.path, facts, rejected, **_left_out(kept, data))
    if facts["data_md5"] and any(row.row.image and row.row.text for row in kept):
        said.append(
            f"images lie beside {table.path}, where DVC sees no change of them: put the table and its images into one folder "
            "and give that folder as data.path"
        )
    shown = {row.row.row: row.row.image for row in kept if row.row.image}
    found = images.members(table, data.image, shown) if data.image else ()
    return Audited(Audit(**facts, rows_rejected=rejected, warnings=said), train, test, aside, found)


def _sizes(kept: list[Distinct], looks: list[Seen]) -> dict[str, Any]:
    """Lengths of texts, or sides of images in pixels."""
    if not looks:
        return {
            "characters": summary.lengths(len(row.row.text) for row in kept),
            "words": summary.lengths(summary.words(row.row.text) for row in kept),
        }
    return {
        "characters": {},
        "words": {},
        "width": summary.lengths(image.width for image in looks),
        "height": summary.lengths(image.height for image in looks),
        "images_reduced": sum(image.reduced for image in looks),
    }


def _uses(table: Table, data: Data) -> dict[str, str]:
    uses = {column: setting.removeprefix("data.") for setting, column in files.wanted(data).items()}
    return {column: uses.get(column, "not used") for column in table.columns}


def _without_rare_labels(rows: list[Distinct]) -> tuple[list[Distinct], list[Rejected]]:
    """Rows without labels (text generation) have one in common, the empty one."""
    number = Counter(row.row.label for row in rows)
    rare = [row.row.rejected("rare_label") for row in rows if number[row.row.label] < LABEL_LEAST]
    return [row for row in rows if number[row.row.label] >= LABEL_LEAST], rare


def _need_enough(table: Table, delivered: int, labels: set[str], kept: list[Distinct], rejected: dict[str, int]) -> None:
    path, column = table.path, table.wanted.get("data.label")
    if not delivered:
        raise UserError(f"{path} (data.path) holds no rows")
    if column and len(labels) == 1:
        raise UserError(f"{path}: only one label, {min(labels)!r}, in column {column!r} (data.label): two or more are needed")
    if column and len(labels) > 1 and len({row.row.label for row in kept}) < 2:
        raise UserError(
            f"{path}: column {column!r} (data.label) has {len(labels):,} different labels, and fewer than two of them "
            f"have {LABEL_LEAST} different usable texts each: is it the right column?{_mostly(rejected)}"
        )
    if len(kept) < ROWS_LEAST:
        raise UserError(
            f"{path}: {len(kept)} of {delivered:,} rows are usable and different, at least {ROWS_LEAST} are needed, "
            f"about 24 to train on and 6 to test with: add rows{_mostly(rejected)}"
        )


def _mostly(rejected: dict[str, int]) -> str:
    if not rejected:
        return ""
    reason = max(rejected, key=lambda r: rejected[r])
    return f" (set aside: {sum(rejected.values()):,}, most for {reason}: {REASONS[reason]})"


def _disagreeing(rows: list[Distinct], clusters: list[int]) -> int:
    labels = defaultdict(set)
    for row, cluster in zip(rows, clusters, strict=True):
        labels[cluster].add(row.row.label)
    return sum(len(its) > 1 for its in labels.values())


def _left_out(rows: list[Distinct], data: Data) -> dict[str, int]:
    return {
        "no_id": sum(not row.row.id for row in rows) if data.id else 0,
        "no_group": sum(not row.row.group for row in rows) if data.group else 0,
        "mangled": sum("\ufffd" in row.row.text for row in rows),
    }
