"""The honest yardstick: the nearest stored answer for chats, a byte n-gram model for text."""

from __future__ import annotations

from pathlib import Path

from tasks.trainers import Job, Spent
from tasks.trainers.causal import ngram, retrieval


def train(job: Job, folder: Path) -> Spent:
    chats = all(document.messages for document in job.documents)
    return retrieval.train(job, folder) if chats else ngram.train(job, folder)
