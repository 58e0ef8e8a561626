"""What a base model's licence forbids, by the name of the licence alone. Nobody's terms are read here."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.params import Constraints
from tasks.records import Exclusion

NO_BUSINESS = ("-nc", "noncommercial", "non-commercial", "research")
"""In the name of a licence: it forbids use for business (SPDX names, and those of Hugging Face's model pages)."""
BINDING = ("-sa", "gpl", "openrail", "llama", "gemma")
"""In the name of a licence: what is made of the model stays under its terms (share-alike, copyleft, use restrictions)."""


def forbidden(licence: str, limits: Constraints) -> Iterator[Exclusion]:
    """Each limit that a base model under `licence` breaks."""
    if licence not in limits.licences:
        lifted = f"add {licence} to constraints.licences, if its terms suit your use"
        yield Exclusion(constraint="licences", value=licence, limit=limits.licences, lifted_by=lifted)
    if limits.business_use and _says(licence, NO_BUSINESS):
        lifted = "ask its owner for another licence, or set constraints.business_use to false"
        yield Exclusion(constraint="business_use", value=licence, limit=True, lifted_by=lifted)
    if limits.ownership == "free" and _says(licence, BINDING):
        lifted = "set constraints.ownership to any"
        yield Exclusion(constraint="ownership", value=licence, limit="free", lifted_by=lifted)


def _says(licence: str, words: tuple[str, ...]) -> bool:
    return any(word in licence.lower() for word in words)
