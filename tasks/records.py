"""The records that stages leave in `results/`: typed, JSON, each with a `schema_version`.

A record carries no clock, run id or host name, so that equal inputs give equal bytes. What was measured on a machine
(seconds, memory) stands apart from quality, which is deterministic. An unknown is null with a reason beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.stage import UserError

SCHEMA_VERSION = 1
Status = Literal["chosen", "keep_baseline", "use_as_is", "label_more", "do_nothing", "no_branch_fits"]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Span(Record):
    """An estimate with the ends of its 90 % interval."""

    value: float
    low: float
    high: float


# ---- audit, context, candidates -----------------------------------------------------------------------------------


class Split(Record):
    rows: int
    groups: int
    sha256: str
    """Of the sorted row ids: changes when any row does."""


class Audit(Record):
    """Every row that the file delivers is accounted for:

    rows_delivered = sum(rows_rejected) + exact_duplicates + rows_not_drawn + rows_kept, and
    rows_kept = train.rows + test.rows = sum(labels), if rows have labels. Blank lines are no rows.
    """

    schema_version: int = SCHEMA_VERSION
    path: str
    format: str
    bytes: int
    rows_delivered: int
    rows_rejected: dict[str, int]
    """Reason to count; the rows themselves are in results/rejected.jsonl."""
    exact_duplicates: int
    """Rows dropped because another row says the same, with the same label."""
    near_duplicates: int
    """Rows kept, beyond the first of each cluster of near duplicates; a cluster never stands on both sides."""
    rows_not_drawn: int
    """Rows left out because of data.max_rows."""
    rows_kept: int
    labels: dict[str, int]
    """Label to count, over the kept rows, labels sorted."""
    conflicting_labels: int
    """Texts whose exact duplicates disagree about the label; their rows are rejected."""
    near_conflicts: int
    """Clusters of near duplicates whose rows disagree about the label; they are kept."""
    characters: dict[str, float]
    """Length of a text: min, median, mean, p95, max."""
    words: dict[str, float]
    """Both are empty for images."""
    width: dict[str, float] = {}
    height: dict[str, float] = {}
    """Of an image in pixels, as delivered; both are empty for texts."""
    images_reduced: int = 0
    """Kept images that are larger than what is stored of them."""
    groups: int
    largest_group: int
    """Rows of the largest group."""
    leaks_prevented: int
    """Test rows of a random split by row that would have had an exact or near duplicate in training."""
    stand_ins: list[str]
    """Labels of which chance drew no test row, so that one group was moved there."""
    train: Split
    test: Split
    n_effective: Span
    """Training rows after overlap: what the duplicates and groups leave of them."""
    columns: dict[str, str]
    """Column to what it holds: text, label, id, group, not used."""
    warnings: list[str]
    data_md5: str | None = None
    """Of the data file, as DVC knows it; null where the data is no single file."""


class Context(Record):
    """What the data does not say: the machine found, the team and objectives declared. Nothing is measured on it."""

    schema_version: int = SCHEMA_VERSION
    infrastructure: dict[str, Any]
    team: dict[str, Any]
    objective: dict[str, Any]
    constraints: dict[str, Any]
    hardware: dict[str, Any]
    remarks: list[str]


class Candidate(Record):
    name: str
    sha256: str
    licence: str
    source: str
    parameters: int
    bytes: int
    max_tokens: int | None
    """null for a model of images."""
    shape: dict[str, Any] | None = None
    """Layers and widths, as `tasks.shape.Shape` has them; null where its config.json does not tell."""
    row_tokens: list[int] = []
    """Tokens of a training row with the model's own marks, uncut: 21 quantiles of a sample, shortest to longest."""
    fertility: float | None
    """Tokens a word of the user's training text."""
    fertility_reason: str | None = None
    training_flops: float | None = None
    """That its makers spent on it; null: not known."""
    training_flops_source: str | None = None
    """Where that stands, or why it is not known."""


class Candidates(Record):
    schema_version: int = SCHEMA_VERSION
    candidates: list[Candidate]


