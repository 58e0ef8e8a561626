"""`python -m tasks.audit DATA TRAIN TEST AUDIT.json REJECTED.jsonl IMAGES.zip`: a split and a record of the data.

The file of params.yaml becomes all of them; the zip is empty for texts.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from tasks import documents, images, params, records, stage
from tasks.audit import files
from tasks.audit.pipeline import audit
from tasks.audit.table import Rejected


def main(data: Path, train: Path, test: Path, record: Path, rejected: Path, store: Path) -> None:
    """Writes nothing before everything is checked; says its warnings on stderr, too."""
    settings = params.load()
    audited = audit(data, files.columns(settings), store)
    images.write(store, audited.images)
    documents.write(audited.train, train)
    documents.write(audited.test, test)
    _write(audited.rejected, rejected)
    records.write(audited.record, record)
    for warning in audited.record.warnings:
        print(f"audit: {warning}", file=sys.stderr)


def _write(rejected: list[Rejected], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rejected)
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    stage.run(main)
