"""Any causal language model that transformers knows, as something to train: loading, loss, saving."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers.modeling_utils  # noqa: F401 (half of the start-up: paid before the clock of a training starts)
from torch import Tensor, nn
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM

from tasks import serving
from tasks.serving.scoring import head_sees
from tasks.trainers import Job
from tasks.trainers.causal import chat, text
from tasks.trainers.causal.llama import PLAIN_MOST, ahead, attend
from tasks.trainers.causal.packing import IGNORED, Rows
from tasks.trainers.fit import Batch

PLAIN = ("llama", "mistral", "qwen2", "qwen3")
"""Families whose attention is the ordinary one, so that ours may take its place on a CPU."""


def load(base: Path, max_tokens: int, dtype: torch.dtype = torch.float32) -> Any:
    """The causal language model in `base`, offline."""
    serving.quiet()
    config = AutoConfig.from_pretrained(base, local_files_only=True)
    kind = {"attn_implementation": "crossover"} if _may_be_plain(config, max_tokens) else {}
    return AutoModelForCausalLM.from_pretrained(base, dtype=dtype, local_files_only=True, **kind)


def _may_be_plain(config: Any, max_tokens: int) -> bool:
    window = getattr(config, "sliding_window", None) or max_tokens
    plain = config.model_type in PLAIN and max_tokens <= min(PLAIN_MOST, window)
    return plain and not torch.cuda.is_available()


def _attention(_layer: Any, query: Tensor, key: Tensor, value: Tensor, _mask: None, **_: Any) -> tuple[Tensor, None]:
    """Plain causal attention (see `llama`); rows are padded on the right only, so that needs no mask."""
    copies = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(copies, 1) if copies > 1 else part for part in (key, value))
    return attend(query, key, value, ahead(query.shape[2], query)).transpose(1, 2).contiguous(), None


AttentionInterface.register("crossover", _attention)


def documents(job: Job, base: Path) -> Iterator[list[int]]:
    """The job's texts, and its chats as the base's template writes them, in the base model's tokens, between its marks."""
    texts = chat.texts(job, base) if chat.is_of_chats(job) else text.texts_of(job)
    yield from text.encoded(serving.tokenizer(base), texts, *text.marks(base))


def next_token(model: nn.Module, batch: Batch) -> Tensor:
    """Summed over the tokens that have a target; the head, the largest layer of small models, runs on no others."""
    kept = batch.targets != IGNORED
    with head_sees(model, kept) if batch.weight < kept.numel() else nullcontext():
        logits = model(input_ids=batch.inputs["input_ids"], use_cache=False).logits
    return text.summed(logits.flatten(0, -2), batch.targets[kept])


def flops_a_token(model: Any, tokens: int) -> float:
    """Of a training step on all weights: 6 a weight that multiplies (a tied table does so once), 12 T a layer and unit."""
    config = model.config.get_text_config()
    table = model.get_input_embeddings().weight.numel()
    weights: int = sum(p.numel() for p in model.parameters()) - (0 if config.tie_word_embeddings else table)
    attention: int = config.num_hidden_layers * config.hidden_size * tokens
    return 6.0 * weights + 12.0 * attention


def rows(job: Job, base: Path) -> Rows:
    """What is trained on: each text in rows of its own, or each chat with targets on the answers alone."""
    if not chat.is_of_chats(job):
        return Rows(list(documents(job, base)), job)
    ids, targets, cut = chat.tokens(job, base)
    return Rows(ids, job, targets, cut)


def save(model: Any, job: Job, base: Path, folder: Path) -> None:
    """A folder that `tasks.serving` loads, and transformers' `Auto` classes as well."""
    model.save_pretrained(folder)
    text.copy_tokenizer(base, folder)
    text.describe(folder, text.reads_at_most(base, text.CONTEXT_MOST), text.marks(base)[0])
    if chat.is_of_chats(job):
        chat.describe(folder, job)