class RankedBase(Record):
    """A base model's place among the candidates before it is piloted (`tasks.bases`), and what else counts."""

    rank: int
    name: str
    probe_log_loss: float | None
    """Nats a row, of a linear probe on the frozen model; the screen. null for a model that generates text."""
    bits_per_byte: float | None = None
    """Of held-out text, of the model as it is; in the place of the probe for one that generates text."""
    layers: int | None
    """null: its config.json does not tell, and then depth counts for none of the candidates."""
    parameters: int
    fertility: float | None
    licence: str
    model_gb: float
    set_aside: str | None = None
    """Why it got no place among those that are screened (`tasks.look`); null if it did."""


class Size(Record):
    """A model trained from scratch, as a scaling law has it."""

    params: float
    tokens: float
    """Trained on, repeated ones counted."""
    epochs: float
    """Of the unique text."""
    effective_epochs: float
    """What the epochs are worth in new text."""
    text_share: float
    """What the text is worth over 20 tokens a parameter; below 1 the text is too little."""


class ScratchFeasibility(Record):
    """Whether text and budget carry a model trained from scratch. The laws are those of language models on web text."""

    unique_tokens: float
    budget_flops: float | None
    planned: Size
    """What the recipe would train."""
    affordable: Size | None
    """Compute-optimal for the budget, as if all its text were new."""
    on_this_text: Size | None
    """Of least loss for the budget on the text at hand, repeated."""
    for_serving: Size | None
    """Reaches the loss of `affordable` with the least computing, the declared requests of two years included."""
    enough_text: bool | None
    """For the size that the budget affords; null without a budget."""
    favours: Literal["scratch", "transfer", "measure"]
    """By unique tokens over 20 a parameter of the planned model; a screening, never the verdict."""
    fertility: dict[str, float | None]
    """Tokens a word that each candidate's tokenizer makes of the training text; null: not known."""
    remarks: list[str]


# ---- cells, screens, pilots ------------------------------------------------------------------------------------------


LOWER_IS_BETTER = ("log_loss", "bits_per_byte")
SHARES = ("accuracy", "macro_f1", "exact_match")
"""Qualities between 0 and 1, which people read in percent."""


class Quality(Record):
    """Deterministic: the same rows, recipe and seed give the same numbers."""

    accuracy: float | None = None
    macro_f1: float | None = None
    log_loss: float | None = None
    """Natural logarithm, a row."""
    bits_per_byte: float | None = None
    """Of held-out text, UTF-8: comparable between models with different tokenizers."""
    exact_match: float | None = None
    chrf: float | None = None

    def known(self) -> dict[str, float]:
        """What was measured; the rest does not apply to the task."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Measured(Record):
    """What it took where it ran."""

    cpu_seconds: float
    wall_seconds: float
    predict_cpu_seconds: float | None
    """CPU-seconds to score the held-out rows; null for a final training, which scores none."""
    peak_gb: float
    """Largest resident memory of the process, 1e9 bytes; of all cells of one process up to then."""
    model_gb: float
    """Size of the saved model, 1e9 bytes."""
    tokens: int
    """Tokens trained on, all epochs; 0 where a branch has none."""
    machine: str
    cores: int = 1
    """Of that machine; a pilot ran on one of them, a final training on all."""


class Cell(Record):
    """One pilot measurement."""

    key: str
    branch: str
    base_model: str | None
    base_sha256: str | None
    recipe: dict[str, Any]
    seed: int
    n: int
    """Rows trained on."""
    n_heldout: int
    train_sha256: str
    heldout_sha256: str
    quality: Quality
    cut_rows: int | None = None
    cut_tokens: int | None = None
    """Rows longer than the recipe's `max_tokens`, and their tokens that were not learnt; null: of before they were counted."""
    measured: Measured


class Pilot(Record):
    """The cells of one branch, of its screen or of its pilot."""

    schema_version: int = SCHEMA_VERSION
    branch: str
    regime: Literal["ladder", "cross-validation"]
    cells: list[Cell]
    not_continued: dict[str, str]
    """Base model (or "-") to the reason why it has no cells here."""
    ended_early: dict[str, str] = {}
    """Base model (or "-") to the reason why it was not measured on the rungs above its last one."""


class Look(Record):
    """Which base models are screened."""

    schema_version: int = SCHEMA_VERSION
    continued: list[str]
    """A DVC param of each screen."""
    ranked: list[RankedBase]
    """Best first; empty where there were so few candidates that all are screened."""
    cells: list[Cell]


class Entry(Record):
    branch: str
    base_model: str | None
    continued: bool
    reason: str


