"""How good answers and language models are: bits per byte, exact match, chrF, over rows that can be resampled.

Each measure is a function of sums over rows, so `Rows` keeps what is summed: with `counts` (b, n), how often each row was
drawn, `score` gives one value a resample.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tasks import documents
from tasks.documents import Document
from tasks.metrics import Floats
from tasks.records import Quality
from tasks.serving import Generator, Told, silent

METRICS = "bits_per_byte", "exact_match", "chrf"
RUN_WORDS = 13
"""The overlap by which Brown et al. 2020 (arXiv 2005.14165, appendix C) call a test text contaminated."""
ORDERS, BETA = 6, 2  # chrF2: characters up to six, recall counts twice; Popović 2015 and 2016 (W15-3049, W16-2341)


@dataclass(frozen=True)
class Rows:
    """What the measures of `n` rows are made of; None where a measure does not apply."""

    bytes: Floats | None = None
    """Of the text or answer that was foretold, in UTF-8, (n,)."""
    bits: Floats | None = None
    """Minus log2 of its probability, (n,)."""
    exact: Floats | None = None
    """1 where the answer given is the right one, (n,)."""
    runs: Floats | None = None
    """`chrf_runs` of answer given and right one, (n, 3 * ORDERS)."""
    said: NDArray[np.object_] | None = None
    """The answers given, (n,); no measure, they are kept to be read."""


def measured(model: Generator, rows: Sequence[Document], told: Told = silent) -> Rows:
    """What the model makes of held-out rows: of chats the last answer, of other rows the text. For `told` see `Generator`."""
    if not all(row.messages for row in rows):
        texts = [row.text for row in rows]
        return read(texts, model.nats(texts))  # type: ignore[attr-defined]
    prompts, right = zip(*map(documents.answered, rows), strict=True)
    nats = model.answer_nats(prompts, right) if hasattr(model, "answer_nats") else None
    return given(model.answers(prompts, told), right, nats)


def read(texts: Sequence[str], nats: Sequence[float]) -> Rows:
    """Of texts, and minus the natural logarithm of each one's probability."""
    return Rows(bytes=_bytes(texts), bits=np.array(nats) / np.log(2))


def given(answers: Sequence[str], right: Sequence[str], nats: Sequence[float] | None = None) -> Rows:
    """Of answers beside the right ones, and of how unlikely the right ones were held, if the model can tell."""
    return Rows(
        bytes=None if nats is None else _bytes(right),
        bits=None if nats is None else np.array(nats) / np.log(2),
        exact=np.array([normal(a) == normal(r) for a, r in zip(answers, right, strict=True)], np.float64),
        runs=np.array([chrf_runs(a, r) for a, r in zip(answers, right, strict=True)], np.float64).reshape(-1, 3 * ORDERS),
        said=np.array(answers, np.object_),
    )


def quality(rows: Rows, kept: NDArray[np.bool_] | None = None) -> Quality:
    """All measures that apply, of all rows or of those `kept` (n,)."""
    counts = None if kept is None else kept[None].astype(np.float64)
    return Quality(**{name: float(score(name, rows, counts)[0]) for name in METRICS if has(rows, name)})


def has(rows: Rows, metric: str) -> bool:
    """Was it measured? A retrieval, say, has no bits per byte."""
    return _summed(rows)[metric] is not None


def known(metric: str, rows: Rows) -> Floats:
    """What `metric` is a function of, (n, ...)."""
    found = _summed(rows)[metric]
    assert found is not None, f"{metric} was not measured"
    return found


def _summed(rows: Rows) -> dict[str, Floats | None]:
    return {"bits_per_byte": rows.bits, "exact_match": rows.exact, "chrf": rows.runs}


def together(one: Rows, other: Rows) -> Rows:
    """The rows of both, one after the other; what only one of them has is left out."""
    pairs = {field.name: (getattr(one, field.name), getattr(other, field.name)) for field in fields(Rows)}
    return Rows(**{name: np.concatenate(pair) for name, pair in pairs.items() if all(part is not None for part in pair)})


def score(metric: str, rows: Rows, counts: Floats | None = None) -> Floats:
    """`bits_per_byte`, `exact_match` or `chrf` (0 to 1) of each resample (b,); without `counts`, of all rows, (1,)."""
    each = known(metric, rows)
    drawn = np.ones((1, len(each))) if counts is None else counts
    if metric == "chrf":
        return chrf(drawn @ each)
    weights = rows.bytes if metric == "bits_per_byte" else np.ones(len(each))
    assert weights is not None
    shares: Floats = (drawn @ each) / np.maximum(drawn @ weights, 1)
    return shares


def normal(answer: str) -> str:
    """As compared for an exact match: Unicode's NFKC, lower case, single spaces, without a full stop at the end."""
    return " ".join(unicodedata.normalize("NFKC", answer).casefold().split()).removesuffix(".")


def chrf_runs(answer: str, right: str) -> list[int]:
    """For 1 to ORDERS characters, spaces left out: runs in the answer, runs in the right one, runs in common.

    As in sacrebleu 2.6: what the right answer is too short to have is not held against the answer.
    """
    found = []
    for order in range(1, ORDERS + 1):
        ours, theirs = _runs(answer, order), _runs(right, order)
        found += [ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()]
    return found


def chrf(runs: Floats) -> Floats:
    """chrF2 of sums of `chrf_runs`, (b, 3 * ORDERS) to (b,), 0 to 1.

    The F score, recall weighted BETA squared, of precision and recall averaged over the orders that both sides have.
    """
    ours, theirs, common = (runs[:, place::3] for place in range(3))
    both = (ours > 0) & (theirs > 0)
    orders = np.maximum(both.sum(1), 1)
    precision = np.where(both, common / np.maximum(ours, 1), 0).sum(1) / orders
    recall = np.where(both, common / np.maximum(theirs, 1), 0).sum(1) / orders
    below = BETA**2 * precision + recall
    scores: Floats = np.where(below > 0, (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1), 0.0)
    return scores


def _runs(text: str, order: int) -> Counter[str]:
    characters = "".join(text.split())
    return Counter(characters[i : i + order] for i in range(len(characters) - order + 1))


def _bytes(texts: Sequence[str]) -> Floats:
    return np.array([len(text.encode()) for text in texts], np.float64)


def unseen(texts: Sequence[str], known: Iterable[str], words: int = RUN_WORDS) -> NDArray[np.bool_]:
    """Which of `texts` say nothing at length that `known` says: no run of `words` words in common, (n,).

    Of a text of fewer words, all its words count as one run. Case and punctuation make no difference. Not found: paraphrases,
    translations.
    """
    wanted: dict[int, dict[int, list[int]]] = {}  # length of a run to its hash to the texts that have it
    for number, text in enumerate(texts):
        for length, run in _word_runs(text, words):
            wanted.setdefault(length, {}).setdefault(run, []).append(number)
    clean = np.ones(len(texts), bool)
    for text in known:
        for length, runs in wanted.items():
            for _, run in _word_runs(text, length, whole=False):
                clean[runs.get(run, [])] = False
    return clean


def _word_runs(text: str, length: int, whole: bool = True) -> Iterable[tuple[int, int]]:
    """Each run of `length` words as its length and hash; of a shorter text, if `whole`, all of it."""
    parts = ["".join(filter(str.isalnum, word)) for word in text.casefold().split()]
    parts = [part for part in parts if part]
    if len(parts) < length:
        return [(len(parts), hash(tuple(parts)))] if whole and parts else []
    return [(length, hash(tuple(parts[i : i + length]))) for i in range(len(parts) - length + 1)]
