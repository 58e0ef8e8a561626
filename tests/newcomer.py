"""What a newcomer meets: `python -m tests.newcomer [SCENARIO...]`, each in a clone of this repository, with real servers.

Every scenario edits `params.yaml` and puts a file into `data/`, as a user would, runs a command and says what came of it:
its exit code, its last lines and what git sees as changed. Small pilots (probe and baseline), about a minute each.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent.parent
SMALL = {
    "branches: [baseline, probe, lora, full, scratch]": "branches: [baseline, probe]",
    "rungs: [100, 200, 400, 800]": "rungs: [50, 100, 200]",
    "seeds: 2 ": "seeds: 1 ",
    "candidates: [MiniLM-L6, MiniLM-L3]": "candidates: [MiniLM-L3]",
}
GERMAN = {
    "lob": ["wunderbar", "großartig", "herrlich", "überragend", "köstlich"],
    "tadel": ["schlecht", "öde", "grässlich", "ärgerlich", "unmöglich"],
}
FIVE = {name: [f"{name}{i}" for i in range(6)] for name in ("billing", "delivery", "login", "refund", "praise")}
FILLERS = ["the", "a", "and", "of", "it", "was", "really", "quite", "then", "my", "our", "order", "again", "today", "please"]


@dataclass(frozen=True)
class Ended:
    code: int
    said: str

    @property
    def last(self) -> str:
        return "\n".join(f"    {line}" for line in self.said.strip().splitlines()[-7:])


# ---- a clone and what is done in it -----------------------------------------------------------------------------------


@contextmanager
def clone() -> Iterator[Path]:
    """This repository's last commit, with packages, base models and example in place, and small pilots."""
    shared = subprocess.run(["git", "rev-parse", "--git-common-dir"], cwd=HERE, capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory(prefix="newcomer-", ignore_cleanup_errors=True) as place:
        folder = Path(place) / "crossover"
        subprocess.run(["git", "clone", "-q", str(HERE), str(folder)], check=True)
        subprocess.run(["git", "remote", "remove", "origin"], cwd=folder, check=True)  # the ledger would be pushed there
        (folder / ".venv").symlink_to((HERE / ".venv").resolve())
        shutil.copytree(HERE / shared.stdout.strip() / "crossover/shelf", folder / ".git/crossover/shelf")
        shutil.copy(HERE / "data/movie-reviews.jsonl", folder / "data")
        for name in ("requirements.lock", "requirements-dev.lock", "infra/install.sh", "shelf.yaml"):
            os.utime(folder / name, (0, 0))  # nothing to install
        edit(folder, SMALL)
        yield folder


def edit(folder: Path, changes: dict[str, str]) -> None:
    text = (folder / "params.yaml").read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "params.yaml").write_text(text)


def make(folder: Path, *command: str, **variables: str) -> Ended:
    done = subprocess.run(
        command or ("make", "run"), cwd=folder, env=_environment(variables), capture_output=True, text=True, errors="replace"
    )
    return Ended(done.returncode, done.stdout + done.stderr)


def start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            ["make", "run"], cwd=folder, env=_environment({}), stdout=file, stderr=file, start_new_session=True
        )


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW"))} | variables


def touched(folder: Path) -> str:
    """What `git status` shows, but for what a run leaves: dvc.lock, results/."""
    done = subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True)
    names = [line[3:] for line in done.stdout.splitlines()]
    return ", ".join(name for name in names if not name.startswith(("dvc.lock", "results"))) or "nothing"


def sentences(words: dict[str, list[str]], n: int) -> list[tuple[str, str]]:
    """`n` texts with their labels: fillers, and one to two words that tell the label nine times in ten."""
    draw, labels = random.Random(0), list(words)
    rows = []
    for i in range(n):
        label = labels[i % len(labels)]
        told = label if draw.random() < 0.9 else draw.choice(labels)
        parts = draw.choices(FILLERS, k=draw.randint(5, 14)) + draw.choices(words[told], k=2)
        draw.shuffle(parts)
        rows.append((f"{' '.join(parts)} {i}", label))
    return rows