class Shortlist(Record):
    schema_version: int = SCHEMA_VERSION
    entries: list[Entry]
    continued: dict[str, list[str]]
    """Branch to the base models ("-" for none) that go on; a DVC param of each pilot stage."""


class PastCurve(Record):
    """One branch of a pilot that is over: `quality[metric][i]` was reached with `n[i]` rows and `seed[i]`."""

    branch: str
    base_model: str | None
    n: list[int]
    seed: list[int]
    quality: dict[str, list[float]]


class PastPilot(Record):
    use_case: str
    ledger_sha: str
    curves: list[PastCurve]


class Library(Record):
    """One's own past pilots, by use case."""

    schema_version: int = SCHEMA_VERSION
    pilots: list[PastPilot]


# ---- decision and plan -----------------------------------------------------------------------------------------------


class Verdict(Record):
    branch: str | None
    base_model: str | None
    status: Status
    reason: str
    rows: int | None = None
    """To label up to, where the verdict is to label more."""


class Metric(Record):
    """What is aimed at. Whether more of it is better is asked here and nowhere else.

    A *point* is a hundredth of its unit: a percentage point of accuracy, 0.01 bits of bits per byte.
    """

    name: str
    target: float | None
    higher_is_better: bool = True

    @classmethod
    def of(cls, name: str, target: float | None) -> Metric:
        return cls(name=name, target=target, higher_is_better=name not in LOWER_IS_BETTER)

    def points(self, value: Any, over: Any) -> Any:
        """By how many points `value` is better than `over`; numbers or arrays."""
        return 100 * (value - over) if self.higher_is_better else 100 * (over - value)

    def reached(self, value: Any) -> Any:
        """Is the target reached? Always, where there is none."""
        return self.points(value, value if self.target is None else self.target) >= 0

    def best_end(self, predicted: Predicted) -> float | None:
        """The better end of the 90 % interval."""
        return predicted.high90 if self.higher_is_better else predicted.low90


class Exclusion(Record):
    constraint: str
    value: Any
    limit: Any
    lifted_by: str


class Predicted(Record):
    value: float | None
    low90: float | None
    high90: float | None
    ratio: float
    """Rows predicted for over the largest rung measured."""
    grade: str
    reason: str | None = None


class Peak(Record):
    value: float
    high: float


class Ahead(Record):
    """The predicted curve from the largest rung on: for each `rows[i]` a value and the ends of its 90 % interval."""

    rows: list[int]
    value: list[float]
    low90: list[float]
    high90: list[float]


class Option(Record):
    """One branch with one base model, as the decision sees it."""

    branch: str
    base_model: str | None
    status: Literal["chosen", "possible", "excluded", "not_continued"]
    excluded_by: list[Exclusion]
    predicted: Predicted
    cost_usd: Span | None
    hours: Span | None
    first_year_usd: Span | None = None
    """What it costs in its first year, of all that is declared or measured: the mean (the sum of `parts_usd`), 5 % and 95 %."""
    parts_usd: dict[str, float] = {}
    """Means: training, failed_attempts, people, serving, updates, electricity, delay. What is not known is not in it."""
    people_hours: float | None = None
    months_until_use: float | None = None
    """Work of the declared engineers and one training."""
    p_success: Span | None = None
    """That an attempt leads to a model in use; null for what the pilots have already carried out in full."""
    electricity_kwh: float | None = None
    """Of one training; null where the power is not known."""
    provider_share: float | None = None
    """Computing of this training over that of the base model, or over 1e23 FLOPs where that is not known (EU AI Act)."""
    peak_gb: Peak | None
    latency_ms: float | None
    """Of one row, scored in batches where the pilots ran."""
    model_gb: float | None
    largest_rung: int
    cells: int
    p_target: float | None
    p_budget: float | None
    p_deadline: float | None
    p_all: float | None
    """Of target, budget and deadline together, of those that are set and known."""
    expected_regret: float | None
    """Average loss against the best of the options that no constraint excludes, in `Decision.regret_unit`; null if excluded."""
    ahead: Ahead | None
    note: str | None = None
    rests_on: str | None = None
    """What hours and memory stand on where they were not measured on this hardware."""


class Factor(Record):
    """One factor of the trade articles: what they say of each way, and what was measured or declared here."""

    factor: str
    fine_tune: str
    from_scratch: str
    here: str
    points_to: Literal["fine-tune", "from scratch", "neither"]


