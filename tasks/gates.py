"""What a version must pass to become champion: pure functions of records and predictions, one `Check` each."""

from __future__ import annotations

import numpy as np

from tasks import answers, metrics
from tasks.answers import Rows
from tasks.metrics import Floats, Ints
from tasks.params import METRICS_OF_TASK, Gates
from tasks.records import LOWER_IS_BETTER, Difference, Evaluation, Record

SIMPLE = ("tfidf", "pixels")
"""The linear model on what anybody would count: of texts, of images."""


def baselines_of(evaluation: Evaluation) -> tuple[str, ...]:
    """The baselines that an evaluation must hold; of generated text it is the branch `baseline`."""
    if evaluation.model.get("metric") in METRICS_OF_TASK["text-generation"]:
        return ("baseline",)
    return "majority", next((name for name in SIMPLE if name in evaluation.baselines), SIMPLE[0])


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

    A model of the branch `baseline` is the linear baseline itself: it must beat the majority.
    """
    baselines = baselines_of(evaluation)
    needed = baselines[:-1] if evaluation.model.get("branch") == "baseline" else baselines
    against = {diff.against: diff for diff in evaluation.diff if diff.against in evaluation.baselines}
    less = evaluation.model.get("metric") in LOWER_IS_BETTER
    return [_better_than_baseline(against.get(name), name, confidence, less) for name in needed]


def _better_than_baseline(diff: Difference | None, name: str, confidence: float, less: bool) -> Check:
    gate = f"better than {name}"
    if diff is None:
        return Check(gate=gate, passed=False, said=f"was not measured against {name}; run `dvc repro`")
    ahead = diff.value < 0 if less else diff.value > 0
    sure = 1 - diff.p / 2 if ahead else diff.p / 2
    said = (
        f"{diff.value:+.3f} (95 %: {diff.low95:+.3f} to {diff.high95:+.3f}); "
        f"better with {_percent(sure)}, needed {_percent(confidence)}"
    )
    return Check(gate=gate, passed=ahead and sure >= confidence, said=said)


def better_than_champion(metric: str, truth: Ints, challenger: Ints, champion: Ints, gates: Gates) -> Check:
    """Both models' guesses (n,) on the same rows: sure at `confidence` that the gain exceeds `min_gain`. See `_better`."""
    k = int(max(truth.max(), challenger.max(), champion.max())) + 1
    counts = np.concatenate([np.ones((1, len(truth))), metrics.resamples(len(truth))])
    ours, theirs = (metrics.score(metric, truth, guesses, k, counts) for guesses in (challenger, champion))
    return _better(metric, ours, theirs, by_chance(metric, truth, challenger, champion), len(truth), gates)


def writes_better_than_champion(metric: str, challenger: Rows, champion: Rows, gates: Gates) -> Check:
    """As `better_than_champion`, of models that write or read text; `Rows` are what each made of the same n rows."""
    n = len(answers.known(metric, challenger))
    counts = np.concatenate([np.ones((1, n)), metrics.resamples(n)])
    ours, theirs = (answers.score(metric, rows, counts) for rows in (challenger, champion))
    return _better(metric, ours, theirs, by_chance_of_texts(metric, challenger, champion), n, gates)


def _better(metric: str, ours: Floats, theirs: Floats, chance: float, rows: int, gates: Gates) -> Check:
    """Values of both models: first of all rows, then of each resample of the paired bootstrap.

    How sure is the smaller of two shares: of the resamples with more gain than `min_gain`, and of the random swaps with
    less gain than was seen (1 - `chance`). The second keeps a handful of rows from counting as proof, which the bootstrap
    alone would let pass. A gain is in the metric's direction: fewer bits per byte. Equal models and regressions fail.
    """
    differences = ours - theirs
    gains = -differences if metric in LOWER_IS_BETTER else differences
    low, high = metrics.interval(differences[1:])
    sure = min(float((gains[1:] > gates.min_gain).mean()), 1 - chance)
    than = f" by more than {gates.min_gain:g}" if gates.min_gain else ""
    said = (
        f"{metric} {ours[0]:.3f} against {theirs[0]:.3f} on the same {rows:,} rows: {differences[0]:+.3f} "
        f"(95 %: {low:+.3f} to {high:+.3f}); better{than} with {_percent(sure)}, needed {_percent(gates.confidence)}"
    )
    return Check(gate="better than the champion", passed=sure >= gates.confidence, said=said)


def by_chance(metric: str, truth: Ints, ours: Ints, theirs: Ints) -> float:
    """p-value of a gain as large if the models were alike: the two guesses of each row are swapped at random, 2,000 times.

    Approximate randomization (Noreen 1989), one-sided; for accuracy that is the sign test on the rows where one is right.
    """
    differ = np.flatnonzero(ours != theirs)
    swaps = np.random.default_rng(0).integers(0, 2, (metrics.RESAMPLES, len(differ))).astype(np.float64)
    swaps[0] = 0  # what was seen is one of the draws (Phipson and Smyth 2010)
    classes = np.unique(truth)
    one, other = np.zeros(len(swaps)), np.zeros(len(swaps))
    for c in classes:
        of_class = truth == c
        hits, calls = [], []
        for guesses, swapped in ((ours, theirs), (theirs, ours)):
            change = (swapped[differ] == c).astype(np.float64) - (guesses[differ] == c)
            calls.append((guesses == c).sum() + swaps @ change)
            hits.append(((guesses == c) & of_class).sum() + swaps @ (change * of_class[differ]))
        if metric == "macro_f1":
            one += 2 * hits[0] / (calls[0] + of_class.sum()) / len(classes)
            other += 2 * hits[1] / (calls[1] + of_class.sum()) / len(classes)
        else:
            one += hits[0] / len(truth)
            other += hits[1] / len(truth)
    gains = one - other
    return float((gains >= gains[0] - 1e-12).mean())


def by_chance_of_texts(metric: str, ours: Rows, theirs: Rows) -> float:
    """The same p-value, by the same swaps, where a measure is made of sums over rows."""
    n = len(answers.known(metric, ours))
    swaps = np.random.default_rng(0).integers(0, 2, (metrics.RESAMPLES, n)).astype(np.float64)
    swaps[0] = 0
    both = answers.together(ours, theirs)
    one, other = (answers.score(metric, both, np.concatenate(taken, 1)) for taken in ((1 - swaps, swaps), (swaps, 1 - swaps)))
    gains = other - one if metric in LOWER_IS_BETTER else one - other
    return float((gains >= gains[0] - 1e-12).mean())


def refusal(checks: list[Check]) -> str | None:
    """Why not, in one line; None if every gate is passed."""
    failed = [f"{check.gate}: {check.said}" for check in checks if not check.passed]
    return "; ".join(failed) or None


def table(checks: list[Check]) -> str:
    rows = [f"| {check.gate} | {'passed' if check.passed else '**failed**'} | {check.said} |" for check in checks]
    return "\n".join(["| gate | | measured |", "|---|---|---|", *rows])


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
