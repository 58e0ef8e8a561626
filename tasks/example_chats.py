"""The support-chat example's data: short questions and answers in English, about computers, code and small talk.

ChatterBot corpus 1.3.3 (BSD), written by its users. Its technical support is a few dozen exchanges repeated many times: the
audit finds that out. Fetched, never committed.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tasks.package_index import fetch
from tasks.records import sha256_of_file
from tasks.stage import UserError

RELEASE = "chatterbot-corpus==1.3.3"
SHA256 = "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154"
INNER = "chatterbot_corpus/data/english/"
DATA_SHA256 = "72b759e1699902b8a3f0da8ba7aa9fce7cc7a40a07db959505892f2e0d4e63c9"


def chats(name: str, text: str) -> Iterator[dict[str, object]]:
    """One row a conversation; every second line is the assistant's, a last question without an answer is left out."""
    from ruamel.yaml import YAML

    for number, lines in enumerate(YAML(typ="safe", pure=True).load(text)["conversations"]):
        said = [" ".join(str(line).split()) for line in lines]
        roles = ("user", "assistant") * (len(said) // 2)
        messages = [{"role": role, "content": line} for role, line in zip(roles, said, strict=False)]
        if messages:
            yield {"id": f"{name}-{number}", "messages": messages}


def support_chat(path: Path) -> None:
    """The rows as JSON lines: the same bytes each time."""
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(fetch(RELEASE, SHA256, Path(scratch))) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith(INNER) and name.endswith(".yml"))
        rows = [row for name in names for row in chats(Path(name).stem, archive.read(name).decode("utf-8"))]
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    part.replace(path)
    if sha256_of_file(path) != DATA_SHA256:
        raise UserError(f"{path}: came out other than it should; this is a defect of {__name__}, not of your data")
