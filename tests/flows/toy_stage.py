"""Any stage of the toy graph: joins what it reads. Words in the data, or the environment, make it misbehave."""

import json
import os
import time
from pathlib import Path

from tasks import params, stage
from tasks.progress import Progress


def main(source: Path, out: Path) -> None:
    files = sorted(source.glob("*.json")) if source.is_dir() else [source]
    text = " ".join(file.read_text() for file in files)
    if "WRONG" in text:
        raise stage.UserError("data/rows.csv: row 3 says WRONG; mend it")
    if os.environ.get("TOY_SLOW") == str(out):
        Path(os.environ["TOY_PID"]).write_text(str(os.getpid()))
        time.sleep(600)
    progress = Progress(out.stem, 2)
    progress.at(1)
    print(f"{out.stem} speaks")
    out.parent.mkdir(parents=True, exist_ok=True)
    branches = params.load().pilots.branches
    out.write_text(json.dumps({"text": text[:20], "continued": {branch: ["-"] for branch in branches}}))
    progress.at(2)


if __name__ == "__main__":
    stage.run(main)
