"""The model card: what a registered model is, what it was made from, how good it is and where it ends. Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks import records
from tasks.params import METRICS_OF_TASK, Params
from tasks.records import Audit, Candidate, Candidates, Decision, Evaluation, Plan, Training

RESULTS = Path("results")


@dataclass(frozen=True)
class About:
    """All that is known about one model."""

    settings: Params
    plan: Plan
    training: Training
    evaluation: Evaluation
    decision: Decision
    audit: Audit
    base: Candidate | None

    @property
    def what(self) -> str:
        """`lora on MiniLM-L6`, `scratch`."""
        branch = str(self.training.branch)
        return f"{branch} on {self.training.base_model.name}" if self.training.base_model else branch


def about(settings: Params) -> About:
    """From the records in `results/`. Raises UserError for one that is missing."""
    training = records.read(Training, RESULTS / "train.json")
    known = RESULTS / "candidates.json"
    candidates = records.read(Candidates, known).candidates if training.base_model and known.exists() else []
    base = [c for c in candidates if training.base_model and c.sha256 == training.base_model.sha256]
    return About(
        settings=settings,
        plan=records.read(Plan, RESULTS / "plan.json"),
        training=training,
        evaluation=records.read(Evaluation, RESULTS / "evaluation.json"),
        decision=records.read(Decision, RESULTS / "decision.json"),
        audit=records.read(Audit, RESULTS / "audit.json"),
        base=base[0] if base else None,
    )


def summary(about: About) -> str:
    """For the version's page in MLflow, which shows no metrics of its own."""
    seen, rows = about.evaluation, about.evaluation.rows
    return "\n".join(
        [
            f"**{about.what}**, trained on {about.training.rows:,} rows, measured on {rows:,} untouched test rows.",
            "",
            *_metrics(about),
            "",
            *_differences(seen),
            "",
            f"Why this model: {about.decision.verdict.reason}. The decision holds until {about.decision.expires_on}. "
            "Model card, decision, evaluation and audit lie with the model's files, in `records/`.",
        ]
    )


def card(about: About, files: dict[str, str]) -> str:
    """The whole card; `files` are the model's files with their sha256."""
    audit, training = about.audit, about.training
    parts = {
        f"{about.settings.use_case.name}: {about.what}": [_what_it_is(about)],
        "Use": _use(about),
        "Quality": [
            f"On {about.evaluation.rows:,} test rows that no training and no choice has seen.",
            "",
            *_metrics(about),
            "",
            *_differences(about.evaluation),
        ],
        "Where it is better and worse": _slices(about.evaluation),
        "Data": [
            f"`{audit.path}`: {audit.rows_delivered:,} rows delivered, {sum(audit.rows_rejected.values()):,} rejected, "
            f"{audit.exact_duplicates:,} exact duplicates dropped, {audit.rows_kept:,} kept; {training.rows:,} trained on. "
            f"Effective number of training rows {audit.n_effective.value:,.0f}.",
            "Labels: " + ", ".join(f"{label} {count:,}" for label, count in audit.labels.items()) + ".",
            *[f"- {warning}" for warning in audit.warnings],
        ],
        "Training": [
            f"{training.steps_done:,} of {training.steps_planned:,} steps. Recipe:",
            *[f"- {name}: {value}" for name, value in sorted(training.recipe.items())],
        ],
        "Base model": [_base(about)],
        "Limits": _limits(about),
        "Decision": [about.decision.verdict.reason, f"Valid until {about.decision.expires_on}."],
        "Files": [f"- `{name}` sha256 `{sha256}`" for name, sha256 in sorted(files.items())],
    }
    title, *_ = parts
    return (
        "\n\n".join(f"{'#' if name == title else '##'} {name}\n\n" + "\n".join(lines) for name, lines in parts.items()) + "\n"
    )


def _what_it_is(about: About) -> str:
    case = about.settings.use_case
    labels = f" with the labels {', '.join(about.training.labels)}" if about.training.labels else ""
    return f"A model for {case.task.replace('-', ' ')}{labels}."


def _use(about: About) -> list[str]:
    name = about.settings.use_case.name
    if about.settings.use_case.task == "image-classification":
        given = '["a.png", open("b.jpg", "rb").read()]'
        takes = "A list of paths or of the bytes of image files, or a DataFrame whose first column holds them."
    else:
        given, takes = '["a text", "another text"]', "A list of texts or a DataFrame with one column of text."
    writes = about.settings.use_case.task == "text-generation"
    gives = "answer, or how the text goes on" if writes else "label, and the probability of each label"
    return [
        "```python",
        "import mlflow",
        'mlflow.set_tracking_uri("http://127.0.0.1:5000")  # your MLflow: the address that `make ui` prints; without a server,',
        '# "sqlite:///" and the whole path of mlflow.db in the checkout. Before the promotion: @challenger',
        f'model = mlflow.pyfunc.load_model("models:/{name}@champion")',
        f"model.predict({given})  # a DataFrame: {gives}",
        "```",
        f"{takes} Needs the packages in `requirements.txt`, nothing else.",
    ]


def _metrics(about: About) -> list[str]:
    seen = about.evaluation
    names = sorted(seen.metrics)
    own = seen.model
    head = [f"| | {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * (len(names) + 1) + "|"]
    interval = f" ({own['low95']:.3f} to {own['high95']:.3f})"
    values = [f"{seen.metrics[name]:.3f}{interval if name == own['metric'] else ''}" for name in names]
    others = [
        f"| {name} | {' | '.join(f'{of[metric]:.3f}' if metric in of else '–' for metric in names)} |"
        for name, of in seen.baselines.items()
    ]
    return [*head, f"| **this model** | {' | '.join(values)} |", *others, "", "Brackets: 95 % bootstrap interval."]


def _differences(seen: Evaluation) -> list[str]:
    return [
        f"- {diff.value:+.3f} {metric} against {diff.against} (95 %: {diff.low95:+.3f} to {diff.high95:+.3f}, "
        f"paired on the same rows; p = {diff.p:.2g})"
        for metric, found in ((seen.model["metric"], seen.diff), ("judge", seen.judge.diff if seen.judge else []))
        for diff in found
    ]


def _slices(seen: Evaluation) -> list[str]:
    metric = seen.model["metric"] if seen.model.get("metric") in METRICS_OF_TASK["text-generation"] else "accuracy"
    rows = [f"| {s.name} | {s.rows:,} | {s.value:.3f} ({s.low95:.3f} to {s.high95:.3f}) |" for s in seen.slices]
    return (
        [f"| rows with | number | {metric.replace('_', ' ')} (95 %) |", "|---|---|---|", *rows]
        if rows
        else ["No slice has enough rows."]
    )


def _base(about: About) -> str:
    if about.training.base_model is None:
        return "None: nothing that others trained is inside."
    named = f"{about.training.base_model.name}, sha256 `{about.training.base_model.sha256}`"
    if about.base is None:
        return f"{named}; its licence is not in the records."
    base = about.base
    return f"{named}, licence {base.licence}, from {base.source}. What it learned from its own data is inherited."


def _limits(about: About) -> list[str]:
    return [
        "- Measured on rows like those of the data file; for other sources, times and languages nothing is known.",
        f"- Intervals are those of {about.evaluation.rows:,} test rows: they do not hold what another training would change.",
        "- Probabilities are the model's own and were not calibrated.",
        *[f"- {line}" for line in about.decision.uncertain],
    ]
