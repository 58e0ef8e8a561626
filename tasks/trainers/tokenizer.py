"""A tokenizer of the user's own rows: word parts (BPE), characters or bytes.

Word parts are lower-cased, characters and bytes are not: where codes, short strings or the shape of words decide, case may.
All three read any text: byte-level BPE by its alphabet, characters by a mark for those that no row has, bytes as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
UNKNOWN = "[UNK]"  # of characters only


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


def pieces_a_word(made: Any, texts: Sequence[str]) -> float:
    """Tokens a word of texts that the tokenizer was not made from; a word is what stands between blanks."""
    words = sum(len(text.split()) for text in texts)
    return sum(len(encoding.ids) for encoding in made.encode_batch(list(texts), add_special_tokens=False)) / max(words, 1)
