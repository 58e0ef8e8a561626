"""A causal language model as it is, asked which label fits: the likeliest continuation of a prompt.

`serving.json`: `labels`, `head` (what stands before every text: the task and, few shot, solved examples), `before` and
`after` (around the text), `prior` (log-probability of each label where the text is empty, or zeros) and `max_tokens`. A
label's score is its log-probability after the prompt minus its prior (Holtzman et al. 2021, arXiv 2104.08315: PMI_DC).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import Floats, softmax
from .causal import causal_model, chat_tokenizer
from .scoring import options, question


class Choices:
    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.tokenizer, self.model = chat_tokenizer(folder), causal_model(folder).eval()
        self.labels: list[str] = about["labels"]
        self.about = about

    def probabilities(self, texts: Sequence[str]) -> Floats:
        prior = np.array(self.about["prior"], np.float32)
        return softmax(label_scores(self.model, self.tokenizer, self.about, self.labels, texts) - prior)


def label_scores(model: Any, tokenizer: Any, about: dict[str, Any], labels: Sequence[str], texts: Sequence[str]) -> Floats:
    """The log-probability of each label after each text's prompt, shape (n, k)."""
    head, before, after, limit = about["head"], about["before"], about["after"], about["max_tokens"]
    followed = [f" {label}" for label in labels]
    asked = [question(tokenizer, f"{head}{before}{text}{after}", followed, limit) for text in texts]
    return np.array(options(model, asked), np.float32).reshape(len(texts), len(labels))
