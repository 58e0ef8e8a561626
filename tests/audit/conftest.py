"""Texts that are no duplicates of each other, and files that hold them."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Sentences = Callable[..., list[str]]
Jsonl = Callable[[list[Any]], Path]

SYLLABLES = ["ba", "ke", "li", "mo", "nu", "pra", "ste", "vi", "dor", "gan", "hel", "tis", "ru", "fo", "qua", "zen"]


@pytest.fixture
def sentences() -> Sentences:
    def make(count: int, words: int = 12, seed: int = 0) -> list[str]:
        draw = random.Random(seed)
        return [" ".join("".join(draw.choices(SYLLABLES, k=draw.randint(1, 3))) for _ in range(words)) for _ in range(count)]

    return make


@pytest.fixture
def jsonl(tmp_path: Path) -> Jsonl:
    """Writes values as JSON lines; a text or bytes are written as they are."""

    def write(rows: list[Any]) -> Path:
        path = tmp_path / "data.jsonl"
        path.write_bytes(b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows))
        return path

    return write
