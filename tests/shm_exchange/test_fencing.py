"""Goal: a writer that hangs is killed and charged rightly; one that merely starves is not.

Method: the bookkeeping on made-up looks; then real processes that hold a real lock and hang.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ringbuf.writer_lock import LOCK_WORD, OWNER_DIED_BIT
from shm_exchange import wiring
from shm_exchange.fencing import HALTED, INTERVAL_SECONDS, LOOPING, Suspicion, Watcher
from shm_exchange.wiring import PROCESS_MATCHER, PROCESS_STANDBY_FIRST, Wiring
from tests.shared_memory import ROOT

LOOK_NS = int(INTERVAL_SECONDS * 1e9)
LIMIT_MS = 300
WAIT_SECONDS = 60.0


def verdicts(looks: list[tuple[str, int]], elapsed_ns: int = LOOK_NS) -> list[str | None]:
    """What is said after each of these looks: state of the thread, and time that it ran."""
    suspicion = Suspicion(1_000_000_000)
    return [suspicion.verdict(elapsed_ns, state, cpu_ns) for state, cpu_ns in looks]


@pytest.mark.parametrize("state", ["T", "t", "D", "S"])
def test_a_halted_writer_is_condemned_at_the_limit(state: str) -> None:
    """Not before: twenty looks of 50 ms make the second."""
    assert verdicts([(state, 0)] * 20) == [None] * 19 + [HALTED]


def test_a_halt_that_ended_does_not_count() -> None:
    """Runnable in between: what comes then begins anew."""
    assert set(verdicts([("T", 0)] * 19 + [("R", 0)] + [("T", 0)] * 19)) == {None}


def test_a_looping_writer_is_condemned_when_it_has_run_for_the_limit() -> None:
    """At a tenth of its core it takes ten times as long."""
    assert verdicts([("R", LOOK_NS)] * 20) == [None] * 19 + [LOOPING]
    assert verdicts([("R", LOOK_NS // 10)] * 200) == [None] * 199 + [LOOPING]


def test_a_starved_writer_is_never_condemned() -> None:
    """Runnable, and it does not get the core."""
    assert set(verdicts([("R", 0)] * 10_000)) == {None}


def test_a_pause_of_the_whole_host_condemns_nobody() -> None:
    """However long the watcher was away, and whatever the clocks say afterwards."""
    assert set(verdicts([("T", 0)] * 9, 3_600_000_000_000)) == {None}
    assert set(verdicts([("R", 3_600_000_000_000)] * 9, 3_600_000_000_000)) == {None}


@pytest.fixture
def engine() -> Iterator[tuple[str, Wiring]]:
    """Shared memory of an engine, and the name of its exchange."""
    name = f"fence{os.getpid()}"
    made = wiring.create(
        name, 1, 5, 0, event_records=1024, command_records=256, gateway_count=1, gated=False
    )
    try:
        yield name, made
    finally:
        wiring.remove(name, 1)
        made.close()


@contextmanager
def writer(name: str, how: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock and hangs."""
    command = [sys.executable, "-m", "tests.shm_exchange.hanging_writer", name, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "READY\n"
            yield process
        finally:
            process.kill()


@contextmanager
def watched(engine: Wiring) -> Iterator[Watcher]:
    """A watcher that writes into the line of the first standby."""
    watcher = Watcher(engine, PROCESS_STANDBY_FIRST, LIMIT_MS, "standby")
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.close()


@pytest.mark.parametrize(("how", "charged"), [("loop", 1), ("beat", 0), ("block", 0)])
def test_a_writer_that_hangs_is_killed(
    engine: tuple[str, Wiring], how: str, charged: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """It runs without end, is stopped by a signal, or waits in the system: SIGKILL.

    The lock says that its owner died, so that one who stands by may succeed. Only to run without
    end is the fault of what it was doing.
    """
    name, shared = engine
    with watched(shared), writer(name, how) as process:
        if how == "beat":
            os.kill(process.pid, signal.SIGSTOP)
        assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
        assert shared.control.lock[LOCK_WORD] & OWNER_DIED_BIT
        assert shared.control.processes[PROCESS_STANDBY_FIRST]["condemned"] == charged
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1 and f"process {process.pid}: it made no progress" in said[0]


def test_a_starved_writer_is_not_killed(engine: tuple[str, Wiring]) -> None:
    """It has its core only when nobody else wants it, and somebody does: it stands still for long.

    The gaps that are seen here must be longer than the limit, or nothing was shown.
    """
    name, shared = engine
    hog = [sys.executable, "-c", "while True: pass"]
    core = min(os.sched_getaffinity(0))
    row = shared.control.processes[PROCESS_MATCHER]
    with watched(shared), writer(name, "beat") as process:
        os.sched_setaffinity(process.pid, {core})
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        hogs = [subprocess.Popen(hog) for _ in range(3)]
        try:
            for each in hogs:
                os.sched_setaffinity(each.pid, {core})
            longest = 0.0
            moved = ended = time.monotonic()
            loops = int(row["loops"])
            deadline = ended + WAIT_SECONDS
            while longest < 3 * LIMIT_MS / 1e3 and ended < deadline:
                time.sleep(0.01)
                ended = time.monotonic()
                longest = max(longest, ended - moved)
                if int(row["loops"]) != loops:
                    loops, moved = int(row["loops"]), ended
                assert process.poll() is None
            assert longest >= 3 * LIMIT_MS / 1e3, "it was never starved: nothing was shown"
        finally:
            for each in hogs:
                each.kill()
                each.wait()
        assert shared.control.processes[PROCESS_STANDBY_FIRST]["condemned"] == 0
