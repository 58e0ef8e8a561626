"""Go on with a base model's pretraining on the documents (arXiv 2004.10964): packed, every weight, with replay.

Replay keeps what the base knew: a share of the tokens is text that the base itself writes before it is trained, since its
own training text is at nobody's hand (arXiv 2403.01244 rehearses like this).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tasks.trainers import Job, Spent
from tasks.trainers.causal import bases, text, tokens
from tasks.trainers.causal.packing import Packed
from tasks.trainers.fit import fit, precision
from tasks.trainers.identity import identity

TEXTS_AT_ONCE = 32


def train(job: Job, folder: Path) -> Spent:
    assert job.base is not None
    length: int = job.recipe["max_tokens"]
    model = bases.load(job.base, length)
    name = identity(job)  # the base's tokenizer is part of it
    data = Packed(tokens.kept(job.checkpoints, name, documents(job, job.base, model)), job)
    spent = fit(model, data, bases.next_token, job, name, flops_a_token=bases.flops_a_token(model, length))
    bases.save(model, job, job.base, folder)
    return spent


def documents(job: Job, base: Path, model: Any) -> Iterator[list[int]]:
    """The job's own, then the replay."""
    read = 0
    for ids in text.without_double_marks(bases.documents(job, base)):
        read += len(ids)
        yield ids
    wanted = math.ceil(job.recipe["replay_share"] * read)
    yield from replay(model, text.marks(base), wanted, job.recipe["max_tokens"], job.seed)


def replay(model: Any, marks: tuple[int, int], tokens: int, length: int, seed: int) -> list[list[int]]:
    """Texts of up to `length` tokens that the model writes from its first mark on, `tokens` of them or a few more."""
    texts: list[list[int]] = []
    torch.manual_seed(seed)
    first, last = marks
    model.eval()
    while (missing := tokens - sum(map(len, texts))) > 0:
        some = min(TEXTS_AT_ONCE, math.ceil(missing / length))
        with torch.inference_mode(), precision(torch.device("cpu")):
            made = model.generate(
                torch.full((some, 1), first),
                attention_mask=torch.ones((some, 1), dtype=torch.long),
                do_sample=True,
                top_k=0,
                top_p=1.0,
                temperature=1.0,
                max_new_tokens=length - 1,
                eos_token_id=last,
                pad_token_id=last,
            )
        texts += [_until(row, last) for row in made.tolist()]
    return texts


def _until(ids: list[int], last: int) -> list[int]:
    """With the first mark, up to the last one; where both are the same, the next document's stands for it."""
    end = next((place for place, token in enumerate(ids[1:], 1) if token == last), None)
    return ids if end is None else ids[: end + (ids[0] != last)]
