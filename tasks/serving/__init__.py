"""Load a trained model folder and use it. Needs none of this project: a registered model carries this folder of code.

A model's folder holds `serving.json` (kind, labels, limits) and one of, for texts that get a label,
- kind `linear`: `vocabulary.json` and `linear.safetensors` (idf, weight, bias): TF-IDF and a linear layer;
- kind `classifier`: a Hugging Face text classifier (`config.json`, `model.safetensors`, `tokenizer.json`), which
  `AutoModelForSequenceClassification` loads;
- kind `probe`: a Hugging Face encoder, which `AutoModel` loads, and `head.safetensors` (weight, bias): a linear layer on
  the mean of the last hidden states over the text's tokens;
- kind `choices`: a causal language model as it is, which reads the text in a prompt and weighs the labels (`choices.py`);
for images that get a label, the kinds of `images.py`;
for texts that get an answer or a continuation,
- kind `causal`: a Hugging Face causal language model (`causal.py`);
- kind `ngram`: `ngram.safetensors`, counts of runs of bytes (`ngram.py`);
- kind `retrieval`: `answers.json`, `vocabulary.json`, `retrieval.safetensors`: the stored answer nearest by TF-IDF
  (`retrieval.py`).

Transformers are scored in float32, so that every CPU gives the same probabilities to 1e-3; long texts are cut at `max_tokens`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TOKENS_A_BATCH = 1024  # with padding; with MiniLM-L6 on an AVX512 CPU 17 % less CPU time than 2048, as 512


Message = dict[str, str]  # role (system, user or assistant) and content
Prompt = str | Sequence[Message]
Told = Callable[[float], None]


def silent(_share: float) -> None:
    pass


class Model(Protocol):
    labels: list[str]

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Of each label in `labels` for each text, shape (n, k), rows sum to 1."""


class Generator(Protocol):
    def answers(self, prompts: Sequence[Prompt], told: Told = silent) -> list[str]:
        """What follows each prompt, by the greedy choice at each step: the answer to a chat, the continuation of a text.

        `told` hears the share of the prompts that is done, now and then.
        """


class Reader(Generator, Protocol):
    """A generator that also knows how likely a text is (a retrieval does not)."""

    def nats(self, texts: Sequence[str]) -> list[float]:
        """Minus the natural logarithm of each text's probability; bits per byte = nats / ln 2 / bytes in UTF-8."""


def load(folder: str | Path) -> Model:
    """The model in `folder` that labels texts, ready to score. Reads safetensors and JSON only."""
    model: Model = _load(Path(folder))
    return model


def load_generator(folder: str | Path) -> Generator:
    """The model in `folder` that answers or continues texts."""
    model: Generator = _load(Path(folder))
    return model


def _load(folder: Path) -> Any:
    about = json.loads((folder / "serving.json").read_text(encoding="utf-8"))
    here: dict[str, type[Any]] = {"linear": Linear, "classifier": Classifier, "probe": Probe}
    elsewhere = {"choices": "Choices", "causal": "Causal", "ngram": "Ngram", "retrieval": "Retrieval"}
    kind = about["kind"]
    if kind in (images := {"image-linear": "Linear", "image-classifier": "Classifier", "image-probe": "Probe"}):
        return getattr(import_module(".images", __name__), images[kind])(folder, about)
    made = here[kind] if kind in here else getattr(import_module(f".{kind}", __name__), elsewhere[kind])
    return made(folder, about)


class Linear:
    """TF-IDF features (sublinear counts, unit length) and a linear layer; without features, the class shares."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        from safetensors.numpy import load_file

        self.labels: list[str] = about["labels"]
        self.analyzer: str = about["analyzer"]
        terms = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        self.place = {term: i for i, term in enumerate(terms)}
        weights = load_file(folder / "linear.safetensors")
        self.idf, self.weight, self.bias = weights["idf"], weights["weight"], weights["bias"]

    def probabilities(self, texts: Sequence[str]) -> Floats:
        return softmax(np.stack([self._logits(text) for text in texts])) if len(texts) else self._none()

    def _none(self) -> Floats:
        return np.zeros((0, len(self.labels)), np.float32)

    def _logits(self, text: str) -> Floats:
        counts = Counter(self.place[term] for term in analyze(text, self.analyzer) if term in self.place)
        if not counts:
            return self.bias
        places = np.fromiter(counts.keys(), np.int64)
        values = (1 + np.log(np.fromiter(counts.values(), np.float32))) * self.idf[places]
        logits: Floats = self.weight[:, places] @ (values / np.linalg.norm(values)) + self.bias
        return logits


class Classifier:
    """A transformer with a classification head, as transformers defines it."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.labels: list[str] = about["labels"]
        self.max_tokens: int = about["max_tokens"]
        self.tokenizer = tokenizer(folder)
        self.model = classifier(folder).eval()

    def probabilities(self, texts: Sequence[str]) -> Floats:
        ids = token_ids(self.tokenizer, texts, self.max_tokens)
        return softmax(run(lambda tokens, mask: self.model(tokens, mask).logits, ids, len(self.labels), pad_id(self.model)))


