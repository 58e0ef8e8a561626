"""The data of the two examples with text of one domain: fetched by package, version and sha256, never committed.

Debian descriptions: what the packages of Debian 12.15 say of themselves, in English, written by their maintainers; one package
a source, because those of one source share their words. The texts are as free as their packages (DFSG). Metamath: the proofs
of set.mm, the largest collection of proofs that are checked by machine (CC0), from Debian's package metamath-databases.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.package_clients import debian_index, debian_package, unpacked
from tasks.records import sha256_of_file
from tasks.stage import UserError

DESCRIPTIONS = "the package descriptions of Debian 12.15"
TEXTS = "dists/bookworm/main/i18n", "a3d4a0bfd8e9242810b0885eda7c1a6e05dac15b333ddbaab03ba56f2dfa4bf0"
PACKAGES = "dists/bookworm/main/binary-amd64", "9e0b5aabb2465b3d2e7a7fe27f9913846277833f7a2826e7767acccff5b588c5"
DESCRIPTIONS_SHA256 = "0624583b685d24a87a562b9fe2aaa99c6526a81fd4adccb9ff1a06c0383a0478"
METAMATH = "metamath-databases=0.0.0~20210101.git55fe226-2"
METAMATH_SHA256 = "c72523c221db6c1039fa909150f9c53fb9175809792f2e80e55e1baa965445a1"
PROOFS_SHA256 = "e1fcbf346176442dd7449ddcca76915bc3aa6b360b9082ec42be90b2eb204ad2"
LONGEST = 300
"""Bytes of a text: longer ones are left out, so that pilots of a few hundred rows take seconds."""

Paragraph = dict[str, str]


def debian_descriptions(path: Path) -> None:
    """JSON lines: id (the package), text."""
    with tempfile.TemporaryDirectory() as scratch:
        texts, packages = (
            lzma.decompress(debian_index(*part, Path(scratch)).read_bytes()).decode("utf-8") for part in (TEXTS, PACKAGES)
        )
    _write(descriptions(texts, packages), path, DESCRIPTIONS_SHA256)


def descriptions(texts: str, packages: str) -> Iterator[dict[str, str]]:
    """One row a source, of the package that bears its name, else of the first one; sources in the order of their names."""
    known = {one["Description-md5"]: one["Description-en"] for one in paragraphs(texts)}
    first: dict[str, Paragraph] = {}
    for one in paragraphs(packages):
        source = one.get("Source", one["Package"]).partition(" ")[0]
        first[source] = min(first.get(source, one), one, key=lambda p: (p["Package"] != source, p["Package"]))
    for _, one in sorted(first.items()):
        if text := plain(known.get(one["Description-md5"], "")):
            yield {"id": one["Package"], "text": text}


def paragraphs(text: str) -> Iterator[Paragraph]:
    """Those of a control file, field to value; the lines of a long value as they stand (Debian policy 4.14, section 5.1)."""
    for block in text.split("\n\n"):
        fields = re.split(r"\n(?! )", block.strip("\n"))
        if fields != [""]:
            yield {name: value.strip() for name, _, value in (field.partition(":") for field in fields)}


def plain(description: str) -> str:
    """Title and text, each paragraph on one line; indented lines stay by themselves (Debian policy 4.14, section 5.6.13)."""
    lines, flows = list[str](), False
    for line in description.split("\n"):
        alone = line.startswith("  ") or line == " ." or not lines
        if flows and not alone:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append("" if line == " ." else line.strip())
            flows = not alone
    return "\n".join(lines).strip()


def metamath(path: Path) -> None:
    """JSON lines: id (the theorem), text (name, statement and proof, as Metamath writes them)."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = unpacked(debian_package(METAMATH, METAMATH_SHA256, Path(scratch)))
        source = (folder / "usr/share/metamath/databases/set.mm").read_text(encoding="ascii")
    _write(proofs(source), path, PROOFS_SHA256)


def proofs(source: str) -> Iterator[dict[str, str]]:
    """One row a theorem; comments left out, spaces as one, and none in the proof's own letters, where they mean nothing
    (Metamath book, 2nd edition, appendix B)."""
    for name, statement, proof in re.findall(
        r"(\S+)\s+\$p\s(.*?)\$=(.*?)\$\.", re.sub(r"\$\(.*?\$\)", "", source, flags=re.S), re.S
    ):
        steps, bracket, letters = " ".join(proof.split()).partition(" ) ")
        proved = f"{steps}{bracket}{letters.replace(' ', '')}" if steps.startswith("( ") else " ".join(proof.split())
        yield {"id": name, "text": f"{name} $p {' '.join(statement.split())} $= {proved} $."}


def _write(rows: Iterable[dict[str, str]], path: Path, sha256: str) -> None:
    """Rows of at most LONGEST bytes as JSON lines: the same bytes each time."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows if len(row["text"].encode()) <= LONGEST)
    part.replace(path)
    if sha256_of_file(path) != sha256:
        raise UserError(f"{path}: came out other than it should; this is a defect of {__name__}, not of your data")
