"""Write the report, and what came true: `python -m tasks.report results results/report.html results/realised.json`."""

from __future__ import annotations

from pathlib import Path

from tasks import params, records, stage
from tasks.realised import realised
from tasks.records import Audit, Candidates, Context, Decision, Evaluation, Pilot, Shortlist, Training
from tasks.report.page import Records, page


def main(results: Path, out: Path, beside: Path) -> None:
    settings = params.load()
    names = settings.pilots.branches
    found = Records(
        settings=settings,
        audit=records.read(Audit, results / "audit.json"),
        context=records.read(Context, results / "context.json"),
        candidates=records.read(Candidates, results / "candidates.json"),
        shortlist=records.read(Shortlist, results / "shortlist.json"),
        screens={name: records.read(Pilot, results / "screen" / f"{name}.json") for name in names},
        pilots={name: records.read(Pilot, results / "pilot" / f"{name}.json") for name in names},
        decision=records.read(Decision, results / "decision.json"),
        decision_sha256=records.sha256_of_file(results / "decision.json"),
        training=records.read(Training, results / "train.json"),
        evaluation=records.read(Evaluation, results / "evaluation.json"),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(found), encoding="utf-8")
    records.write(realised(found.decision, found.training, found.evaluation), beside)


if __name__ == "__main__":
    stage.run(main)
