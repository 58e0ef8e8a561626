"""Documents as batches of token ids for a language model: packed into rows of one length, or each in rows of its own.

Both are pure functions of (seed, step), so where a training stands in its data is one whole number, also in the middle of
a document: a resume reads nothing twice and nothing is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.trainers import NOTHING_CUT, Cut, Job, steps
from tasks.trainers.causal.tokens import Ids, Tokens
from tasks.trainers.fit import Batch

IGNORED = -100  # torch's own mark for a position without a target
WINDOW_STEPS = 64  # rows are sorted by length within windows of so many steps


class Packed:
    """Rows cut out of one endless stream: each epoch has every document once, in an order of its own, end to end.

    Nothing is cropped and nothing padded; a row may begin in the middle of a document, and what is read across the border
    between two is not masked. (Cropping to whole documents loses a third of the tokens at equal loss, and is for people
    who have too many.) The last step goes on into one more epoch, so that all steps are of equal size.
    """

    def __init__(self, tokens: Tokens, job: Job) -> None:
        self.tokens, self.seed = tokens, job.seed
        self.length: int = job.recipe["max_tokens"]
        self.rows = max(1, job.recipe["tokens_a_step"] // self.length)
        self.rows_a_pass = max(1, job.recipe["tokens_a_pass"] // self.length)
        self.a_epoch = int(tokens.starts[-1])
        self.planned: int = self.a_epoch * job.recipe["epochs"]
        self.steps = max(1, math.ceil(self.planned / (self.length * self.rows)))
        self._order: tuple[int, Ids, Ids] = (-1, np.zeros(0, np.int64), np.zeros(0, np.int64))

    def __call__(self, step: int) -> list[Batch]:
        first = step * self.rows
        rows = np.stack([self.read((first + row) * self.length, self.length + 1) for row in range(self.rows)])
        return [self._batch(rows[at : at + self.rows_a_pass]) for at in range(0, self.rows, self.rows_a_pass)]

    def read(self, start: int, count: int) -> Ids:
        """`count` ids of the stream from `start` on."""
        parts: list[NDArray[np.uint32]] = []
        while count:
            epoch, offset = divmod(start, self.a_epoch)
            order, ends = self._ordered(epoch)
            place = int(np.searchsorted(ends, offset, side="right"))
            document = self.tokens.document(int(order[place]))
            part = document[len(document) - (int(ends[place]) - offset) :][:count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return np.concatenate(parts).astype(np.int64)

    def _ordered(self, epoch: int) -> tuple[Ids, Ids]:
        """The documents' order in an epoch, and where each ends in it."""
        if self._order[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.tokens))
            self._order = epoch, order, np.cumsum(np.diff(self.tokens.starts)[order])
        return self._order[1:]

    def _batch(self, rows: Ids) -> Batch:
        ids = torch.from_numpy(rows)
        targets = ids[:, 1:].contiguous()
        return Batch({"input_ids": ids[:, :-1].contiguous()}, targets, targets.numel(), targets.numel())


class Rows:
    """Each document in rows of its own, those of like length together; long ones in windows that overlap by one token.

    `targets[i]`, as long as document i, are what its tokens count as when they are foretold: themselves, or IGNORED (the
    questions of a chat, say). Rows without any target are left out. Padding is on the right, where a causal model does not
    see it, so no mask is needed. `cut`: what of the documents was left out before.
    """

    def __init__(
        self,
        documents: Sequence[Sequence[int]],
        job: Job,
        targets: Sequence[Sequence[int]] | None = None,
        cut: Cut = NOTHING_CUT,
    ) -> None:
        self.cut = cut
        self.seed, longest = job.seed, job.recipe["max_tokens"]
        pairs = list(zip(documents, targets or documents, strict=True))
        spans = [(i, at) for i, (ids, _) in enumerate(pairs) for at in range(0, max(len(ids) - 1, 0), longest)]
        rows = [(pairs[i][0][at : at + longest + 1], pairs[i][1][at : at + longest + 1]) for i, at in spans]
        self.rows = [(ids[:-1], kept[1:]) for ids, kept in rows if any(k != IGNORED for k in kept[1:])]
        self.lengths = np.array([len(ids) for ids, _ in self.rows])
        self.tokens_a_pass: int = job.recipe["tokens_a_pass"]
        total = int(self.lengths.sum())
        fullest = total // int(self.lengths.max())  # with more steps than this, one could be left without a row
        self.a_epoch = max(1, min(math.ceil(total / job.recipe["tokens_a_step"]), fullest))
        self.steps: int = self.a_epoch * job.recipe["epochs"]
        self._order = steps.kept(self.order)

    def __call__(self, step: int) -> list[Batch]:
        return [self._batch(r) for r in steps.passes(step, self.a_epoch, self._order, self.lengths, self.tokens_a_pass)]

    def order(self, epoch: int) -> list[list[int]]:
        """The rows of each step of an epoch: about equally many tokens a step, of like length, the steps shuffled."""
        draw = np.random.default_rng([self.seed, epoch])
        rows = draw.permutation(len(self.rows))
        a_window = math.ceil(len(rows) / max(1, self.a_epoch / WINDOW_STEPS))
        for window in (rows[at : at + a_window] for at in range(0, len(rows), a_window)):
            window[:] = window[np.argsort(self.lengths[window], kind="stable")]
        ends = np.cumsum(self.lengths[rows])
        steps_of = np.minimum((ends - 1) * self.a_epoch // int(ends[-1]), self.a_epoch - 1)
        batches = [rows[steps_of == step].tolist() for step in range(self.a_epoch)]
        return [batches[place] for place in draw.permutation(self.a_epoch)]

    def _batch(self, rows: list[int]) -> Batch:
        longest = int(self.lengths[rows].max())
        ids = torch.zeros((len(rows), longest), dtype=torch.long)
        targets = torch.full((len(rows), longest), IGNORED)
        for place, row in enumerate(rows):
            given, wanted = self.rows[row]
            ids[place, : len(given)] = torch.tensor(given)
            targets[place, : len(wanted)] = torch.tensor(wanted)
        return Batch({"input_ids": ids}, targets, int((targets != IGNORED).sum()), int(self.lengths[rows].sum()))