def own_file(folder: Path, name: str, content: bytes, **columns: str) -> None:
    (folder / "data" / name).write_bytes(content)
    changes = {"path: data/movie-reviews.jsonl": f"path: data/{name}", "name: movie-reviews": "name: mine"}
    changes |= {f"{key}: {key} ": f"{key}: {value} " for key, value in columns.items()}
    edit(folder, changes)


def csv(rows: list[tuple[str, str]]) -> bytes:
    return ("message,topic\n" + "".join(f'"{text}",{label}\n' for text, label in rows)).encode()


# ---- scenarios --------------------------------------------------------------------------------------------------------


def five_classes(folder: Path) -> Ended:
    own_file(folder, "mine.csv", csv(sentences(FIVE, 700)), text="message", label="topic")
    return make(folder)


def another_language(folder: Path) -> Ended:
    lines = [json.dumps({"satz": text, "urteil": label}, ensure_ascii=False) for text, label in sentences(GERMAN, 600)]
    own_file(folder, "mine.jsonl", "\n".join(lines).encode(), text="satz", label="urteil")
    return make(folder)


def parquet(folder: Path) -> Ended:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = sentences(FIVE, 500)
    table = pa.table({"message": [text for text, _ in rows], "topic": [label for _, label in rows]})
    pq.write_table(table, folder / "data/mine.parquet")
    own_file(folder, "mine.parquet", (folder / "data/mine.parquet").read_bytes(), text="message", label="topic")
    return make(folder)


def three_hundred_rows(folder: Path) -> Ended:
    own_file(folder, "mine.csv", csv(sentences(FIVE, 300)), text="message", label="topic")
    edit(folder, {"rungs: [50, 100, 200]": "rungs: [100, 200, 400]"})
    return make(folder)


def no_label_column(folder: Path) -> Ended:
    own_file(folder, "mine.csv", csv(sentences(FIVE, 100)), text="message", label="topics")
    return make(folder)


def one_class(folder: Path) -> Ended:
    own_file(folder, "mine.csv", csv([(text, "same") for text, _ in sentences(FIVE, 100)]), text="message", label="topic")
    return make(folder)


def thirty_rows(folder: Path) -> Ended:
    own_file(folder, "mine.csv", csv(sentences(GERMAN, 30)), text="message", label="topic")
    return make(folder)


def not_utf8(folder: Path) -> Ended:
    rows = [f"{text} caf\xe9".encode("latin-1") for text, _ in sentences(FIVE, 300)]
    lines = [b'"' + row + b'",' + label.encode() for row, (_, label) in zip(rows, sentences(FIVE, 300), strict=True)]
    own_file(folder, "mine.csv", b"message,topic\n" + b"\n".join(lines) + b"\n", text="message", label="topic")
    return make(folder)


def a_few_bad_bytes(folder: Path) -> Ended:
    good = csv(sentences(FIVE, 300))
    own_file(folder, "mine.csv", good + b'"caf\xe9 and more",billing\n' * 3, text="message", label="topic")
    return make(folder)


def wrong_type(folder: Path) -> Ended:
    edit(folder, {"seeds: 1 ": "seeds: many "})
    return make(folder)


def unknown_key(folder: Path) -> Ended:
    edit(folder, {"  budget_usd: 5 ": "  budget_eur: 5 "})
    return make(folder)


def impossible_budget(folder: Path) -> Ended:
    edit(folder, {"budget_usd: 5 ": "budget_usd: 0 "})
    return make(folder)


