"""Work on many items side by side: one process a core, each with its own core, so that nobody falsifies another's clock.

A small model leaves most of a second thread idle: two trainings of MiniLM-L6 on a core each take 0.7 times as long as one
after the other on both. Processes are forked: what the caller has imported is theirs without loading it again; it must not
have computed with torch before. Items are begun in the order given. What the work leaves it must keep itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from tasks import machine
from tasks.stage import UserError, die_with_parent

Item = TypeVar("Item")
Work = Callable[[Item, Callable[[float], None]], object]
GB_A_PROCESS = 4.0
"""Memory to count on where nothing is known of the work."""
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_END = 15.0


def processes(gb: float = GB_A_PROCESS) -> int:
    """How many of `gb`, 1e9 bytes, each this machine's cores and memory allow: at least one, however many items there are."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return max(1, min(machine.cores(), int(memory / gb)))


def each(work: Work[Item], items: Sequence[Item], told: Callable[[list[float]], None], gb: float = GB_A_PROCESS) -> None:
    """Call `work(item, share)` for every item; `share` takes how much of it is done, `told` hears that of all items. `gb`: the
    most memory that an item takes, 1e9 bytes.

    With a GPU, in this process, one after the other. Raises what the first failing work raised: a UserError as it is,
    RuntimeError for anything else, whose traceback is then on stderr.
    """
    if _has_gpu():
        _in_turn(work, items, told)
        return
    forked = multiprocessing.get_context("fork")
    done, place, errors = forked.Array("d", len(items), lock=False), forked.Value("i", 0), forked.SimpleQueue()
    most = processes(gb)
    arguments = (work, items, place, done, errors, machine.cores() // most)
    team: list[BaseProcess] = [forked.Process(target=_take, args=arguments) for _ in range(min(most, len(items)))]
    try:
        for one in team:
            one.start()
        while any(one.is_alive() for one in team):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            told(list(done))
            if any(one.exitcode for one in team):
                raise errors.get() if not errors.empty() else RuntimeError(_lost(team))
    finally:
        _end(team)


def _has_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


def _in_turn(work: Work[Item], items: Sequence[Item], told: Callable[[list[float]], None]) -> None:
    shares = [0.0] * len(items)

    def share_of(k: int, share: float) -> None:
        shares[k] = share
        told(shares)

    for k, item in enumerate(items):
        work(item, partial(share_of, k))


def _take(work: Work[Any], items: Sequence[Any], place: Any, done: Any, errors: Any, threads: int) -> None:
    """In a process of its own: work on the next item until there is none."""
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends us
    _limit_threads(threads)
    try:
        while (k := _next(place)) < len(items):
            work(items[k], partial(done.__setitem__, k))
            done[k] = 1.0
        code = 0
    except UserError as error:
        errors.put(error)
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # what the parent registered for its own exit is not ours to do


def _next(place: Any) -> int:
    with place.get_lock():
        k = int(place.value)
        place.value += 1
    return k


def _limit_threads(threads: int) -> None:
    """For what is loaded, and for what will be."""
    from threadpoolctl import threadpool_limits

    os.environ["OMP_NUM_THREADS"] = str(threads)
    threadpool_limits(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def _lost(team: Sequence[BaseProcess]) -> str:
    codes = sorted({one.exitcode for one in team if one.exitcode})
    if -signal.SIGKILL in codes:
        return "a process was killed from outside, or memory ran out"
    return f"a process ended with {', '.join(map(str, codes))}"


def _end(team: Sequence[BaseProcess]) -> None:
    for one in team:
        if one.is_alive():
            one.terminate()
    deadline = time.monotonic() + SECONDS_TO_END
    for one in team:
        if one.pid is not None:
            one.join(max(0.0, deadline - time.monotonic()))
            one.kill()
            one.join()
