"""What must agree for a checkpoint to belong to a training."""

from __future__ import annotations

import hashlib
import json

from tasks import documents
from tasks.trainers import Job


def identity(job: Job) -> str:
    """sha256 of all that influences the weights: branch, recipe, seed, labels, rows and the base model's files."""
    files = sorted(path for path in job.base.iterdir() if path.is_file()) if job.base and job.checkpoints else []
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    parts = [job.branch, job.recipe, job.seed, job.labels, documents.sha256(job.documents), digests]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
