"""How likely a causal language model holds continuations and whole texts: natural logarithms of probabilities.

Equal to lm-eval's `loglikelihood` and `loglikelihood_rolling` of its Hugging Face backend (0.4.13) to 1e-4, with less work:
a question's prefix is read once for all of its options, which follow it as branches that don't see each other; what all
questions begin with is read once for all of them; and the language-model head runs on the options alone. Models for which
branches cannot be told by a mask (recurrent ones, ALiBi, rows longer than a sliding window) read each option with its prefix.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import by_length

TOKENS_A_BATCH = 1024  # measured on an AVX512 CPU with 6 layers of 320: 11 % less CPU time than 2048, 8 % less than 512
PLAIN_MOST = 1024  # tokens up to which plain attention is used on a CPU: the fused kernel takes 2.5x as long under a mask
LOGITS_A_BATCH = 2**26  # 268 MB in float32
SHARED_FROM = 16  # shorter common beginnings don't repay the copies of their cache
Ids = list[int]


@dataclass(frozen=True)
class Question:
    """Token ids: what stands before, and what may follow. Neither the prefix nor an option is empty."""

    prefix: Ids
    options: list[Ids]


def question(tokenizer: Any, context: str, options: Sequence[str], limit: int) -> Question:
    """The question in tokens, cut on the left to `limit` tokens with its longest option.

    As lm-eval does it: a context's trailing spaces go to the options, each option is tokenized together with the context and
    cut where the context alone ends, and an empty context stands for the token before all texts.
    """
    stem = context.rstrip()
    spaces, prefix = context[len(stem) :], tokenizer.encode(stem)
    followed = [
        tokenizer.encode(context + option)[len(prefix) :] or plain_ids(tokenizer, spaces + option) for option in options
    ]
    prefix = prefix or [first_token(tokenizer)]
    room = limit + 1 - max(map(len, followed))  # the last token of an option is never read
    return Question(prefix[-max(room, 1) :], followed)


def first_token(tokenizer: Any) -> int:
    """What stands before every text: the tokenizer's begin mark, or its end mark where it has none."""
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return int(first)


def options(model: Any, questions: Sequence[Question]) -> list[list[float]]:
    """The log-probability of each option of each question, given its prefix."""
    import torch
    from transformers import DynamicCache

    longest = max((len(q.prefix) + max(map(len, q.options)) for q in questions), default=0)
    if not can_share(model, longest):
        return [_one_by_one(model, q) for q in questions]
    out: list[list[float]] = [[] for _ in questions]
    with torch.inference_mode(), _plain_attention(model, max((len(q.prefix) for q in questions), default=0)):
        past = read_shared(model, [q.prefix for q in questions], DynamicCache())
        read = past.get_seq_length()
        sizes = [len(q.prefix) - read + sum(len(o) - 1 for o in q.options) for q in questions]
        for rows in by_length(sizes, TOKENS_A_BATCH):
            scores = _batch(model, [questions[row] for row in rows], copy.deepcopy(past), read)
            for row, scored in zip(rows, scores, strict=True):
                out[row] = scored
    return out


def can_share(model: Any, longest: int) -> bool:
    """Can rows of up to `longest` tokens follow one beginning that was read before them?"""
    config = model.config.get_text_config()
    alibi = getattr(config, "alibi", False) or config.model_type in ("bloom", "mpt")
    return not (
        alibi or getattr(model, "_is_stateful", False) or longest > (getattr(config, "sliding_window", None) or longest)
    )


def _one_by_one(model: Any, q: Question) -> list[float]:
    import torch

    with torch.inference_mode():
        return [_sums(model, [[*q.prefix, *option[:-1]]], [option])[0] for option in q.options]


