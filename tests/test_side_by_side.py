"""Work spread over cores: all of it is done once, a failure is told, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import machine, side_by_side
from tasks.stage import UserError

Told = Callable[[float], None]


def silent(_shares: list[float]) -> None:
    return


def test_every_item_is_worked_on_once_in_processes_of_one_thread_each(tmp_path: Path) -> None:
    shares: list[list[float]] = []

    def work(item: int, told: Told) -> None:
        told(0.5)
        time.sleep(0.3)
        with (tmp_path / str(item)).open("a") as file:
            file.write(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")

    side_by_side.each(work, range(5), shares.append)
    said = [(tmp_path / str(item)).read_text().split() for item in range(5)]
    assert len({pid for pid, _ in said}) == min(side_by_side.processes(), 5)
    assert {threads for _, threads in said} == {str(machine.cores() // side_by_side.processes())}
    assert 0.5 in shares[0]
    assert all(0 <= share <= 1 for line in shares for share in line)


@pytest.mark.parametrize("gb", [0.1, 1.0, 3.7, 6.0, 9.0, 50.0, 1e6])
def test_as_many_processes_as_fit_into_cores_and_memory_and_at_least_one(gb: float) -> None:
    memory, count = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, side_by_side.processes(gb)
    assert 1 <= count <= machine.cores()
    assert count == 1 or count * gb <= memory
    assert count == machine.cores() or (count + 1) * gb > memory


def test_work_that_fills_the_memory_is_done_by_one_process_with_all_cores(tmp_path: Path) -> None:
    def work(item: int, _told: Told) -> None:
        (tmp_path / str(item)).write_text(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")

    side_by_side.each(work, range(3), silent, gb=1e6)
    said = {tuple((tmp_path / str(item)).read_text().split()) for item in range(3)}
    assert len(said) == 1
    assert {threads for _, threads in said} == {str(machine.cores())}


def test_a_users_mistake_arrives_as_it_is_and_ends_the_others(tmp_path: Path) -> None:
    def work(item: int, _told: Told) -> None:
        if item == 0:
            raise UserError("mend it")
        time.sleep(30)
        (tmp_path / str(item)).touch()

    started = time.monotonic()
    with pytest.raises(UserError, match=r"^mend it$"):
        side_by_side.each(work, range(4), silent)
    assert time.monotonic() - started < 20
    assert list(tmp_path.iterdir()) == []


def test_a_bug_is_an_error_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    def work(_item: int, _told: Told) -> None:
        raise ZeroDivisionError("nobody expected this")

    with pytest.raises(RuntimeError, match="ended with 1"):
        side_by_side.each(work, [1], silent)
    assert "nobody expected this" in capfd.readouterr().err


def test_a_process_that_was_killed_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(RuntimeError, match="memory ran out"):
        side_by_side.each(lambda _item, _told: os.kill(os.getpid(), signal.SIGKILL), [1, 2], silent)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nobody_works_on_when_the_caller_has_ended(how: signal.Signals, tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from tasks import side_by_side, stage\n"
        "def work(item, told): Path(sys.argv[1], str(os.getpid())).touch(); time.sleep(60)\n"
        "def main(folder: Path) -> None: side_by_side.each(work, [1, 2], lambda shares: None)\n"
        "stage.run(main)"
    )
    caller = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
    until(lambda: len(list(tmp_path.iterdir())) == min(side_by_side.processes(), 2))
    caller.send_signal(how)
    assert caller.wait(30) == (75 if how == signal.SIGTERM else -signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{one.name}").exists() for one in tmp_path.iterdir()))


def until(true: Callable[[], bool]) -> None:
    for _ in range(300):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come true within 30 s")