class Probe:
    """A transformer encoder, the mean of its states over the tokens of a text, and a linear layer."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        from safetensors.numpy import load_file

        self.labels: list[str] = about["labels"]
        self.max_tokens: int = about["max_tokens"]
        self.tokenizer = tokenizer(folder)
        self.encoder = encoder(folder).eval()
        head = load_file(folder / "head.safetensors")
        self.weight, self.bias = head["weight"], head["bias"]

    def probabilities(self, texts: Sequence[str]) -> Floats:
        return softmax(embed(self.encoder, token_ids(self.tokenizer, texts, self.max_tokens)) @ self.weight.T + self.bias)


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def analyze(text: str, analyzer: str) -> list[str]:
    """The terms of a text: `word` (words and pairs of neighbours), `char` (2 to 5 characters within words), `none`."""
    words = re.findall(r"\w+|[^\w\s]", text.lower())
    if analyzer == "word":
        return words + [f"{a} {b}" for a, b in pairwise(words)]
    if analyzer == "char":
        padded = [f" {word} " for word in words]
        return [word[i : i + n] for word in padded for n in range(2, 6) for i in range(len(word) - n + 1)]
    return []


def encoder(folder: Path) -> Any:
    """The bare encoder of a model folder, float32. Offline, and silent about weights of heads that it leaves out."""
    import torch
    from transformers import AutoModel

    quiet()
    return AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention(), local_files_only=True)


def classifier(folder: Path) -> Any:
    """The whole model of a folder of kind `classifier`, float32."""
    import torch
    from transformers import AutoModelForSequenceClassification

    quiet()
    return AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention(), local_files_only=True
    )


def attention() -> str:
    """Plain matrix products on a CPU: on texts of some dozens of tokens torch's fused kernel takes several times as long."""
    import torch

    return "sdpa" if torch.cuda.is_available() else "eager"


def quiet() -> None:
    """No progress bars and remarks of transformers: a missing pooler is no news to us."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(folder / "tokenizer.json"))
    loaded.no_padding()
    return loaded


def token_ids(loaded: Any, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """The ids of each text with the tokenizer's own start and end marks, at most `max_tokens` of them."""
    loaded.enable_truncation(max_tokens)
    return [encoding.ids for encoding in loaded.encode_batch(list(texts))]


def embed(model: Any, ids: Sequence[Sequence[int]]) -> Floats:
    """The mean of the last hidden states over each text's tokens, shape (n, hidden)."""
    return run(lambda tokens, mask: mean_state(model, tokens, mask), ids, model.config.hidden_size, pad_id(model))


def run(forward: Callable[[Any, Any], Any], ids: Sequence[Sequence[int]], width: int, padding: int) -> Floats:
    """What `forward` makes of each text, shape (n, width); texts of like length go together, the order is kept."""
    import torch

    torch.set_float32_matmul_precision("medium")  # lets oneDNN choose its kernel; without AMX the result is float32's
    out = np.zeros((len(ids), width), np.float32)
    with torch.inference_mode():
        for rows in by_length([len(row) for row in ids], TOKENS_A_BATCH):
            out[rows] = forward(*pad([ids[row] for row in rows], padding)).numpy()
    return out


def pad_id(model: Any) -> int:
    return model.config.pad_token_id or 0


def one_by_one(answer: Callable[[Prompt], str], prompts: Sequence[Prompt], told: Told) -> list[str]:
    """The answers of a model that gains nothing from batches."""
    out = []
    for given in prompts:
        out.append(answer(given))
        told(len(out) / len(prompts))
    return out


def prompt(text: str) -> Prompt:
    """The chat that `text` is in JSON, a list of {"role": ..., "content": ...}; else the text."""
    if not text.lstrip().startswith("["):
        return text
    try:
        chat = json.loads(text)
    except ValueError:
        return text
    said = all(isinstance(turn, dict) and turn.keys() >= {"role", "content"} for turn in chat)
    return chat if chat and said else text


def by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Rows in batches of like length, each at most `tokens` long with its padding (but at least one row)."""
    batches: list[list[int]] = [[]]
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if batches[-1] and (len(batches[-1]) + 1) * lengths[row] > tokens:
            batches.append([])
        batches[-1].append(row)
    return [batch for batch in batches if batch]


def pad(ids: Sequence[Sequence[int]], padding: int) -> tuple[Any, Any]:
    """Token ids (n, longest) and their mask; the mask is None when nothing had to be padded, which is faster."""
    import torch

    longest = max(map(len, ids))
    if all(len(row) == longest for row in ids):
        return torch.tensor(ids), None
    tokens = torch.full((len(ids), longest), padding)
    mask = torch.zeros((len(ids), longest), dtype=torch.long)
    for place, row in enumerate(ids):
        tokens[place, : len(row)] = torch.tensor(row)
        mask[place, : len(row)] = 1
    return tokens, mask


def mean_state(model: Any, tokens: Any, mask: Any) -> Any:
    """The mean of the last hidden states over the tokens that the mask keeps, shape (n, hidden)."""
    states = model(input_ids=tokens, attention_mask=mask).last_hidden_state
    if mask is None:
        return states.mean(dim=1)
    kept = mask.unsqueeze(-1).to(states.dtype)
    return (states * kept).sum(dim=1) / kept.sum(dim=1)