def another_row(folder: Path) -> Ended:
    make(folder)
    with (folder / "data/movie-reviews.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "text": "a film that one row alone has seen", "label": "positive"}) + "\n")
    return make(folder)


def another_budget(folder: Path) -> Ended:
    make(folder)
    edit(folder, {"budget_usd: 5 ": "budget_usd: 4 "})
    return make(folder)


def again(folder: Path) -> Ended:
    make(folder)
    begun = time.monotonic()
    done = make(folder)
    asked = make(folder, str(folder / ".venv/bin/dvc"), "repro", PATH=f"{folder}/.venv/bin:{os.environ['PATH']}")
    return Ended(
        done.code, f"{done.said}second run: {time.monotonic() - begun:.0f} s\ndvc repro: {asked.said.splitlines()[-1]}"
    )


def dvc_first(folder: Path) -> Ended:
    path = f"{folder}/.venv/bin:{os.environ['PATH']}"
    make(folder, "dvc", "repro", "-q", PATH=path)
    return make(folder)


def killed(folder: Path) -> Ended:
    """kill -9 of `make run` and all its group, in the middle of a screen."""
    log = folder.parent / "log"
    run = start(folder, log)
    while "screen@probe" not in log.read_text() and run.poll() is None:
        time.sleep(0.05)
    time.sleep(3)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    time.sleep(2)
    left = stages_in(folder)
    done = make(folder)
    return Ended(done.code, f"{done.said}stages that lived on after the kill: {left}")


def stages_in(folder: Path) -> int:
    """Processes of a stage that work in `folder`."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            here = (process / "cwd").readlink() == folder.resolve()
            found += here and b"tasks." in (process / "cmdline").read_bytes()
    return found


def two_at_once(folder: Path) -> Ended:
    first, second = folder.parent / "first", folder.parent / "second"
    runs = [start(folder, first), start(folder, second)]
    codes = [run.wait() for run in runs]
    said = [
        line
        for log in (first, second)
        for line in log.read_text().splitlines()
        if "another run" in line or "Registered" in line
    ]
    return Ended(max(codes), "\n".join(said))


def mlflow_down(folder: Path) -> Ended:
    return make(folder, MLFLOW_TRACKING_URI="http://127.0.0.1:9")


def no_network(folder: Path) -> Ended:
    """Only a loopback of its own."""
    return make(folder, "unshare", "--net", "--map-root-user", "sh", "-c", "ip link set lo up; exec make run")


def other_settings(folder: Path) -> Ended:
    text = (folder / "params.yaml").read_text()
    (folder.parent / "other.yaml").write_text(re.sub("target: 0.80", "target: 0.60", text))
    return make(folder, "make", "run", f"PARAMS={folder.parent / 'other.yaml'}")


def pictures(folder: Path) -> Ended:
    """Stripes that run across or down, as PNG files beside a CSV."""
    from tests.pictures import LABELS, stripes

    (folder / "data/stripes").mkdir()
    rows = [f"{i}.png,{LABELS[i % 2]}" for i in range(500)]
    for i in range(500):
        stripes(i, LABELS[i % 2]).save(folder / f"data/stripes/{i}.png")
    (folder / "data/stripes/rows.csv").write_text("\n".join(["picture,way", *rows]) + "\n")
    edit(folder, {"path: data/movie-reviews.jsonl": "path: data/stripes", "name: movie-reviews": "name: mine"})
    edit(folder, {"task: text-classification": "task: image-classification", "text: text ": "text: "})
    edit(folder, {"  image: ": "  image: picture ", "label: label ": "label: way ", "[baseline, probe]": "[baseline, scratch]"})
    edit(folder, {"candidates: [MiniLM-L3]": "candidates: []"})
    return make(folder)


def own_texts(folder: Path) -> Ended:
    """Text without labels: a language model."""
    lines = [json.dumps({"text": text}) for text, _ in sentences(GERMAN, 500)]
    own_file(folder, "mine.jsonl", "\n".join(lines).encode())
    edit(folder, {"task: text-classification": "task: text-generation", "label: label ": "label: ", "target: 0.80": "target: "})
    edit(folder, {"metric: accuracy": "metric: bits_per_byte", "[baseline, probe]": "[baseline, scratch]"})
    return make(folder)


SCENARIOS: list[Callable[[Path], Ended]] = [
    five_classes, another_language, parquet, three_hundred_rows, no_label_column, one_class, thirty_rows, not_utf8,
    a_few_bad_bytes, wrong_type, unknown_key, impossible_budget, another_row, another_budget, again, dvc_first, killed,
    two_at_once, mlflow_down, no_network, other_settings, pictures, own_texts,
]  # fmt: skip


def main(wanted: list[str]) -> None:
    for scenario in SCENARIOS:
        if wanted and scenario.__name__ not in wanted:
            continue
        with clone() as folder:
            begun = time.monotonic()
            done = scenario(folder)
            seconds = time.monotonic() - begun
            name = scenario.__name__.replace("_", " ")
            print(f"{name}: exit {done.code}, {seconds:.0f} s, changed: {touched(folder)}\n{done.last}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
