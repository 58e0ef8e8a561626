"""The ledger, with real git repositories: what is in a commit, who may write at once, what verify finds."""

import multiprocessing
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import ledger, workspace


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def enter(folder: Path) -> None:
    os.chdir(folder)
    for place in (workspace.root, workspace.shared, workspace.main_checkout):
        place.cache_clear()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with one commit, the current folder of this test."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)  # no identity: as in a container
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q", "-b", "main", "person")
    folder = tmp_path / "person"
    (folder / ".gitignore").write_text("/data/*\n!/data/*.dvc\n/results/rejected.jsonl\n")
    (folder / "params.yaml").write_text("budget: 5\n")
    (folder / "data").mkdir()
    git(folder, "add", ".")
    git(folder, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "first")
    enter(folder)
    yield folder
    for place in (workspace.root, workspace.shared, workspace.main_checkout):
        place.cache_clear()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def held(folder: Path) -> set[str]:
    return set(git(folder, "ls-tree", "-r", "--name-only", ledger.BRANCH).splitlines())


def test_a_commit_holds_tracked_and_listed_files_and_nothing_untracked_beside_them(repo: Path) -> None:
    write(repo, {"results/decision.json": "{}", "dvc.lock": "x", "data/reviews.dvc": "md5", "data/reviews.csv": "private"})
    write(repo, {".env": "KEY=1", "results/.env": "KEY=1", "flows/.env.local": "KEY=1", "notes.txt": "mine"})
    write(repo, {"results/rejected.jsonl": "a person's row", "params.yaml": "budget: 7\n"})
    sha = ledger.append("decide: full", {})
    assert held(repo) == {".gitignore", "params.yaml", "results/decision.json", "dvc.lock", "data/reviews.dvc"}
    assert ledger.show("params.yaml", sha) == "budget: 7\n"
    assert ledger.show("params.yaml", "HEAD") == "budget: 5\n"
    assert ledger.show("results/none.json") is None


def test_a_persons_index_branch_and_edits_stay_as_they_are(repo: Path) -> None:
    write(repo, {"params.yaml": "budget: 6\n", "staged.txt": "s", "results/a.json": "{}"})
    git(repo, "add", "staged.txt")
    write(repo, {"staged.txt": "edited after staging"})
    before = git(repo, "status", "--porcelain=v2", "--branch")
    ledger.append("decide: full", {})
    assert git(repo, "status", "--porcelain=v2", "--branch") == before
    assert git(repo, "stash", "list") == ""
    assert (repo / "params.yaml").read_text() == "budget: 6\n"


@pytest.mark.usefixtures("repo")
def test_entries_give_back_what_was_appended_newest_first() -> None:
    assert (ledger.tip(), ledger.entries(), ledger.verify()) == (None, [], [])
    first = ledger.append("decide: full\nwith more", {"p": 0.5, "who": "Zoë"})
    second = ledger.append("register: 1", {"files": {"a b": "0" * 64}})
    assert ledger.tip() == second
    assert [(e.sha, e.what, e.details) for e in ledger.entries()] == [
        (second, "register: 1", {"files": {"a b": "0" * 64}}),
        (first, "decide: full with more", {"p": 0.5, "who": "Zoë"}),
    ]


def test_the_same_said_of_the_same_files_is_committed_once(repo: Path) -> None:
    write(repo, {"results/decision.json": "{}"})
    first = ledger.append_if_changed("decide: full", {"seed": (1, 2)})
    ledger.append("register: 1", {})
    assert ledger.append_if_changed("decide: full", {"seed": (1, 2)}) == first
    write(repo, {"results/decision.json": "{ }"})
    changed = ledger.append_if_changed("decide: full", {"seed": (1, 2)})
    write(repo, {"results/decision.json": "{}"})
    back = ledger.append_if_changed("decide: full", {"seed": (1, 2)})
    assert len({first, changed, back}) == 3


def test_a_repository_without_commits_has_a_ledger_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    write(tmp_path, {"results/a.json": "{}", ".env": "KEY=1"})
    enter(tmp_path)
    ledger.append("decide: full", {})
    assert held(tmp_path) == {"results/a.json"}


def test_a_worktree_writes_the_same_ledger_with_its_own_files(repo: Path, tmp_path: Path) -> None:
    first = ledger.append("decide: here", {})
    git(repo, "worktree", "add", "-q", "--detach", str(tmp_path / "run"))
    enter(tmp_path / "run")
    write(tmp_path / "run", {"results/of-the-run.json": "{}"})
    ledger.append("decide: there", {})
    assert "results/of-the-run.json" in held(repo)
    assert [e.what for e in ledger.entries()] == ["decide: there", "decide: here"]
    assert ledger.verify([first]) == []


