"""The example's data: sentences from movie reviews, each positive or negative by the mean of 20 people's ratings.

Ground truth of Hutto & Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text"
(ICWSM 2014), as the source distribution of vaderSentiment 3.3.2 carries it. The sentences are their reviewers' own: fetched
here, never committed. `python -m tasks.example` writes them and hands them to DVC.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tasks import stage
from tasks.package_index import fetch
from tasks.records import sha256_of_file
from tasks.stage import UserError

RELEASE = "vaderSentiment==3.3.2"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
RATINGS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
DATA = Path("data/movie-reviews.jsonl")
DATA_SHA256 = "8b7e5f76185a5b29b9969a1087d1d3b489cc556afe560c212ce497e1c58bb97f"
CLEAR = 0.5
"""Mean ratings (of -4 to 4) nearer to 0 than this are left out: 533 of 10,605, on which the people did not agree."""


def rows(ratings: str) -> Iterator[dict[str, str]]:
    """One row a clearly rated sentence: id, text, label. A line of `ratings` is: id, mean rating, sentence; tab between."""
    for line in ratings.splitlines():
        number, mean, text = line.split("\t")
        if abs(float(mean)) >= CLEAR:
            yield {"id": number, "text": text, "label": "positive" if float(mean) > 0 else "negative"}


def write(archive: Path, path: Path) -> None:
    """The rows in `archive` as JSON lines: the same bytes each time. Nothing of the archive is unpacked to disk."""
    with tarfile.open(archive) as outer, tarfile.open(fileobj=io.BytesIO(_member(outer, INNER))) as inner:
        ratings = _member(inner, RATINGS).decode("utf-8")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(ratings)), encoding="utf-8")
    part.replace(path)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise UserError(f"{RELEASE}: {name} is not a plain file")
    return file.read()


def main() -> None:
    if not Path(f"{DATA}.dvc").exists():
        return  # whoever removed it wants no example
    if not DATA.exists():
        print(f"example: fetching {RELEASE}", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            write(fetch(RELEASE, SHA256, Path(scratch), source=True), DATA)
        if sha256_of_file(DATA) != DATA_SHA256:
            raise UserError(f"{DATA}: came out other than it should; this is a defect of {__name__}, not of your data")
    subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", str(DATA)], check=True)


if __name__ == "__main__":
    stage.run(main)