def read_shared(model: Any, prefixes: Sequence[Ids], cache: Any) -> Any:
    """The empty `cache` with what all prefixes begin with; as it is, where that is too short to be worth it."""
    import torch

    if len(prefixes) < 2:
        return cache
    least, most = min(prefixes), max(prefixes)
    same = next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), len(least))
    same = min(same, min(map(len, prefixes)) - 1)  # each keeps a token that foretells what follows it
    if same >= SHARED_FROM:
        model(torch.tensor([least[:same]]), past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def _batch(model: Any, questions: list[Question], past: Any, read: int) -> list[list[float]]:
    """One pass. A row holds its prefix and then its options but for their last tokens; padding is on the right."""
    import torch

    sizes = [len(q.prefix) - read + sum(len(option) - 1 for option in q.options) for q in questions]
    ids = torch.zeros((len(questions), max(sizes)), dtype=torch.long)
    positions, branch = torch.zeros_like(ids), torch.full_like(ids, -1)  # branch: 0 the prefix, 1... the options, -1 padding
    wanted: list[tuple[int, int, int, int]] = []  # row, column of the token before, token, option
    for row, q in enumerate(questions):
        end = len(q.prefix)
        at = end - read
        ids[row, :at], positions[row, :at], branch[row, :at] = torch.tensor(q.prefix[read:]), torch.arange(read, end), 0
        wanted += [(row, at - 1, option[0], number) for number, option in enumerate(q.options)]
        for number, option in enumerate(q.options):
            last = at + len(option) - 1
            ids[row, at:last] = torch.tensor(option[:-1], dtype=torch.long)
            positions[row, at:last], branch[row, at:last] = torch.arange(end, end + last - at), number + 1
            wanted += [(row, at + place, token, number) for place, token in enumerate(option[1:])]
            at = last
    past.batch_repeat_interleave(len(questions))
    rows, columns, tokens, numbers = torch.tensor(wanted).T
    kept = torch.zeros(ids.shape, dtype=torch.bool)
    kept[rows, columns] = True
    with head_sees(model, kept):
        logits = model(
            ids,
            attention_mask=_mask(branch, read, model.dtype),
            position_ids=positions,
            past_key_values=past if read else None,
            use_cache=read > 0,
        ).logits[0]
    place = (kept.flatten().cumsum(0) - 1).view(kept.shape)[rows, columns]
    logits = logits.float()
    found = (logits[place, tokens] - torch.logsumexp(logits, dim=-1)[place]).double()
    table = torch.zeros((len(questions), max(len(q.options) for q in questions)), dtype=torch.double)
    table.index_put_((rows, numbers), found, accumulate=True)
    return [table[row, : len(q.options)].tolist() for row, q in enumerate(questions)]


@contextmanager
def _plain_attention(model: Any, longest: int) -> Iterator[None]:
    """Within, attention is two matrix products and a softmax, where that is faster."""
    before = model.config._attn_implementation
    if model.device.type != "cpu" or longest > PLAIN_MOST or before != "sdpa":
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def head_sees(model: Any, kept: Any) -> Iterator[None]:
    """Within, the model's head is given the states of the positions in `kept` (rows, tokens) alone, as one row."""
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _head, given: (given[0][kept].unsqueeze(0),))
    try:
        yield
    finally:
        hook.remove()


def _mask(branch: Any, read: int, dtype: Any) -> Any:
    """What to add to attention scores, (rows, 1, columns, read + columns): a token sees what was read before, the prefix,
    and of the options its own, up to itself. Padding sees itself, lest its softmax be empty."""
    import torch

    n = branch.shape[1]
    earlier = torch.ones((n, n), dtype=torch.bool).tril()
    own = (branch[:, None, :] == branch[:, :, None]) | (branch[:, None, :] == 0)
    seen = (earlier & own & (branch >= 0)[:, None, :]) | torch.eye(n, dtype=torch.bool)
    mask = torch.zeros((len(branch), 1, n, read + n), dtype=dtype)
    mask[:, 0, :, read:].masked_fill_(~seen, torch.finfo(dtype).min)
    return mask


def texts(model: Any, ids: Sequence[Ids], first: int, limit: int) -> list[float]:
    """The log-probability of each text. Texts longer than `limit` tokens are read in windows, as lm-eval does it."""
    import torch

    parts = [(row, *window) for row, text in enumerate(ids) for window in windows(text, first, limit)]
    most = max(1, min(2 * TOKENS_A_BATCH, LOGITS_A_BATCH // model.config.get_text_config().vocab_size))
    out = [0.0] * len(ids)
    with torch.inference_mode():
        for chosen in by_length([len(inputs) for _, inputs, _ in parts], most):
            window = [parts[i] for i in chosen]
            sums = _sums(model, [inputs for _, inputs, _ in window], [targets for _, _, targets in window])
            for (row, _, _), value in zip(window, sums, strict=True):
                out[row] += value
    return out


def windows(ids: Ids, first: int, limit: int) -> list[tuple[Ids, Ids]]:
    """What is read and what of it is foretold (its last tokens, one further), so that each token of a text counts once.

    The windows follow each other with one token of overlap; the last one reaches back as far as it can.
    """
    made = []
    for end in range(min(limit, len(ids)), len(ids) + limit, limit):
        start, stop = end - limit, min(end, len(ids))
        before = [first, *ids[: stop - 1]] if stop <= limit else ids[stop - limit - 1 : stop - 1]
        made.append((before, ids[max(start, 0) : stop]))
    return made if ids else []


def _sums(model: Any, inputs: list[Ids], targets: list[Ids]) -> list[float]:
    """Of the log-probabilities of the targets, which follow the last inputs. Padded on the right, where no token looks."""
    import torch

    longest = max(map(len, inputs))
    padded = torch.tensor([row + [0] * (longest - len(row)) for row in inputs])
    logits = model(padded, use_cache=False).logits.float()
    sizes = torch.logsumexp(logits, dim=-1)
    sums = []
    for i, (row, wanted) in enumerate(zip(inputs, targets, strict=True)):
        place = slice(len(row) - len(wanted), len(row))
        chosen = logits[i, place].gather(1, torch.tensor(wanted)[:, None])[:, 0]
        sums.append(float((chosen - sizes[i, place]).double().sum()))
    return sums


def plain_ids(tokenizer: Any, text: str) -> Ids:
    """The text's tokens without begin or end marks."""
    found: Ids = tokenizer.encode(text, add_special_tokens=False)
    return found
