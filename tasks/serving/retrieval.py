"""The stored answer of the question that is nearest by TF-IDF: no text is made, one is found.

`vocabulary.json` (terms), `answers.json`, and `retrieval.safetensors`: `idf` of each term, and the unit-length questions by
term: the questions of term i and their weights are `questions` and `weights` from `starts[i]` to `starts[i + 1]`.
`serving.json`: `analyzer` (of `analyze`), `otherwise` (the answer to a question none of whose terms is known).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import Floats, Prompt, Told, analyze, one_by_one, silent


class Retrieval:
    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        from safetensors.numpy import load_file

        terms = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        self.place = {term: i for i, term in enumerate(terms)}
        self.known: list[str] = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        self.analyzer, self.otherwise = str(about["analyzer"]), str(about["otherwise"])
        self.tables = load_file(folder / "retrieval.safetensors")

    def answers(self, prompts: Sequence[Prompt], told: Told = silent) -> list[str]:
        return one_by_one(lambda prompt: self._nearest(asked(prompt)), prompts, told)

    def _nearest(self, text: str) -> str:
        near = self._likeness(text)
        return self.known[int(near.argmax())] if near.any() else self.otherwise

    def _likeness(self, text: str) -> Floats:
        """Cosine of the text and each stored question, but for the text's own length, (n,)."""
        near = np.zeros(len(self.known), np.float32)
        for term, count in Counter(analyze(text, self.analyzer)).items():
            if (i := self.place.get(term)) is not None:
                start, end = self.tables["starts"][i : i + 2]
                weight = (1 + np.log(count)) * self.tables["idf"][i]
                near[self.tables["questions"][start:end]] += weight * self.tables["weights"][start:end]
        return near


def asked(prompt: Prompt) -> str:
    """What is looked for: a text, or what everybody said in a chat, without the system's message."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message["content"] for message in prompt if message["role"] != "system")
