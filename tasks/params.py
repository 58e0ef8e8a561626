"""The settings of a use case: `params.yaml`, checked once, here. The same models are the form in the Prefect UI."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError, model_validator

from tasks.stage import UserError

Task = Literal["text-classification", "text-generation", "image-classification"]
Branch = Literal["baseline", "prompt", "probe", "lora", "full", "continued", "scratch"]
BRANCHES_OF_TASK: dict[str, tuple[Branch, ...]] = {
    "text-classification": ("baseline", "prompt", "probe", "lora", "full", "scratch"),
    "text-generation": ("baseline", "prompt", "lora", "full", "continued", "scratch"),
    "image-classification": ("baseline", "probe", "lora", "full", "scratch"),
}
METRICS_OF_TASK = {
    "text-classification": ("accuracy", "macro_f1"),
    "text-generation": ("bits_per_byte", "exact_match", "chrf"),
    "image-classification": ("accuracy", "macro_f1"),
}


PATTERNS = {
    "use_case.name": "write lower-case letters, digits and dashes, 2 to 63, a letter or digit first",
    "hardware.prices_as_of": "write year and month, like 2026-11",
}
"""What a setting with a pattern may be, in words."""


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UseCase(Settings):
    name: str = Field("movie-reviews", pattern=r"^[a-z0-9][a-z0-9-]{1,62}$", description="Name of the model in the registry")
    task: Task = Field("text-classification", description="What the model does")


class Data(Settings):
    path: str = Field("data/movie-reviews.jsonl", description="One file: JSONL, CSV or Parquet, one row an example")
    text: str | None = Field("text", description="Column with the text to classify")
    image: str | None = Field(None, description="Column with the image's path beside the data file, or its bytes (Parquet)")
    messages: str | None = Field(None, description="Column with chat messages (text generation)")
    rejected: str | None = Field(None, description="Column with an answer worse than the chat's last one (preferences)")
    label: str | None = Field("label", description="Column with the right answer")
    id: str | None = Field(None, description="Column with a row's identifier; empty: the row's content names it")
    group: str | None = Field(None, description="Column whose equal values must stay on one side of the split (user, patient)")
    max_rows: int | None = Field(2000, ge=20, description="Use at most so many rows, drawn by hash; empty: all of them")


class Objective(Settings):
    metric: Literal["accuracy", "macro_f1", "bits_per_byte", "exact_match", "chrf"] = Field(
        "accuracy", description="What a better model has more of; of bits per byte, less"
    )
    target: float | None = Field(
        0.8, ge=0, description="Good enough: the least value of the metric that serves you (of bits per byte, the most)"
    )
    value_per_point_usd: float | None = Field(
        None, ge=0, description="Worth of one percentage point a year, USD; empty: unknown"
    )
    month_of_delay_usd: float | None = Field(None, ge=0, description="Cost of one month without the model, USD; empty: unknown")
    requests_per_month: float | None = Field(None, ge=0, description="Predictions that will be asked for; empty: unknown")
    updates_per_year: float | None = Field(
        None, ge=0, description="How often a year the model will be trained again on newer data; empty: never"
    )
    judge: str | None = Field(
        None,
        description="Command that judges answers to chats, 0 to 1 each: JSON lines in, numbers out. It scores the evaluation "
        "of the trained model, not the verdict: pilots are not judged. Empty: none",
    )


class Constraints(Settings):
    budget_usd: float | None = Field(5.0, ge=0, description="Most that training may cost, USD; empty: no limit")
    deadline_hours: float | None = Field(12.0, gt=0, description="Most hours that training may take; empty: no limit")
    licences: list[str] = Field(["apache-2.0", "mit", "bsd-3-clause"], description="Licences of base models that you may use")
    third_party_weights: bool = Field(True, description="May the model start from weights that somebody else trained?")
    data_may_leave: bool = Field(False, description="May the data leave this machine, for a cloud or an API?")
    air_gap: bool = Field(False, description="Must training and serving run without any connection to the outside?")
    regions: list[str] | None = Field(
        None, description="Where the data must stay (data residency), in the words of hardware.region; empty: anywhere"
    )
    business_use: bool | None = Field(
        None, description="Is the model for business? Licences that forbid that are then out; empty: only licences counts"
    )
    ownership: Literal["any", "free", "all"] = Field(
        "any", description="any; free: no base model whose licence binds what you make of it; all: nothing that others own"
    )
    may_become_provider: bool = Field(
        True, description="May a fine-tuning be so large that the EU AI Act makes you the provider of a general-purpose model?"
    )
    months_until_use: float | None = Field(
        None, gt=0, description="Most months until the model serves, people's work included; empty: no limit"
    )
    max_latency_ms: float | None = Field(
        None, gt=0, description="Longest answer to one request, ms, measured here; empty: no limit"
    )
    max_model_gb: float | None = Field(None, gt=0, description="Largest model to serve, GB on disk; empty: no limit")


class Team(Settings):
    engineers: int = Field(1, ge=0, description="People who would build and keep the model")
    usd_per_hour: float = Field(80.0, ge=0, description="What one of their hours costs, USD")
    has_trained_from_scratch: bool = Field(False, description="Has anybody of them trained a model from scratch before?")
    people_hours: dict[Branch, float] | None = Field(
        None, description="Hours of work until a branch serves, where you know better than the shipped table; empty: the table"
    )
    usd_per_label: float | None = Field(None, ge=0, description="What one more labelled row costs, USD; empty: unknown")
    fine_tunings: tuple[NonNegativeInt, NonNegativeInt] | None = Field(
        None, description="Your own so far: how many went into use, how many failed; empty: two trade articles' 80 %"
    )
    from_scratch: tuple[NonNegativeInt, NonNegativeInt] | None = Field(
        None, description="Your own so far: how many went into use, how many failed; empty: two trade articles' 40-60 %"
    )


class Hardware(Settings):
    gpu: str | None = Field(
        None, description="GPU type that would train the model (A100, H100, ...); empty: this machine's CPU"
    )
    count: int = Field(1, ge=1, le=4096, description="How many of them")
    usd_per_gpu_hour: tuple[float, float] | None = Field(
        (0.05, 0.15),
        description="Lowest and highest price of an hour of one, USD; empty: the shipped, dated range of public prices",
    )
    place: Literal["here", "own", "cloud"] | None = Field(
        None, description="Where it stands: this machine, a cluster of your own, a cloud; empty: here without gpu, else unknown"
    )
    region: str | None = Field(None, description="Country or region of that cloud; empty: unknown")
    memory_gb: float | None = Field(
        None, gt=0, description="Memory of one of them, GB; empty: the data sheet's for a known GPU, else not checked"
    )
    watts: float | None = Field(None, gt=0, description="Power of one of them, W; empty: the data sheet's for a known GPU")
    usd_per_kwh: float | None = Field(
        None, ge=0, description="Price of electricity, where the hour's price does not hold it; empty: it does"
    )
    prices_as_of: str = Field(
        "2026-11",
        pattern=r"^\d{4}-(0[1-9]|1[0-2])$",
        description="Year and month in which you looked your prices up; 2026-11, say. The decision expires by it",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.usd_per_gpu_hour or (0.0, 0.0)
        if not 0 <= low <= high:
            raise ValueError(f"usd_per_gpu_hour = [{low}, {high}]: give the lower price first, neither below 0")
        return self


class Pilots(Settings):
    branches: list[Branch] = Field(
        ["baseline", "probe", "lora", "full", "scratch"], min_length=1, description="Ways to compare"
    )
    rungs: list[int] = Field([100, 200, 400, 800], min_length=1, description="Training rows of the pilots, small to large")
    seeds: int = Field(2, ge=1, le=20, description="How often each pilot is repeated with other rows and another seed")
    budget_usd: float | None = Field(None, ge=0, description="Most that the larger pilots may cost, USD; empty: no limit")

    @model_validator(mode="after")
    def _sorted(self) -> Self:
        if self.rungs != sorted(set(self.rungs)) or self.rungs[0] < 10:
            raise ValueError(f"rungs = {self.rungs}: give growing numbers of rows, the first at least 10")
        if len(set(self.branches)) != len(self.branches):
            raise ValueError(f"branches = {self.branches}: name each branch once")
        return self


class Gates(Settings):
    min_gain: float = Field(
        0.0, ge=0, le=1, description="A new model must beat the champion by more than this share of the metric"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="How sure that must be (paired bootstrap)")
    needs_approval: bool = Field(True, description="Must a person approve a promotion?")


class Params(Settings):
    """All settings of one use case."""

    use_case: UseCase = UseCase()
    data: Data = Data()
    objective: Objective = Objective()
    constraints: Constraints = Constraints()
    team: Team = Team()
    hardware: Hardware = Hardware()
    candidates: list[str] = Field(["MiniLM-L6", "MiniLM-L3"], description="Base models of the shelf that compete")
    pilots: Pilots = Pilots()
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        able = BRANCHES_OF_TASK.get(self.use_case.task)
        if able is None:
            raise ValueError(f"use_case.task = {self.use_case.task}: can so far be one of {', '.join(BRANCHES_OF_TASK)}")
        if strange := [branch for branch in self.pilots.branches if branch not in able]:
            raise ValueError(f"pilots.branches = {strange}: {self.use_case.task} knows {', '.join(able)}")
        if self.objective.metric not in (known := METRICS_OF_TASK[self.use_case.task]):
            raise ValueError(f"objective.metric = {self.objective.metric}: {self.use_case.task} has {', '.join(known)}")
        kind, most = ("a number of bits", 8) if self.objective.metric == "bits_per_byte" else ("a share", 1)
        if (self.objective.target or 0) > most:
            raise ValueError(f"objective.target = {self.objective.target:g}: {self.objective.metric} is {kind}, at most {most}")
        if self.objective.judge is not None and (self.use_case.task != "text-generation" or self.data.messages is None):
            raise ValueError(f"objective.judge = {self.objective.judge}: only chats have answers to judge; leave it empty")
        if self.use_case.task == "text-generation":
            return self._generates()
        if self.use_case.task == "image-classification":
            if self.data.image is None or self.data.label is None:
                raise ValueError("data.image and data.label name the columns to learn from: give both")
        elif self.data.text is None or self.data.label is None:
            raise ValueError("data.text and data.label name the columns to learn from: give both")
        return self

    def _generates(self) -> Self:
        if self.data.label is not None:
            raise ValueError(f"data.label = {self.data.label}: text-generation learns from the texts alone; leave it empty")
        if (self.data.text is None) == (self.data.messages is None):
            raise ValueError("data.text or data.messages names the column to learn from: give one, leave the other empty")
        if self.data.messages is None and self.data.rejected is not None:
            raise ValueError(f"data.rejected = {self.data.rejected}: goes with data.messages alone")
        return self


def load(path: Path = Path("params.yaml")) -> Params:
    """The settings in `path`. Raises UserError with one line a mistake: the key, its value and what it may be.

    Text in place of a number is such a mistake, also where it could be read as one: DVC reads the file, too, and sees text.
    """
    values = _read(path)
    settings = check(values, str(path))
    if lines := [f"{path}: {line}" for line in _quoted(values, settings.model_dump(mode="json"))]:
        raise UserError("\n".join(lines))
    return settings


def of_text(text: str, where: str) -> Params:
    """The settings that a params.yaml held, which is no file here: as an entry of the ledger has it. Raises as `load` does."""
    return check(_parsed(text, where), where)


def check(values: Any, where: str) -> Params:
    """`values` as Params; `where` names their source in the message of the UserError."""
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = [_line(where, dict(mistake)) for mistake in error.errors()]
        raise UserError("\n".join(lines)) from None


def _quoted(said: Any, meant: Any, key: str = "") -> Iterator[str]:
    """Each text in `said` that `meant` holds as a number, true or false."""
    if isinstance(said, dict):
        for name, value in said.items():
            yield from _quoted(value, meant[name], f"{key}.{name}" if key else str(name))
    elif isinstance(said, list):
        for one, other in zip(said, meant, strict=True):
            yield from _quoted(one, other, key)
    elif isinstance(said, str) and isinstance(meant, bool):
        yield f'{key} is the text "{said}"; write {str(meant).lower()}, without quotes'
    elif isinstance(said, str) and not isinstance(meant, str):
        yield f'{key} is the text "{said}"; remove the quotes'


def _line(where: str, mistake: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"{where}: {key}: no such setting; {_meant(key) or 'remove it or correct its name'}"
    message, shown = str(mistake["msg"]).removeprefix("Value error, "), mistake["input"]
    if mistake["type"] == "string_pattern_mismatch":
        message = PATTERNS.get(key, message)
    if isinstance(shown, dict | Settings):
        return f"{where}: {key}: {message}" if key else f"{where}: {message}"
    return f"{where}: {key} = {shown}: {message}"


def _meant(key: str) -> str:
    """Which setting `key` seems to mean: the one named most like it in its section, else anywhere; empty if none is."""
    fields = {group: list(getattr(field.annotation, "model_fields", {})) for group, field in Params.model_fields.items()}
    section, _, name = key.rpartition(".")
    here = {one: f"{section}.{one}" for one in fields.get(section, [])} if section else {group: group for group in fields}
    anywhere = {one: f"{group}.{one}" for group in reversed(fields) for one in fields[group]}
    for places in (here, anywhere):
        if near := get_close_matches(name, places, 1):
            return f"did you mean {places[near[0]]}?"
    return ""


def _read(path: Path) -> Any:
    try:
        return _parsed(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from the top folder of the project") from None
    except UnicodeDecodeError as error:
        raise UserError(_not_yaml(str(path), error)) from None


def _parsed(text: str, where: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise UserError(_not_yaml(where, error)) from None


def _not_yaml(where: str, error: Exception) -> str:
    return f"{where}: not valid YAML: {' '.join(str(error).split())}"
