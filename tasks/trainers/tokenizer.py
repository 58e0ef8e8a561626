"""A tokenizer of the user's own rows: word parts (BPE), characters or bytes, whichever tells the labels better.

Word parts are lower-cased, characters and bytes are not: where codes, short strings or the shape of words decide, case may.
All three read any text: byte-level BPE by its alphabet, characters by a mark for those that no row has, bytes as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.trainers import Job
from tasks.trainers.linear import choose

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
UNKNOWN = "[UNK]"  # of characters only
GRAMS = (1, 3)  # shortest and longest run of tokens that the choice looks at
STRENGTH, FOLDS = 10.0, 3
ROWS_MOST = 1000
"""Of the rows so many decide: 1 CPU-second for 1,000 sentences and three tokenizers."""


def chosen(job: Job) -> tuple[str, Any]:
    """The kind among the recipe's `tokenizers` with the best cross-validated likelihood, and that tokenizer.

    What is cross-validated is a logistic model on TF-IDF of runs of one to three tokens within the recipe's `max_tokens`, on
    at most ROWS_MOST rows: a stand-in for the network, at a hundredth of its cost. Of equals the first one named.
    """
    texts, kinds = [document.text for document in job.documents], job.recipe["tokenizers"]
    made = {kind: make(kind, texts, job.recipe["vocabulary"]) for kind in kinds}
    if len(kinds) == 1:
        return kinds[0], made[kinds[0]]
    rows = np.random.default_rng(job.seed).permutation(len(texts))[:ROWS_MOST]
    targets = np.array([job.labels.index(job.documents[row].label) for row in rows])
    scores = {kind: _score(made[kind], [texts[row] for row in rows], targets, job) for kind in kinds}
    best = max(kinds, key=lambda kind: scores[kind])
    return best, made[best]


def _score(tokenizer: Any, texts: list[str], targets: np.ndarray[tuple[int], np.dtype[np.int64]], job: Job) -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer

    tokenizer.enable_truncation(job.recipe["max_tokens"])
    tokens = [encoding.tokens for encoding in tokenizer.encode_batch(texts)]
    tokenizer.no_truncation()
    vectorizer = TfidfVectorizer(analyzer=_grams, sublinear_tf=True, dtype=np.float32, max_features=50_000)
    features = vectorizer.fit_transform(tokens)
    return choose(features, targets, len(job.labels), [STRENGTH], FOLDS, job.seed).score


def _grams(tokens: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(tokens[at : at + n]) for n in range(GRAMS[0], GRAMS[1] + 1) for at in range(len(tokens) - n + 1)]


def make(kind: str, texts: list[str], vocabulary: int) -> Any:
    """A tokenizer of `texts`, of at most `vocabulary` symbols, that puts [CLS] and [SEP] around a text. Equal rows give
    equal files."""
    from tokenizers.processors import TemplateProcessing

    made = _characters(texts, vocabulary) if kind == "char" else _byte_pairs(texts, vocabulary, merge=kind == "bpe")
    marks = [(mark, SPECIAL.index(mark)) for mark in ("[CLS]", "[SEP]")]
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    return made


def _byte_pairs(texts: list[str], vocabulary: int, *, merge: bool) -> Any:
    """Byte-level BPE (arXiv 1508.07909), or bytes alone.

    Byte-level, because the trainers of WordPiece and of BPE with suffixes number their symbols in an order that changes
    from run to run.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import BpeTrainer

    made = Tokenizer(models.BPE())
    if merge:
        made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=merge), decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(
        vocab_size=vocabulary if merge else len(SPECIAL) + len(alphabet),
        min_frequency=2,  # a symbol seen once has nothing to teach
        special_tokens=SPECIAL,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator(sorted(texts), trainer)
    return made


def _characters(texts: list[str], vocabulary: int) -> Any:
    """The most frequent characters, in the order of their code points."""
    from collections import Counter

    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    normal = normalizers.NFKC()
    counts = Counter(character for text in texts for character in normal.normalize_str(text))
    room = vocabulary - len(SPECIAL) - 1
    kept = sorted(sorted(counts, key=lambda character: (-counts[character], character))[:room])
    made = Tokenizer(models.WordLevel({name: i for i, name in enumerate([*SPECIAL, UNKNOWN, *kept])}, unk_token=UNKNOWN))
    made.normalizer, made.pre_tokenizer = normal, pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    made.add_special_tokens([*SPECIAL, UNKNOWN])
    return made
