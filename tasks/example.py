"""The example's data: sentences from movie reviews, each positive or negative by the mean of 20 people's ratings.

Ground truth of Hutto & Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text"
(ICWSM 2014), as the source distribution of vaderSentiment 3.3.2 carries it. The sentences are their reviewers' own: fetched
here, never committed. `python -m tasks.example` writes them and hands them to DVC; `python -m tasks.example NAME` does the
same for another example (`examples/NAME.yaml`).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks import example_chats, example_images, example_texts, stage
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


def movie_reviews(path: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        write(fetch(RELEASE, SHA256, Path(scratch), source=True), path)
    if sha256_of_file(path) != DATA_SHA256:
        raise UserError(f"{path}: came out other than it should; this is a defect of {__name__}, not of your data")


EXAMPLES: dict[str, tuple[Path, str, Callable[[Path], None]]] = {
    "movie-reviews": (DATA, RELEASE, movie_reviews),
    "emoji": (Path("data/emoji"), example_images.EMOJI, example_images.emoji),
    "fashion-mnist": (Path("data/fashion-mnist.parquet"), example_images.FASHION, example_images.fashion_mnist),
    "support-chat": (Path("data/support-chat.jsonl"), example_chats.RELEASE, example_chats.support_chat),
    "debian-descriptions": (
        Path("data/debian-descriptions.jsonl"),
        example_texts.DESCRIPTIONS,
        example_texts.debian_descriptions,
    ),
    "metamath": (Path("data/metamath.jsonl"), example_texts.METAMATH, example_texts.metamath),
}
"""Name to where its data lie, the release they come from, and what writes them."""


def get(name: str) -> None:
    """Fetch the data of an example, if they are not there, and hand them to DVC."""
    if name not in EXAMPLES:
        raise UserError(f"{name}: no such example; there are {', '.join(EXAMPLES)}")
    path, release, make = EXAMPLES[name]
    if not path.exists():
        print(f"example: fetching {release}", flush=True)
        make(path)
    subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", str(path)], check=True)


def get_at(path: str) -> None:
    """Fetch the example whose data lie at `path`, if there is one and they are not there, or not known to DVC."""
    for name, (place, *_) in EXAMPLES.items():
        there = place.exists() and Path(f"{place}.dvc").exists()
        if str(place) == path and not there and name != "movie-reviews":
            get(name)


def main() -> None:
    if Path(f"{DATA}.dvc").exists():  # whoever removed it wants no example
        get("movie-reviews")


def main_one(name: Path) -> None:
    get(str(name))


if __name__ == "__main__":
    stage.run(main_one if len(sys.argv) > 1 else main)
