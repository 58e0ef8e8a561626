"""What a version must pass to become champion: pure functions of records and predictions, one `Check` each."""

from __future__ import annotations

import numpy as np

from tasks import metrics
from tasks.metrics import Ints
from tasks.params import Gates
from tasks.records import Difference, Evaluation, Record

BASELINES = ("majority", "tfidf")


class Check(Record):
    gate: str
    passed: bool
    said: str


def intact(problems: list[str]) -> Check:
    """The stored files are those that were registered."""
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    said = "; ".join(problems[:3]) + more if problems else "all files are those that were registered"
    return Check(gate="files", passed=not problems, said=said)


def finished(evaluation: Evaluation) -> Check:
    done, planned = evaluation.steps_done, evaluation.steps_planned
    return Check(gate="training", passed=done >= planned > 0, said=f"{done:,} of {planned:,} steps done")


def better_than_baselines(evaluation: Evaluation, confidence: float) -> list[Check]:
    """Better than each baseline in the evaluation's paired bootstrap, one-sided at `confidence`; a missing one fails.

    A model of the branch `baseline` is the TF-IDF baseline itself: it must beat the majority.
    """
    needed = BASELINES[:1] if evaluation.model.get("branch") == "baseline" else BASELINES
    against = {diff.against: diff for diff in evaluation.diff if diff.against in evaluation.baselines}
    return [_better_than_baseline(against.get(name), name, confidence) for name in needed]


def _better_than_baseline(diff: Difference | None, name: str, confidence: float) -> Check:
    gate = f"better than {name}"
    if diff is None:
        return Check(gate=gate, passed=False, said=f"was not measured against {name}; run `dvc repro`")
    sure = 1 - diff.p / 2 if diff.value > 0 else diff.p / 2
    said = (
        f"{diff.value:+.3f} (95 %: {diff.low95:+.3f} to {diff.high95:+.3f}); "
        f"better with {_percent(sure)}, needed {_percent(confidence)}"
    )
    return Check(gate=gate, passed=diff.value > 0 and sure >= confidence, said=said)


def better_than_champion(metric: str, truth: Ints, challenger: Ints, champion: Ints, gates: Gates) -> Check:
    """Both models' guesses (n,) on the same rows: the gain exceeds `min_gain` in a share `confidence` of the resamples.

    Equal models tie in every resample and fail; so does any regression.
    """
    k = int(max(truth.max(), challenger.max(), champion.max())) + 1
    counts = metrics.resamples(len(truth))
    gains = metrics.score(metric, truth, challenger, k, counts) - metrics.score(metric, truth, champion, k, counts)
    all_rows = np.ones((1, len(truth)))
    ours, theirs = (float(metrics.score(metric, truth, guesses, k, all_rows)[0]) for guesses in (challenger, champion))
    low, high = metrics.interval(gains)
    sure = float((gains > gates.min_gain).mean())
    than = f" by more than {gates.min_gain:g}" if gates.min_gain else ""
    said = (
        f"{metric} {ours:.3f} against {theirs:.3f} on the same {len(truth):,} rows: {ours - theirs:+.3f} "
        f"(95 %: {low:+.3f} to {high:+.3f}); better{than} with {_percent(sure)}, needed {_percent(gates.confidence)}"
    )
    return Check(gate="better than the champion", passed=sure >= gates.confidence, said=said)


def refusal(checks: list[Check]) -> str | None:
    """Why not, in one line; None if every gate is passed."""
    failed = [f"{check.gate}: {check.said}" for check in checks if not check.passed]
    return "; ".join(failed) or None


def table(checks: list[Check]) -> str:
    rows = [f"| {check.gate} | {'passed' if check.passed else '**failed**'} | {check.said} |" for check in checks]
    return "\n".join(["| gate | | measured |", "|---|---|---|", *rows])


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
