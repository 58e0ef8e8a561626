"""Who is champion: the ledger says it, the aliases in MLflow follow.

A promotion puts a version on top, a roll-back takes the top away; versions that are no longer in the registry do not count.
Aliases and tags can be set by anybody who reaches MLflow; they are brought back to what the ledger says by `settle`, which
also completes a move that was cut short. The registered model's tag `champion.sha` names the last move that was completed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks import ledger, registry, tracking, workspace
from tasks.registry import set_alias
from tasks.stage import Refused, UserError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

LONGEST_TAG = 1000
DONE = "champion.sha"


class Changed(Exception):
    """The champion is another than the one that the evidence compares with."""


@dataclass(frozen=True)
class Signed:
    """A version that the ledger has promoted."""

    version: str
    run_id: str
    sha: str


def signed(name: str) -> list[Signed]:
    """The champions one above the other, the present one last."""
    stack: list[Signed] = []
    for entry in reversed(_moves(name)):
        if entry.details["event"] == "promotion":
            stack.append(Signed(entry.details["version"], entry.details["run_id"], entry.sha))
        elif stack:
            stack.pop()
    there = {(str(v.version), v.run_id) for v in tracking.client().search_model_versions(f"name = '{name}'")}
    return [one for one in stack if (one.version, one.run_id) in there]


def current(name: str) -> Signed | None:
    stack = signed(name)
    return stack[-1] if stack else None


def by_alias(name: str) -> str | None:
    """The version that bears the alias `champion` in MLflow, whoever set it."""
    aliases = tracking.client().get_registered_model(name).aliases
    return str(aliases["champion"]) if "champion" in aliases else None


def completed(name: str) -> bool:
    """Did the ledger's last move get as far as its aliases?"""
    moves = _moves(name)
    return not moves or tracking.client().get_registered_model(name).tags.get(DONE) == moves[0].sha


def promote(found: ModelVersion, instead_of: str | None, details: dict[str, Any]) -> str:
    """Make `found` champion; gives the ledger's commit. Raises Changed if the champion is not `instead_of` (a version)."""
    entry = {"event": "promotion", "version": str(found.version), "run_id": found.run_id, "instead_of": instead_of} | details
    return _move(found.name, str(found.version), instead_of, f"promotion: {found.name}: version {found.version}", entry)


def roll_back(name: str, details: dict[str, Any]) -> tuple[str, str, str]:
    """Back to the champion before; gives the version left, the version in use again, and the ledger's commit."""
    stack = signed(name)
    if not stack:
        raise UserError(f"{name}: no model of this name has ever been champion here, by the ledger")
    if len(stack) < 2:
        raise Refused(f"{name}: there is no earlier champion to go back to")
    left, back = stack[-1].version, stack[-2].version
    entry = {"event": "rollback", "version": back, "run_id": stack[-2].run_id, "instead_of": left} | details
    return left, back, _move(name, back, left, f"rollback: {name}: version {left} to version {back}", entry)


def refuse(found: ModelVersion, reason: str, details: dict[str, Any], outcome: str = "refused") -> None:
    """Say in the ledger and on the version why it does not become champion. `outcome`: refused or lapsed."""
    entry = {"event": outcome, "use_case": found.name, "version": str(found.version), "run_id": found.run_id, "reason": reason}
    ledger.append(f"{outcome}: {found.name}: version {found.version}: {reason}"[:300], entry | details)
    say(found.name, str(found.version), outcome, reason)


def say(name: str, version: str, outcome: str, reason: str) -> None:
    """On the version's page in MLflow: the tags `promote` and `promote.reason`."""
    api = tracking.client()
    api.set_model_version_tag(name, version, "promote.reason", reason[:LONGEST_TAG])
    api.set_model_version_tag(name, version, "promote", outcome)


def settle(name: str) -> None:
    """Bring aliases, and once after each move the tags, to what the ledger says. Doing it twice is doing it once."""
    api, moves, stack = tracking.client(), _moves(name), signed(name)
    if stack and not completed(name):
        _say_of(moves[0], name)
    aliases = {alias: str(version) for alias, version in api.get_registered_model(name).aliases.items()}
    if stack and aliases.get("challenger") == stack[-1].version:
        api.delete_registered_model_alias(name, "challenger")
    for alias, one in (("previous", stack[-2:-1]), ("champion", stack[-1:])):
        if one and aliases.get(alias) != one[0].version:
            set_alias(api, name, alias, one[0].version)
        elif not one and alias in aliases:
            api.delete_registered_model_alias(name, alias)
    if moves:
        api.set_registered_model_tag(name, DONE, moves[0].sha)


def _say_of(move: ledger.Entry, name: str) -> None:
    details, where = move.details, f"ledger {move.sha[:12]}"
    if details["event"] == "promotion":
        say(name, details["version"], "done", f"is champion; {where}")
        return
    say(name, details["version"], "done", f"is champion again instead of version {details['instead_of']}; {where}")
    why = details.get("reason") or "no reason given"
    say(name, details["instead_of"], "rolled back", f"{why}; {where}")


def _move(name: str, version: str, instead_of: str | None, what: str, entry: dict[str, Any]) -> str:
    """Check, sign, then tags, the alias last; alone. A crash between is completed by `settle`."""
    with workspace.locked("registry"):
        while True:
            tip, now = ledger.tip(), current(name)
            if (now.version if now else None) != instead_of:
                raise Changed(f"{name}: the champion is now {f'version {now.version}' if now else 'none'}")
            if problems := registry.verify(name, version):
                raise Refused(f"{name} version {version}: {problems[0]}")
            try:
                sha = ledger.append(what, {"use_case": name} | entry, after=tip)
            except ledger.Moved:
                continue
            settle(name)
            return sha


def _moves(name: str) -> list[ledger.Entry]:
    """The ledger's promotions and roll-backs of this model, newest first."""
    events = ("promotion", "rollback")
    return [e for e in ledger.entries() if e.details.get("use_case") == name and e.details.get("event") in events]
