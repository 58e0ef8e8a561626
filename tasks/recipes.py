"""How each branch is trained: plain settings, a function of the task and the number of rows alone.

A recipe is part of a pilot cell's key and of the plan. Raise `ENGINE` when a change of the trainers changes what they learn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tasks.stage import UserError

ENGINE = 2


def recipe(branch: str, task: str, n: int) -> dict[str, Any]:
    """The settings of `branch` for `n` training rows. Raises UserError for a task or branch that has none."""
    known = _RECIPES.get(task, {})
    if branch not in known:
        raise UserError(f"no recipe for branch {branch} and task {task}: {task} knows {', '.join(known) or 'none'}")
    return {"engine": ENGINE, **known[branch](n)}


def _baseline(_n: int) -> dict[str, Any]:
    return {"analyzers": ["word", "char"], "max_terms": 100_000, "strengths": [1.0, 10.0], "folds": 5}


def _prompt(_n: int) -> dict[str, Any]:
    return {"max_tokens": 1024, "shots": [0, 2]}


def _probe(_n: int) -> dict[str, Any]:
    return {"max_tokens": 128, "strengths": [0.001, 0.01, 0.1, 1.0], "folds": 5}


def _tuned(learning_rate: float, epochs: int) -> dict[str, Any]:
    """What all branches that take optimizer steps share."""
    return {
        "learning_rate": learning_rate,
        "epochs": epochs,
        "rows_a_step": 16,
        "tokens_a_pass": 4096,
        "max_tokens": 128,
        "length_jitter": 0.05,
        "dropout": 0.0,
        "betas": [0.9, 0.999],
        "weight_decay": 0.01,
        "clip": 1.0,
        "schedule": "cosine",
        "warmup_share": 0.1,
    }


def _full(n: int) -> dict[str, Any]:
    return _tuned(1e-4, 6 if n < 200 else 4 if n < 400 else 3)


def _lora(n: int) -> dict[str, Any]:
    return _tuned(1e-3, 6 if n < 200 else 4 if n < 400 else 3) | {"rank": 16, "alpha": 32}


def _scratch(n: int) -> dict[str, Any]:
    shape = {"num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4}
    own = {"tokenizers": ["bpe", "char", "byte"], "vocabulary": 8192, "architecture": shape}
    return _tuned(5e-4, 20 if n < 400 else 10) | own


# ---- text generation -------------------------------------------------------------------------------------------------
#
# Learning rates, and what they stand on (`python -m tests.benchmarks.learning_rates` prints the measured ones):
# `lora` 1e-3: of 240 Debian descriptions, one seed, SmolLM2-135M; bits per byte of 200 others: 1.146, with 0.002 1.091, and in
#   steps of 512 tokens in place of 2048 1.060 (with 0.0005 1.108). About ten times that of `full`, as Schulman et al. 2025
#   found ("LoRA Without Regret", thinkingmachines.ai/blog/lora), who also found small batches to matter.
# `full` 1e-4: the same way, 1.121; in steps of 512 tokens 1.057 (with 0.00005 1.102).
# `continued` 1e-4: as `full`. Not measured in small steps.
# `scratch` 1e-3: measured on 400 rows, one seed; bits per byte of 200 others at 0.0005, 0.001, 0.002, 0.003:
#   Metamath 2.814, 2.645, 2.670, 2.782; Debian descriptions 2.422, 2.341, 2.353, 2.472; movie reviews 2.889, 2.857, 3.031,
#   3.018.
# Preferences, `full` 2e-6 and `lora` 5e-5: guesses around TRL 1.16's default, 1e-6, at which SmolLM2-135M was tuned as well
#   (alignment-handbook, recipes/smollm2/dpo/config_smol.yaml). Not measured.


def _causal_baseline(_n: int) -> dict[str, Any]:
    """Of a byte n-gram model for text, and of a retrieval for chats."""
    ngram = {"orders": [4, 6, 8], "max_entries": 16_000_000, "max_new_bytes": 200}
    return ngram | {"analyzers": ["word", "char"], "max_terms": 100_000}


ANSWERS = {"answers_within": 0.99}
"""A model's answers are cut at the length within which this share of the training rows' answers stays."""


def _causal_prompt(_n: int) -> dict[str, Any]:
    return {"shots": [0, 4], "system": None} | ANSWERS


def _causal(learning_rate: float, epochs: int) -> dict[str, Any]:
    """What all language models that take optimizer steps share: documents packed into rows of `max_tokens`."""
    return {
        "learning_rate": learning_rate,
        "epochs": epochs,
        "tokens_a_step": 2048,
        "tokens_a_pass": 2048,
        "max_tokens": 256,
        "betas": [0.9, 0.95],
        "weight_decay": 0.1,
        "clip": 1.0,
        "schedule": "cosine",
        "warmup_share": 0.05,
        "optimizer": "adamw",
    } | ANSWERS


def _chat(preference_rate: float) -> dict[str, Any]:
    """Of chats: a system message for those that have none (null: what the base's template puts there), and for those with a
    rejected answer the training on preferences that follows; beta as in arXiv 2305.18290, section 6."""
    return {"system": None, "preference": {"beta": 0.1, "learning_rate": preference_rate, "epochs": 1}}


def _short_steps(n: int) -> dict[str, Any]:
    """Of a few hundred rows a base model learns more in many small steps (measured above); of more, it gets many anyway."""
    return {"tokens_a_step": 512 if n < 1000 else 2048}


def _causal_lora(n: int) -> dict[str, Any]:
    return _causal(1e-3, 3 if n < 200 else 2) | _short_steps(n) | {"weight_decay": 0.0, "rank": 16, "alpha": 32} | _chat(5e-5)


def _causal_full(n: int) -> dict[str, Any]:
    return _causal(1e-4, 3 if n < 200 else 2) | _short_steps(n) | {"weight_decay": 0.01} | _chat(2e-6)


def _continued(n: int) -> dict[str, Any]:
    """A longer, gentler course of the whole model over packed text; the rate falls to 0 at the end only (WSD)."""
    return _causal(1e-4, 3 if n < 200 else 2) | _short_steps(n) | {"schedule": "wsd", "decay_share": 0.2, "replay_share": 0.05}


def _causal_scratch(n: int) -> dict[str, Any]:
    """`depth` is the one dial of size: 64 units of width a layer; null: as large as `compute_flops` affords."""
    size = {"vocabulary": 4096, "depth": 2 if n < 400 else 4, "compute_flops": None}
    return _causal(1e-3, 16 if n < 400 else 8 if n < 4000 else 4) | size | {"schedule": "wsd", "decay_share": 0.3}


# ---- image classification --------------------------------------------------------------------------------------------


def _image_baseline(_n: int) -> dict[str, Any]:
    return {"features": ["grey", "hog"], "strengths": [0.01, 0.1, 1.0], "folds": 3}


def _image_probe(_n: int) -> dict[str, Any]:
    """`side`: pixels of the square that an image becomes, where the base can read any; so in all of them."""
    return {"side": 96, "strengths": [0.001, 0.01, 0.1], "folds": 3}


def _image_tuned(learning_rate: float, epochs: int) -> dict[str, Any]:
    """`shift`: the most that an image is moved, as a share of its side. `flip` is off: mirrored, a 2 is none."""
    return {
        "learning_rate": learning_rate,
        "epochs": epochs,
        "side": 64,
        "rows_a_step": 32,
        "rows_a_pass": 64,
        "shift": 0.1,
        "flip": False,
        "dropout": 0.1,
        "betas": [0.9, 0.999],
        "weight_decay": 0.05,
        "clip": 1.0,
        "schedule": "cosine",
        "warmup_share": 0.1,
    }


def _image_full(n: int) -> dict[str, Any]:
    return _image_tuned(1e-3, 10 if n < 400 else 6)


def _image_lora(n: int) -> dict[str, Any]:
    return _image_tuned(3e-3, 10 if n < 400 else 6) | {"weight_decay": 0.0, "rank": 16, "alpha": 32}


def _image_scratch(n: int) -> dict[str, Any]:
    """Or `{"kind": "vit", "patch_size": 8, "hidden_size": 128, ...}`: the sizes of transformers' ViTConfig."""
    architecture = {"kind": "cnn", "channels": [16, 32, 64, 128]}
    return _image_tuned(3e-3, 30 if n < 400 else 15) | {"architecture": architecture}


_RECIPES: dict[str, dict[str, Callable[[int], dict[str, Any]]]] = {
    "text-classification": {
        "baseline": _baseline,
        "prompt": _prompt,
        "probe": _probe,
        "lora": _lora,
        "full": _full,
        "scratch": _scratch,
    },
    "image-classification": {
        "baseline": _image_baseline,
        "probe": _image_probe,
        "lora": _image_lora,
        "full": _image_full,
        "scratch": _image_scratch,
    },
    "text-generation": {
        "baseline": _causal_baseline,
        "prompt": _causal_prompt,
        "lora": _causal_lora,
        "full": _causal_full,
        "continued": _continued,
        "scratch": _causal_scratch,
    },
}
