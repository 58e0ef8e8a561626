"""Fetching one file of one pinned release through npm or apt, as they are set up here; needs no root, installs nothing.

Its sha256 is compared before anything looks into it. Of Debian, apt has to know the packages (`apt-get update`, once).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tasks.records import sha256_of_file
from tasks.stage import UserError

HELPER = "/usr/lib/apt/apt-helper"


def npm_package(release: str, sha256: str, folder: Path) -> Path:
    """The archive of `release` (NAME@VERSION), in `folder`, which is empty before."""
    return fetched(["npm", "pack", "--silent", release], release, sha256, folder)


def debian_package(release: str, sha256: str, folder: Path) -> Path:
    """The .deb file of `release` (NAME=VERSION), in `folder`, which is empty before."""
    return fetched(["apt-get", "--quiet=2", "download", release], release, sha256, folder)


def debian_index(place: str, sha256: str, folder: Path) -> Path:
    """The index of that sha256 from `place` ("dists/SUITE/main/i18n", say) of the mirror that apt is set up with.

    Mirrors keep an index by its hash until some time after the suite's next release.
    """
    found = output(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"], folder)
    if not found:
        raise UserError("apt-get: knows no packages of Debian; `apt-get update` once, or do without this example")
    where = f"{found.splitlines()[0]}{place}/by-hash/SHA256/{sha256}"
    inside = folder / sha256
    inside.mkdir()
    command = [HELPER, "-qq", "download-file", where, str(inside / "index"), f"SHA256:{sha256}"]
    return fetched(command, place, sha256, inside)


def unpacked(package: Path) -> Path:
    """The files of a .deb, in a folder beside it; none of its scripts is run."""
    folder = package.parent / "unpacked"
    output(["dpkg-deb", "--extract", str(package), str(folder)], package.parent)
    return folder


def fetched(command: list[str], what: str, sha256: str, folder: Path) -> Path:
    """The one file that `command` leaves in `folder`."""
    output(command, folder)
    (file,) = (path for path in folder.iterdir() if path.is_file())
    if (found := sha256_of_file(file)) != sha256:
        raise UserError(f"{what}: came with sha256 {found}, not {sha256}; nothing was unpacked")
    return file


def output(command: list[str], folder: Path) -> str:
    """What `command` prints when run in `folder`. Raises UserError with its last line if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    except FileNotFoundError:
        raise UserError(f"{command[0]}: not on this machine; the example's data come through it") from None
    if done.returncode:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        raise UserError(f"{' '.join(command)}: {said}; is the network there?")
    return done.stdout.strip()
