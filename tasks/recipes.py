"""How each branch is trained: plain settings, a function of the task and the number of rows alone.

A recipe is part of a pilot cell's key and of the plan. Raise `ENGINE` when a change of the trainers changes what they learn.
"""

from __future__ import annotations

from typing import Any

from tasks.stage import UserError

ENGINE = 1


def recipe(branch: str, task: str, n: int) -> dict[str, Any]:
    """The settings of `branch` for `n` training rows. Raises UserError for a task or branch that has none."""
    if task != "text-classification" or branch not in _TEXT:
        raise UserError(f"no recipe for branch {branch} and task {task}: text-classification knows {', '.join(_TEXT)}")
    made: dict[str, Any] = {"engine": ENGINE, **_TEXT[branch](n)}
    return made


def _baseline(_n: int) -> dict[str, Any]:
    return {"analyzers": ["word", "char"], "max_terms": 100_000, "strengths": [1.0, 10.0], "folds": 5}


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
    return _tuned(5e-4, 20 if n < 400 else 10) | {"vocabulary": 8192, "architecture": shape}


_TEXT = {"baseline": _baseline, "probe": _probe, "lora": _lora, "full": _full, "scratch": _scratch}