class RuleOfThumb(Record):
    branch: str
    """`full` stands for any fine-tuning: the rule does not say which."""
    says: Literal["fine-tune", "from scratch"]
    agrees: bool
    reason: str
    factors: list[Factor]
    source: str


class Flip(Record):
    constraint: str
    now: float | bool | None
    at: float | bool | None
    """The first value, of three digits, with another verdict; its neighbour on the side of `now` keeps the verdict."""
    at_end: bool = False
    """`at` is the lowest or highest value that was tried: nothing was decided on its other side."""
    to_branch: str | None
    to_base_model: str | None = None
    to_status: Status | None = None
    """None: no value within the range tried changes the verdict; see note."""
    to_reason: str | None = None
    """Of the verdict that it changes to."""
    side: Literal["below", "above", "switch"]
    note: str


class Crossover(Record):
    n: float | None
    low90: float | None
    high90: float | None
    status: str


class Trade(Record):
    """An option that no other beats in both quality and cost (the Pareto front), among those that no limit excludes."""

    branch: str | None
    """None: doing nothing."""
    base_model: str | None
    value: float
    cost_usd: float
    """Mean of the first year."""
    pays_from_usd: float | None
    """The value of a point a year from which this option is worth most; null: at no value, others are better on either side."""


class Offer(Record):
    """The next rung of one pair: what it would cost and what it would be worth to know."""

    branch: str
    base_model: str | None
    rows: int
    cost_usd: float | None
    gain: float
    """Expected drop of the expected regret, in `Decision.regret_unit`."""


class NextRung(Record):
    """Which measurement would be bought next, and why it is or is not worth buying."""

    offer: Offer | None
    buy: bool | None
    """Null: without a value of a point, or without its cost, nobody can say."""
    pays_from_usd: float | None
    """The value of a point a year from which it would pay."""
    reason: str
    offers: list[Offer]
    """All, best first."""


class ScratchVerdict(Record):
    """Training from scratch against the best fine-tuning."""

    terms: Literal["equal compute", "to convergence"]
    rows: int | None
    """That scratch can train on with the computing of that fine-tuning; all rows where it needs no more."""
    predicted: float | None
    against: str | None
    p_better: float | None
    note: str


class DecisionMap(Record):
    """The verdict for other amounts of data and other budgets, all else as declared."""

    rows: list[int]
    budget_usd: list[float]
    verdicts: list[str]
    """One string a budget, one letter a column of `rows`."""
    key: dict[str, str]
    """Letter to branch, or to status where the verdict has no branch."""
    decision_grade_rows: int
    """Beyond, more than 32 times the largest rung measured."""


class Decision(Record):
    schema_version: int = SCHEMA_VERSION
    verdict: Verdict
    metric: Metric
    n_rows: int
    n_effective: Span
    branches: list[Option]
    rule_of_thumb: RuleOfThumb
    flips: list[Flip]
    by_branch: dict[str, dict[str, float | None]]
    crossover: Crossover
    expires_on: str
    inputs: dict[str, str | None]
    cost_includes: list[str]
    uncertain: list[str]
    """Largest first."""
    rules: list[str]
    """How the verdict was reached: the thresholds that are settled in advance."""
    regret_unit: Literal["points", "USD"]
    map: DecisionMap
    assumed: list[str] = []
    """What was left out or taken for granted because a setting is empty, and which prior of success was used."""
    tradeoff: list[Trade] = []
    """From the cheapest to the best."""
    next_rung: NextRung | None = None
    scratch: list[ScratchVerdict] = []
    usd_per_hour: Span | None = None
    """Of one GPU, or of the machine: lowest, middle and highest price, as declared or, where that is empty, as shipped."""
    break_even: dict[str, float | None] = {}
    """Flat: rows (scratch overtakes), usd_per_gpu_hour, requests_per_month, deadline_hours, budget_usd, value_per_point_usd.
    Null: not within the range tried; `flips`, `crossover` and `tradeoff` say which."""
    scratch_feasible: ScratchFeasibility | None = None
    bases: list[RankedBase] = []
    """Base models by the cheap screen, best first."""
    doubts: list[str] = []
    """Settings that cannot be right."""


class Base(Record):
    name: str
    sha256: str


