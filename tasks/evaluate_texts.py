"""The evaluation of a language model: bits per byte of texts, or the answers to chats, beside the baseline of the task.

As in `evaluate`, all of it on the same untouched rows, with paired bootstrap intervals. A difference is the model's value
minus the baseline's, so for bits per byte a negative one is a gain.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks import answers, compared, documents, judge, metrics
from tasks.answers import Rows
from tasks.documents import Document
from tasks.metrics import Floats
from tasks.records import Evaluation, Judged, Slice, Training, Unseen

FEWEST_ROWS_OF_A_SLICE = 10
AGAIN = "once it is mended: `dvc repro -sf evaluate`, then `make run`"


def evaluation(
    training: Training,
    known: Sequence[Document],
    rows: list[Document],
    scored: Mapping[str, Rows],
    metric: str,
    command: str | None = None,
) -> Evaluation:
    """The record for these scores; `scored["model"]` is the trained model, the others are its baselines. `known`: what it
    was trained on; `command`: the judge of the answers."""
    counts = metrics.resamples(len(rows))
    draws = {name: answers.score(metric, s, counts) for name, s in scored.items() if answers.has(s, metric)}
    qualities = {name: answers.quality(s).known() for name, s in scored.items()}
    judged = _judged(command, rows, scored, qualities, counts) if command else None
    found = compared.evaluation(training, rows, qualities, draws, metric, _slices(rows, scored["model"], metric))
    return found.model_copy(update={"unseen": of_unseen(known, rows, scored), "judge": judged})


def _judged(
    command: str, rows: Sequence[Document], scored: Mapping[str, Rows], qualities: dict[str, dict[str, float]], counts: Floats
) -> Judged:
    """What the judge makes of all answers; its means are added to `qualities`. If it fails with one of them, it has failed."""
    try:
        marks = {name: np.array(judge.numbers(command, _lines(rows, s))) for name, s in scored.items()}
    except judge.Failed as failed:
        print(f"evaluate: objective.judge = {command}: {failed}. All else is measured; {AGAIN}", file=sys.stderr)
        return Judged(command=command, value=None, diff=[], reason=str(failed))
    for name, each in marks.items():
        qualities[name]["judge"] = float(each.mean())
    draws = {name: counts @ each / len(each) for name, each in marks.items()}
    return Judged(command=command, value=qualities["model"]["judge"], diff=compared.differences(qualities, draws, "judge"))


def _lines(rows: Sequence[Document], scored: Rows) -> Iterator[dict[str, Any]]:
    """What a judge is given, one an answer."""
    assert scored.said is not None
    for row, said in zip(rows, scored.said, strict=True):
        asked, right = documents.answered(row)
        yield {"asked": asked, "right": right, "answer": said}


def keep(rows: Sequence[Document], scored: Mapping[str, Rows], path: Path) -> None:
    """Everybody's answers, to be read: a JSON line a test row, {"id", "asked", "right", "answers": {name: answer}}.

    Of texts that are not answered, no line.
    """
    given = {name: s.said for name, s in scored.items() if s.said is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for place, row in enumerate(rows if given else []):
            asked, right = documents.answered(row)
            line = {
                "id": row.id,
                "asked": asked,
                "right": right,
                "answers": {name: said[place] for name, said in given.items()},
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def of_unseen(known: Sequence[Document], rows: Sequence[Document], scored: Mapping[str, Rows]) -> Unseen:
    """The measures on what no row of `known` says at length: a model that only remembers is not good there."""
    texts = [documents.answered(row)[1] if row.messages else row.text for row in rows]
    clean = answers.unseen(texts, (row.text for row in known))
    size = sum(len(text.encode()) for text, counts in zip(texts, clean, strict=True) if counts)
    if not size:
        said = f"each of the {len(rows):,} test texts has a run of {answers.RUN_WORDS} words that a training row has, too"
        return Unseen(texts=0, bytes=0, metrics=None, baselines={}, reason=said)
    qualities = {name: answers.quality(s, clean).known() for name, s in scored.items()}
    own = qualities.pop("model")
    return Unseen(texts=int(clean.sum()), bytes=size, metrics=own, baselines=qualities)


def scores(model: Path, known: list[Document], rows: list[Document]) -> dict[str, Rows]:
    """What the model in the folder and the baseline, trained on `known`, make of the test rows."""
    from tasks import serving

    return {"model": answers.measured(serving.load_generator(model), rows), "baseline": _baseline(known, rows)}


def _baseline(known: list[Document], rows: list[Document]) -> Rows:
    from tasks import serving, trainers
    from tasks.recipes import recipe

    with tempfile.TemporaryDirectory() as place:
        folder, plan = Path(place) / "baseline", recipe("baseline", "text-generation", len(known))
        trainers.train(trainers.Job("baseline", plan, None, [], known, 0, folder, task="text-generation"))
        return answers.measured(serving.load_generator(folder), rows)


def _slices(rows: list[Document], model: Rows, metric: str) -> list[Slice]:
    """By length of the text (thirds), with bootstrap intervals; slices below 10 rows are left out."""
    lengths = np.array([len(row.text) for row in rows])
    short, long = np.quantile(lengths, [1 / 3, 2 / 3])
    masks = {
        f"up to {short:.0f} characters": lengths <= short,
        f"{short:.0f} to {long:.0f} characters": (lengths > short) & (lengths <= long),
        f"over {long:.0f} characters": lengths > long,
    }
    counts = metrics.resamples(len(rows))
    return [_slice(name, mask, model, metric, counts) for name, mask in masks.items() if mask.sum() >= FEWEST_ROWS_OF_A_SLICE]


def _slice(name: str, mask: np.ndarray[tuple[int], np.dtype[np.bool_]], model: Rows, metric: str, counts: Floats) -> Slice:
    value = float(answers.score(metric, model, mask[None].astype(np.float64))[0])
    low, high = metrics.interval(answers.score(metric, model, counts * mask))
    return Slice(name=name, rows=int(mask.sum()), value=value, low95=low, high95=high)