def ten_entries(folder: Path, writer: int) -> None:
    enter(folder)
    for i in range(10):
        ledger.append(f"{writer} {i}", {})


def test_four_writers_at_once_lose_no_entry(repo: Path) -> None:
    writers = [multiprocessing.get_context("spawn").Process(target=ten_entries, args=(repo, w)) for w in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = [e.what for e in ledger.entries()]
    assert sorted(found) == sorted(f"{w} {i}" for w in range(4) for i in range(10))
    for w in range(4):  # each in its own order
        assert [what for what in reversed(found) if what.startswith(f"{w} ")] == [f"{w} {i}" for i in range(10)]


@pytest.mark.usefixtures("repo")
def test_an_entry_that_must_follow_another_is_refused_when_something_came_between() -> None:
    first = ledger.append("promote: 1", {})
    second = ledger.append("promote: 2", {}, after=first)
    with pytest.raises(ledger.Moved, match=first[:12]):
        ledger.append("promote: 3", {}, after=first)
    assert ledger.tip() == second


def test_verify_finds_a_flipped_byte_and_a_commit_that_was_cut_off(repo: Path) -> None:
    first, second = ledger.append("decide: 1", {}), ledger.append("decide: 2", {})
    assert ledger.verify([first, second]) == []
    git(repo, "update-ref", ledger.BRANCH, first)
    assert ledger.verify([first, second]) == [f"{second}: not in the ledger"]
    loose = repo / ".git" / "objects" / first[:2] / first[2:]
    loose.chmod(0o644)
    content = bytearray(loose.read_bytes())
    content[len(content) // 2] ^= 1
    loose.write_bytes(content)
    assert any("git fsck" in line for line in ledger.verify())


@pytest.fixture
def remote(repo: Path, tmp_path: Path) -> Path:
    """A bare repository, the origin of the person's."""
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    git(repo, "remote", "add", "origin", str(tmp_path / "remote.git"))
    return tmp_path / "remote.git"


def other_clone(repo: Path, tmp_path: Path) -> Path:
    git(repo, "push", "-q", "origin", "main")
    git(tmp_path, "clone", "-q", "-b", "main", str(tmp_path / "remote.git"), "other")
    return tmp_path / "other"


def test_two_checkouts_share_one_ledger_through_their_remote(repo: Path, remote: Path, tmp_path: Path) -> None:
    other = other_clone(repo, tmp_path)
    for folder, what in [(repo, "one"), (other, "two"), (repo, "three")]:
        enter(folder)
        ledger.append(what, {})
    assert [e.what for e in ledger.entries()] == ["three", "two", "one"]
    assert git(remote, "rev-parse", ledger.BRANCH) == ledger.tip()


@pytest.mark.usefixtures("remote")
def test_an_entry_must_also_follow_the_remotes_newest(repo: Path, tmp_path: Path) -> None:
    other = other_clone(repo, tmp_path)
    enter(repo)
    first = ledger.append("promote: 1", {})
    enter(other)
    ledger.append("promote: 2", {})
    enter(repo)
    with pytest.raises(ledger.Moved):
        ledger.append("promote: 3", {}, after=first)


def test_a_remote_out_of_reach_is_said_and_caught_up_with_later(
    repo: Path, remote: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = other_clone(repo, tmp_path)
    away = remote.rename(tmp_path / "away.git")
    enter(repo)
    mine = ledger.append("made offline here", {})
    enter(other)
    theirs = ledger.append("made offline there", {})
    assert capsys.readouterr().err.count("cannot be used, the commit stays here for now") == 2
    away.rename(remote)
    for folder in (repo, other, repo):
        enter(folder)
        ledger.append("online again", {})
    assert ledger.verify([mine, theirs]) == []
    assert git(remote, "rev-parse", ledger.BRANCH) == ledger.tip()
    assert len(ledger.entries()) == 5


def test_a_rewritten_remote_is_never_overwritten(remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.append("one", {})
    ledger.append("two", {})
    tree = git(remote, "rev-parse", f"{ledger.BRANCH}^{{tree}}")
    forged = git(remote, "-c", "user.name=A", "-c", "user.email=a@b", "commit-tree", "-m", "forged", tree)
    git(remote, "update-ref", ledger.BRANCH, forged)
    ledger.append("three", {})
    assert git(remote, "rev-parse", ledger.BRANCH) == forged
    assert "non-fast-forward" in capsys.readouterr().err
    assert [e.what for e in ledger.entries()] == ["three", "two", "one"]
