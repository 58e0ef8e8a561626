"""Which way published comparisons of transfer with training from scratch point: a screening feature, never the decision.

What can be read before anything is measured hardly tells a contested case (general fine-tuning or continued pre-training
against a model of the domain's own): papers contradict each other, and the data ratio decides only the ends. So many such
rows get "run a pilot". The probabilities are shares in the shipped table (`ft_vs_scratch.csv`), every paper with the same
weight; that table favours transfer, as publications do, and the rule was made with its papers in view.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from tasks.cost import fits
from tasks.scaling import data_ratio

Row = Mapping[str, str]

ENOUGH, TINY = 1.0, 0.05
MANY_LABELLED = 1e7
"""Labelled examples above which scratch has caught up (translation: 15 to 25 million pairs, arXiv 2001.08210)."""
TOKENS_OF = {"tokens": 1.0, "words": 1.3, "tweets": 25.0, "gb": 1e9 / 4.5}
"""English text: 1.3 tokens a word, 4.5 bytes a token; 25 tokens a tweet (BERTweet, arXiv 2005.10200: 16 B in 850 M)."""
SCALE = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "million": 1e6, "billion": 1e9, "trillion": 1e12}

CONTESTED = ("general_ft_vs_domain_scratch_pretrain", "continued_vs_domain_scratch_pretrain", "plm_ft_vs_classic_scratch")
PLAIN = ("finetune_vs_scratch", "continued_vs_scratch", "continued_vs_general_ft")


class Screening(NamedTuple):
    """One rule's answer; `rule` is None where it abstains."""

    rule: str | None
    favours: str
    """transfer or scratch; empty where it abstains."""
    reason: str


class Chance(NamedTuple):
    """Of transfer winning, ties half."""

    p: float
    low90: float
    high90: float


def screen(row: Row) -> Screening:
    """What the metadata of one comparison (columns of `ft_vs_scratch.csv`) says, or why it says nothing."""
    comparison = row.get("comparison", "")
    if comparison in PLAIN:
        return _plain(row, comparison)
    if comparison == "plm_ft_vs_classic_scratch":
        if re.search("feature|alignment|engineer", row.get("scratch_desc", ""), re.IGNORECASE):
            return Screening(None, "", "the classic model has inputs that the pre-trained one lacks: run a pilot")
        return Screening("pretrained over classic", "transfer", "")
    if comparison in CONTESTED:
        return _by_ratio(scratch_ratio(row.get("scratch_desc", "")))
    return Screening(None, "", f"comparison is {comparison!r}: no rule for it")


def chance(rule: str | None) -> Chance:
    """The shipped share of papers of this rule's rows; .5 [.05, .95] where there is no rule."""
    return Chance(*fits()["verdict"].get(rule, (0.5, 0.05, 0.95)))


def _plain(row: Row, comparison: str) -> Screening:
    try:
        n = float(row.get("n_train", "") or "nan")
    except ValueError:
        n = math.nan
    if comparison == "finetune_vs_scratch" and n >= MANY_LABELLED:
        return Screening(None, "", f"{n:.0f} labelled examples: near where scratch catches up; run a pilot")
    return Screening("transfer over nothing", "transfer", "")


def _by_ratio(ratio: float | None) -> Screening:
    if ratio is None:
        return Screening(None, "", "text and size of the scratch model are not told: run a pilot")
    if ratio >= ENOUGH:
        return Screening("enough text", "scratch", "")
    if ratio >= TINY:
        return Screening(None, "", f"unique tokens are {ratio:.2f} of 20 a parameter: papers disagree; run a pilot")
    return Screening("transfer over nothing", "transfer", "")


def scratch_ratio(description: str) -> float | None:
    """Unique in-domain tokens over 20 x the parameters of the scratch model, read from its description; None if not told.

    An encoder named like BERT with no size is taken for a base model of 110 million parameters.
    """
    text = description.lower()
    told = re.search(r"(\d+(?:\.\d+)?)\s*(k|m|b|t|million|billion|trillion)?\s*(tokens|words|tweets|gb)\b", text)
    if told is None:
        return None
    tokens = float(told[1]) * SCALE[told[2] or ""] * TOKENS_OF[told[3]]
    size = re.search(r"(\d+(?:\.\d+)?)\s*(m|b)\b", text.replace(told[0], " "))
    params = float(size[1]) * SCALE[size[2]] if size else 340e6 if "large" in text else 110e6 if "bert" in text else None
    return data_ratio(tokens, params) if params and tokens else None
