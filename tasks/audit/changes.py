"""What is different in the data since an earlier audit, in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.records import Audit

SHIFT_LEAST = 0.01  # of all rows: a label's share that moves by less is no shift
LABELS_MOST = 3  # named one by one


def changes(old: Audit, new: Audit) -> list[str]:
    """Sentences, none if nothing changed. Compares counts and hashes: which rows they are, the split files know."""
    said = [
        *_file(old, new),
        *_rows("rows delivered", old.rows_delivered, new.rows_delivered),
        *_rows("rows kept", old.rows_kept, new.rows_kept),
        *_rows("rows to train on", old.train.rows, new.train.rows),
        *_rows("rows to test with", old.test.rows, new.test.rows),
        *_labels(old, new),
        *_aside(old, new),
        *_rows("near duplicates", old.near_duplicates, new.near_duplicates),
    ]
    return said + _contents(old, new)


def _file(old: Audit, new: Audit) -> Iterable[str]:
    if old.path != new.path:
        yield f"another file: {new.path}, formerly {old.path}"


def _rows(what: str, before: int, now: int) -> Iterable[str]:
    if before != now:
        yield f"{what}: {now:,}, formerly {before:,} ({now - before:+,})"


def _labels(old: Audit, new: Audit) -> Iterable[str]:
    there, here = set(old.labels), set(new.labels)
    yield from _few("labels are new", [f"label {x!r} is new, with {new.labels[x]:,} rows" for x in sorted(here - there)])
    yield from _few("labels are gone", [f"label {x!r} is gone; it had {old.labels[x]:,} rows" for x in sorted(there - here)])
    shares = {x: (old.labels[x] / old.rows_kept, new.labels[x] / new.rows_kept) for x in sorted(here & there)}
    moved = {x: ends for x, ends in shares.items() if abs(ends[1] - ends[0]) >= SHIFT_LEAST}
    far = sorted(moved, key=lambda x: -abs(moved[x][1] - moved[x][0]))
    said = [f"label {x!r}: {moved[x][1]:.1%} of the rows, formerly {moved[x][0]:.1%}" for x in far]
    yield from _few("labels have other shares of the rows", said)


def _few(what: str, said: list[str]) -> list[str]:
    """The first `LABELS_MOST`, and how many there are in all."""
    return said if len(said) <= LABELS_MOST else [f"{len(said):,} {what}", *said[:LABELS_MOST]]


def _aside(old: Audit, new: Audit) -> Iterable[str]:
    for reason in sorted(old.rows_rejected | new.rows_rejected):
        yield from _rows(f"rows set aside as {reason}", old.rows_rejected.get(reason, 0), new.rows_rejected.get(reason, 0))
    yield from _rows("exact duplicates dropped", old.exact_duplicates, new.exact_duplicates)
    yield from _rows("rows left out by data.max_rows", old.rows_not_drawn, new.rows_not_drawn)


def _contents(old: Audit, new: Audit) -> list[str]:
    """Rows that changed where their number did not."""
    parts = (("training", old.train, new.train), ("test", old.test, new.test))
    return [
        f"the {name} rows are as many as before, but not the same"
        for name, before, now in parts
        if before.sha256 != now.sha256 and before.rows == now.rows
    ]
