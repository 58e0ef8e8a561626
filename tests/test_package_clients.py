"""Fetching through npm and apt: nothing of a file that is another than the pinned one."""

from pathlib import Path

import pytest

from tasks import package_clients
from tasks.stage import UserError


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing was unpacked"):
        package_clients.fetched(["sh", "-c", "echo other > package.tgz"], "package", "0" * 64, tmp_path)


def test_a_client_that_is_missing_or_fails_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no-such-program: not on this machine"):
        package_clients.output(["no-such-program"], tmp_path)
    with pytest.raises(UserError, match="last line; is the network there"):
        package_clients.output(["sh", "-c", "echo first >&2; echo last line >&2; exit 3"], tmp_path)
