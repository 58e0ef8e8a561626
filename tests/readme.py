"""Write the example's decision into the README: `python -m tests.readme`, after `make run` in a fresh clone.

The block between the two markers is made from results/ alone, and docs/report.png is a picture of results/report.html.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tasks import records
from tasks.records import Decision, Evaluation, Option, Span

BEGIN = "<!-- example: written by `python -m tests.readme` from results/ after `make run` -->\n"
END = "<!-- /example -->"


def main() -> None:
    readme = Path("README.md")
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    block = example(
        records.read(Decision, Path("results/decision.json")), records.read(Evaluation, Path("results/evaluation.json"))
    )
    readme.write_text(before + BEGIN + block + END + after)
    picture(Path("results/report.html"), Path("docs/report.png"))


def example(decision: Decision, evaluation: Evaluation) -> str:
    """The verdict, the branches and what came true, in markdown."""
    verdict, metric, model = decision.verdict, decision.metric.name, evaluation.model
    lines = [
        f"> **{verdict.status}: {verdict.branch or 'no branch'} {verdict.base_model or ''}**. {verdict.reason}",
        "",
        f"| branch | base model | {metric} at {decision.n_rows:,} rows (90 % interval) "
        "| training, USD | training, hours | reaches the target | |",
        "|---|---|---|---|---|---|---|",
        *map(_row, decision.branches),
        "",
        f"Trained and measured on {evaluation.rows:,} untouched rows: {metric} "
        f"**{model['value']:.3f}** (95 % interval {model['low95']:.3f} to {model['high95']:.3f}).",
        *(f"Against {d.against}: {d.value:+.3f} ({d.low95:+.3f} to {d.high95:+.3f})." for d in evaluation.diff),
        f"Rule of thumb: {decision.rule_of_thumb.branch}, which {'agrees' if decision.rule_of_thumb.agrees else 'disagrees'}.",
    ]
    return "\n".join(lines) + "\n"


def _row(option: Option) -> str:
    p = option.predicted
    value = "not predicted" if p.value is None else f"{p.value:.3f} ({p.low90:.3f} to {p.high90:.3f})"
    target = "" if option.p_target is None else f"{option.p_target:.0%}"
    cells = [option.branch, option.base_model or "", value, _span(option.cost_usd), _span(option.hours), target, option.status]
    return f"| {' | '.join(cells)} |"


def _span(span: Span | None) -> str:
    return "unknown" if span is None else f"{span.value:.2g} ({span.low:.2g} to {span.high:.2g})"


def picture(page: Path, out: Path, width: int = 1100, height: int = 1500) -> None:
    """A picture of the top of a page, by headless Chromium."""
    browser = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("no chromium on the PATH: docs/report.png stays as it is")
    out.parent.mkdir(exist_ok=True)
    quiet = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync --hide-scrollbars"
    )
    with tempfile.TemporaryDirectory() as profile:
        where = [
            f"--user-data-dir={profile}",
            f"--screenshot={out}",
            f"--window-size={width},{height}",
            page.resolve().as_uri(),
        ]
        subprocess.run([browser, *quiet.split(), *where], check=True, capture_output=True)


if __name__ == "__main__":
    main()