class Plan(Record):
    """What to do: no estimates, no caps. `branch` is null when no branch fits."""

    schema_version: int = SCHEMA_VERSION
    task: str = "text-classification"
    branch: str | None
    base_model: Base | None
    recipe: dict[str, Any]


# ---- training and evaluation -------------------------------------------------------------------------------------------


class Influences(Record):
    """Everything that the weights of a training depend on, by sha256; see `tasks.trainers.influences` for how it is known."""

    rows: str
    """`documents.sha256` of the training rows."""
    base: dict[str, str]
    """File of the base model to sha256."""
    code: dict[str, str]
    """Module of this project that was loaded to sha256."""
    packages: dict[str, str]
    """Package that was loaded to version."""
    other_files: dict[str, str]
    connections: list[str]
    own_data_only: bool
    """Nothing but the rows, code and packages: no base weights, no other file, no connection."""


class Training(Record):
    schema_version: int = SCHEMA_VERSION
    status: Literal["finished", "nothing_to_do"]
    plan_sha256: str
    branch: str | None
    base_model: Base | None
    recipe: dict[str, Any]
    train_sha256: str
    rows: int
    labels: list[str]
    steps_done: int
    steps_planned: int
    files: dict[str, str]
    """File in `model/` to its sha256."""
    influences: Influences | None = None
    cut_rows: int | None = None
    cut_tokens: int | None = None
    """Rows longer than the recipe's `max_tokens`, and their tokens that were not learnt; null: nothing was trained."""
    measured: Measured | None


def cut(record: Cell | Training, rows: int) -> str:
    """What of its `rows` was too long to be learnt, in words; for records that counted it."""
    limit = record.recipe["max_tokens"]
    return (
        f"{record.cut_rows:,} of {rows:,} rows are longer than {limit} tokens (max_tokens of the recipe, or what the base "
        f"reads): {record.cut_tokens:,} tokens were cut off and not learnt"
    )


class Difference(Record):
    """Metric of the model minus that of `against`, on the same test rows; paired bootstrap."""

    against: str
    value: float
    low95: float
    high95: float
    p: float
    """Two-sided bootstrap p-value of no difference."""


class Slice(Record):
    name: str
    rows: int
    value: float
    low95: float
    high95: float


class Unseen(Record):
    """The measures on the test texts (of chats: the answers) that have no run of 13 words in common with a training row."""

    texts: int
    bytes: int
    """Of those texts, in UTF-8."""
    metrics: dict[str, float] | None
    """Null: none is left, and `reason` says so."""
    baselines: dict[str, dict[str, float]]
    reason: str | None = None


class Judged(Record):
    """What `objective.judge` makes of the answers, 0 to 1 each; `metrics` and `baselines` hold its means as `judge`."""

    command: str
    value: float | None
    """The model's mean; null: the judge failed, and `reason` says how."""
    diff: list[Difference]
    reason: str | None = None


class Evaluation(Record):
    schema_version: int = SCHEMA_VERSION
    status: Literal["finished", "nothing_to_do"]
    model: dict[str, Any]
    baselines: dict[str, dict[str, float]]
    metrics: dict[str, float]
    diff: list[Difference]
    slices: list[Slice]
    steps_done: int
    steps_planned: int
    test_sha256: str
    rows: int
    unseen: Unseen | None = None
    """Of generated text alone."""
    judge: Judged | None = None
    """Null: no judge was asked."""


class Beside(Record):
    """One quantity as the decision predicted it, and as it came true."""

    name: str
    predicted: Span | None
    realised: float | None
    inside: bool | None
    """Of the 90 % interval; null where either is not known."""


class Realised(Record):
    """What the decision predicted of its choice, and what came true: written after the evaluation."""

    schema_version: int = SCHEMA_VERSION
    status: Literal["finished", "nothing_to_do"]
    branch: str | None
    base_model: str | None
    quantities: list[Beside]


R = TypeVar("R", bound=Record)


def read(kind: type[R], path: Path) -> R:
    """The record in `path`. Raises UserError if it is missing or is not of this kind."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro`") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {where}: {first['msg']}; written by another version? run `dvc repro`") from None


def write(record: Record, path: Path) -> None:
    """Write atomically, with sorted keys, so that equal records are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(
        json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    part.replace(path)


def sha256_of(value: Any) -> str:
    """Of the canonical JSON of `value`: the same for equal values on every machine."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_of_file(path: Path) -> str:
    """What DVC calls the version of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
