"""The ledger: one commit on the branch `crossover-ledger` for every decision, registration, promotion and roll-back.

A commit's tree holds what it speaks of: the tracked files as they stand on disk, and `HELD` with what is new there;
nothing untracked beside them. It is made by plumbing with an index of its own, so that a person's index, branch and
uncommitted edits stay as they are. Git's hash chain makes it tamper-evident, an atomic update of the branch orders
concurrent writers. With a remote (`origin`, or the one that `git config crossover.remote` names) the remote's branch is
the judge: a commit is pushed fast-forward first, and made again on the new tip when another was faster. A remote out of
reach is said and changes nothing else; its turn comes with the next commit.

What it does not do: prove completeness. Who cuts the branch short is found only through the commits that others name
(`verify`); `receive.denyNonFastForwards` on the remote forbids it there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import workspace

BRANCH = "refs/heads/crossover-ledger"
HELD = ("flows", "tasks", "infra", "params.yaml", "dvc.*", "data/*.dvc", "results")
NEVER = (":(exclude,glob)**/.env", ":(exclude,glob)**/.env.*")
TRIES = 200  # four writers at once need at most a handful
SECONDS_FOR_REMOTE = 30
IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "Crossover"), ("EMAIL", "crossover@localhost"))
}


class Moved(Exception):
    """Another writer was faster than an `append` that had to follow a certain commit."""


@dataclass(frozen=True)
class Entry:
    sha: str
    when: str
    """ISO 8601, of the writer's clock."""
    what: str
    details: dict[str, Any]


def append(what: str, details: dict[str, Any], after: str | None = None) -> str:
    """Commit the files as they are under the line `what`, with `details` as JSON below it; gives the commit's sha.

    With `after` (a sha) the commit is made only if that is still the newest one, here and on the remote; otherwise
    raises Moved. Without, it is made on whatever tip there is.
    """
    tree = _tree()
    message = f"{' '.join(what.split())}\n\n{json.dumps(details, sort_keys=True, indent=1, ensure_ascii=False)}\n"
    for _ in range(TRIES):
        remote, theirs = _fetched()
        here = tip()
        if after is not None and after != here:
            raise Moved(f"{after[:12]} is no longer the ledger's newest commit; {(here or 'none')[:12]} is")
        parents = _parents(here, theirs)
        sha = _git("commit-tree", tree, *(word for p in parents for word in ("-p", p)), given=message, env=IDENTITY)
        if remote and not _pushed(remote, sha):
            continue
        if _ok("update-ref", "-m", "crossover", BRANCH, sha, here or "0" * 40) or _ok(
            "merge-base", "--is-ancestor", sha, BRANCH
        ):
            return sha
    raise RuntimeError(f"the ledger: {TRIES} times another writer was faster, or {BRANCH} cannot be written")


def append_if_changed(what: str, details: dict[str, Any]) -> str:
    """Like `append`, unless the same was said of these very files since they last changed; then that commit's sha."""
    tree, told = _tree(), json.loads(json.dumps(details))
    for entry in entries():
        if _git("rev-parse", f"{entry.sha}^{{tree}}") != tree:
            break
        if (entry.what, entry.details) == (" ".join(what.split()), told):
            return entry.sha
    return append(what, details)


def tip() -> str | None:
    """The ledger's newest commit in this repository."""
    return _try("rev-parse", "--verify", "--quiet", BRANCH)


def head() -> str | None:
    """The commit checked out here; None before the first."""
    return _try("rev-parse", "--verify", "--quiet", "HEAD")


def show(path: str, sha: str | None = None) -> str | None:
    """The text of a file in the ledger's newest commit, or in any other; None if it is not there."""
    return _try("show", f"{sha or BRANCH}:{path}", strip=False)


def entries() -> list[Entry]:
    """All entries, newest first."""
    if tip() is None:
        return []
    log = _git("log", "--topo-order", "--format=%H%x00%cI%x00%B%x1e", BRANCH)
    return [_entry(text) for text in log.split("\x1e") if text.strip()]


