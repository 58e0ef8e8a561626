"""How large a model its text and budget can carry from scratch: published scaling laws, nothing fitted here.

Losses of these laws hold for their own corpora and tokenizers: use the sizes and ratios, not the losses, elsewhere.
"""

from __future__ import annotations

import math
from typing import NamedTuple

TOKENS_PER_PARAMETER = 20.0
"""Compute-optimal (Hoffmann et al. 2022, arXiv 2203.15556); 4-40 is its 80 % interval at 1e26 FLOPs (arXiv 2404.10102)."""


class Law(NamedTuple):
    """Loss E + A/N^a + B/D^b of N parameters after D tokens."""

    e: float
    a_: float
    b_: float
    a: float
    b: float


HOFFMANN = Law(1.69, 406.4, 410.7, 0.34, 0.28)
"""arXiv 2203.15556, as printed; it contradicts its own 20 tokens a parameter."""
BESIROGLU = Law(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
"""arXiv 2404.10102: the same points fitted again."""
HALF_LIFE_EPOCHS = 15.387756
"""R*_D: how fast repeated text loses its worth (Muennighoff et al. 2023, arXiv 2305.16264)."""
HALF_LIFE_SIZE = 5.309743
"""R*_N, of the same: how fast parameters beyond those that the unique text wants lose theirs."""
MUENNIGHOFF = Law(math.exp(0.6254804), math.exp(6.255414), math.exp(7.3049974), 0.3526596, 0.3526596)
"""Of the same (its code), fitted to models of 10 million to 9 billion parameters on up to 1,500 epochs of C4."""
HERNANDEZ = {"text": (1.9e4, 0.18, 0.38), "text and code": (2.1e5, 0.096, 0.38)}
"""k, α, β by what was pre-trained on, for fine-tuning on Python (arXiv 2102.01293)."""


def loss(law: Law, params: float, tokens: float) -> float:
    """Nats per token."""
    return float(law.e + law.a_ / params**law.a + law.b_ / tokens**law.b)


def compute_optimal(law: Law, flops: float) -> tuple[float, float]:
    """Parameters and tokens of least loss with 6·N·D = `flops` (arXiv 2203.15556, eq. 4)."""
    exponent = law.b / (law.a + law.b)
    ratio = (law.a * law.a_ / (law.b * law.b_)) ** (1 / (law.a + law.b))
    params = ratio * (flops / 6) ** exponent
    return params, flops / 6 / params


def effective_epochs(epochs: float) -> float:
    """How many epochs of new text `epochs` of the same text are worth; never more than 16.4."""
    if epochs <= 1:
        return epochs
    return 1 + HALF_LIFE_EPOCHS * (1 - math.exp(-(epochs - 1) / HALF_LIFE_EPOCHS))


def largest_carried(unique_tokens: float, epochs: float) -> float:
    """Parameters for which the text, read `epochs` times, is worth 20 tokens each: above this, scratch starves."""
    return unique_tokens * effective_epochs(epochs) / TOKENS_PER_PARAMETER


def loss_on_repeated(params: float, tokens: float, unique_tokens: float) -> float:
    """Nats per token where `tokens` repeat `unique_tokens` (arXiv 2305.16264): both text and parameters lose their worth."""
    law = MUENNIGHOFF
    text = unique_tokens * effective_epochs(tokens / unique_tokens) if tokens > unique_tokens else tokens
    wanted = unique_tokens * (law.a_ * law.a / (law.b_ * law.b)) ** (1 / law.a)
    excess = max(0.0, params / wanted - 1)
    size = min(params, wanted) * (1 + HALF_LIFE_SIZE * (1 - math.exp(-excess / HALF_LIFE_SIZE)))
    return loss(law, size, text)


def best_size_for_text(flops: float, unique_tokens: float) -> tuple[float, float]:
    """Parameters and tokens, repeated ones counted, of least loss with 6·N·D = `flops` on `unique_tokens` of text."""
    sizes = [10 ** (4 + step / 200) for step in range(1601)]
    params = min(sizes, key=lambda size: loss_on_repeated(size, flops / 6 / size, unique_tokens))
    return params, flops / 6 / params


def data_ratio(unique_tokens: float, params: float) -> float:
    """Unique in-domain tokens over those that `params` want: ≥ 1 supports training from scratch."""
    return unique_tokens / (TOKENS_PER_PARAMETER * params)


def training_flops_with_serving(params: float, train_tokens: float, served_tokens: float) -> float:
    """6·N·D + 2·N·served (Sardana et al. 2023, arXiv 2401.00448)."""
    return 6 * params * train_tokens + 2 * params * served_tokens


def best_size_with_serving(law: Law, target_loss: float, served_tokens: float) -> tuple[float, float] | None:
    """Parameters and training tokens that reach `target_loss` with the fewest FLOPs, serving included.

    Many requests favour a smaller model, trained longer. None where no size reaches the loss.
    """
    best: tuple[float, float, float] | None = None
    for step in range(4001):
        params = 10 ** (6 + step / 500)
        rest = target_loss - law.e - law.a_ / params**law.a
        if rest <= 0:
            continue
        tokens = (law.b_ / rest) ** (1 / law.b)
        spent = training_flops_with_serving(params, tokens, served_tokens)
        if best is None or spent < best[0]:
            best = spent, params, tokens
    return best[1:] if best else None


def transferred_characters(params: float, finetuning_characters: float, pretrained_on: str = "text") -> float:
    """Characters of from-scratch data that pre-training replaces (arXiv 2102.01293): k·D_F^α·N^β, non-embedding N ≤ 1e9.

    Only in the low-data regime, D_F a tenth of what scratch would need or less; it cannot express harm.
    """
    k, alpha, beta = HERNANDEZ[pretrained_on]
    return float(k * finetuning_characters**alpha * params**beta)