def verify(shas: Iterable[str] = ()) -> list[str]:
    """What is wrong: objects that do not match their hash, and each of `shas` that is no part of the ledger."""
    fsck = _run("fsck", "--no-dangling", "--no-progress")
    wrong = [line for line in (fsck.stdout + fsck.stderr).splitlines() if not line.startswith(("notice", "warning"))]
    if fsck.returncode and not wrong:
        wrong = [f"git fsck ends with {fsck.returncode}"]
    known = set((_try("rev-list", BRANCH) or "").split())
    return [f"git fsck: {line}" for line in wrong] + [f"{sha}: not in the ledger" for sha in shas if sha not in known]


def _entry(text: str) -> Entry:
    sha, when, message = text.strip().split("\x00", 2)
    what, _, details = message.partition("\n\n")
    try:
        told = json.loads(details)
    except json.JSONDecodeError:
        told = {}
    return Entry(sha, when, what, told)


def _tree() -> str:
    """The tree of all that the ledger holds, from an index of its own."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git("read-tree", "HEAD" if head() else "--empty", env=index)
        _git("add", "--update", ".", env=index)
        found = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *HELD, *NEVER, env=index, strip=False)
        _git("update-index", "-z", "--add", "--remove", "--stdin", given=found, env=index)
        return _git("write-tree", env=index)


def _parents(here: str | None, theirs: str | None) -> list[str]:
    """Only the newer of the two tips, or both where each has what the other has not (commits made out of reach)."""
    if theirs is None or here is None or here == theirs:
        return [tip for tip in (here or theirs,) if tip]
    if _ok("merge-base", "--is-ancestor", theirs, here):
        return [here]
    return [theirs] if _ok("merge-base", "--is-ancestor", here, theirs) else [theirs, here]


def _fetched() -> tuple[str | None, str | None]:
    """The remote, if one is configured and answers, and the tip of the ledger there."""
    remote = _try("config", "crossover.remote") or "origin"
    if remote not in _git("remote").split():
        return None, None
    theirs = f"refs/crossover/{remote}/crossover-ledger"
    # The star makes a remote that has no ledger yet a fetch of nothing, not an error.
    refs = f"{BRANCH}*:{theirs}*"
    fetched = _run("fetch", "--refmap=", "--no-tags", "--no-write-fetch-head", remote, refs, timeout=SECONDS_FOR_REMOTE)
    if fetched.returncode:
        _say(f"the ledger's remote {remote} cannot be used, the commit stays here for now: {_last(fetched)}")
        return None, None
    there = _try("rev-parse", "--verify", "--quiet", theirs)
    here = tip()
    if there and (here is None or (here != there and _ok("merge-base", "--is-ancestor", here, there))):
        _ok("update-ref", "-m", "crossover: fetch", BRANCH, there, here or "0" * 40)
    return remote, there


def _pushed(remote: str, sha: str) -> bool:
    """False only if another was faster; a push that fails for any other reason is said, and the commit stays here."""
    push = _run("push", "--quiet", "--no-verify", "--porcelain", remote, f"{sha}:{BRANCH}", timeout=SECONDS_FOR_REMOTE)
    refused = push.returncode != 0 and any(
        word in push.stdout + push.stderr for word in ("fetch first", "non-fast-forward", "cannot lock ref")
    )
    if push.returncode and not refused:
        _say(f"the ledger's remote {remote} did not take the commit, it stays here for now: {_last(push)}")
    return not refused


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"git ends with {done.returncode}"


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _ok(*arguments: str) -> bool:
    return _run(*arguments).returncode == 0


def _try(*arguments: str, strip: bool = True) -> str | None:
    done = _run(*arguments)
    return None if done.returncode else done.stdout.strip() if strip else done.stdout


def _git(*arguments: str, given: str | None = None, env: dict[str, str] | None = None, strip: bool = True) -> str:
    done = _run(*arguments, given=given, env=env)
    if done.returncode:
        raise RuntimeError(f"git {' '.join(arguments)}: {_last(done)}")
    return done.stdout.strip() if strip else done.stdout


def _run(
    *arguments: str, given: str | None = None, env: dict[str, str] | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Git at the top of this checkout, in English, and never asking anybody for a password."""
    quiet = {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
    }
    command = ["git", "-c", "core.quotePath=false", *arguments]
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            cwd=workspace.root(),
            env=os.environ | quiet | (env or {}),
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {timeout:.0f} s")
