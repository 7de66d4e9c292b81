"""Goal: who hangs is told from who is starved, waits for the disk, or is still starting.

Method: real shared memory whose words the test moves; the clock and the threads' states made up,
and once those of real processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ringbuf import layout
from ringbuf.writer_lock import LOCK_WORD
from shm_exchange import standstill, wiring
from shm_exchange.children import Child, Post
from shm_exchange.standstill import Standstills, posture
from shm_exchange.wiring import (
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    Wiring,
)

PID = os.getpid()
LINES = {
    "recorder": PROCESS_RECORDER,
    "order": PROCESS_SOURCE_FIRST + 2,
    "standby": PROCESS_STANDBY_FIRST,
}
STEP_NS = 100_000_000
LOOKS = 100  # twice the limit


@pytest.fixture
def engine() -> Iterator[Wiring]:
    """Whose recorder, gateway and standby are ready."""
    name = f"still{os.getpid()}"
    made = wiring.create(
        name, 1, 5, 0, event_records=1024, command_records=256, gateway_count=1, gated=False
    )
    for number in LINES.values():
        row = made.control.processes[number]
        row["pid"], row["state"] = PID, layout.STATE_READY
    try:
        yield made
    finally:
        wiring.remove(name, 1)
        made.close()


def condemned_at(
    engine: Wiring,
    role: str,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    busy: float = 0.0,
    beats: int = LOOKS + 1,
) -> tuple[int | None, bool]:
    """At which look it is condemned, and whether for its own fault.

    busy: the part of the time in which it runs; beats: it moves at each look of this number.
    """
    child = Child(cast(Any, SimpleNamespace(pid=PID)), -1, 0.0)
    post = Post(role, ((1, LINES[role]),), child=child)
    watch = Standstills([post], {1: engine}, 1000)
    now_ns = 1_000_000_000
    cpu_ns = 0.0
    monkeypatch.setattr(standstill, "posture", lambda _pid, _role: (state, int(cpu_ns)))
    monkeypatch.setattr(standstill.time, "monotonic_ns", lambda: now_ns)
    row = engine.control.processes[LINES[role]]
    for look in range(LOOKS):
        if look % beats == beats - 1:
            row["loops"] = int(row["loops"]) + 1
        for found, sentence in watch.look():
            assert found is child and "it made no progress for 5 s" in sentence
            return look, child.looped
        now_ns += STEP_NS
        cpu_ns += busy * STEP_NS
    return None, False


@pytest.mark.parametrize("role", LINES)
@pytest.mark.parametrize(
    ("state", "busy", "expected"),
    [("T", 0.0, False), ("t", 0.0, False), ("R", 1.0, True), ("R", 0.0, None), ("D", 0.5, None)],
)
def test_what_counts(
    engine: Wiring,
    role: str,
    state: str,
    busy: float,
    expected: bool | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped, or it runs without end: after 5 s. Starved, or waiting for the disk: never."""
    look, looped = condemned_at(engine, role, monkeypatch, state, busy)
    if expected is None:
        assert look is None
    else:
        assert look is not None and 50 <= look <= 53 and looped is expected


def test_sleep_is_a_hang_but_a_recorders_right(
    engine: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert condemned_at(engine, "order", monkeypatch, "S")[0] is not None
    assert condemned_at(engine, "standby", monkeypatch, "S")[0] is not None
    assert condemned_at(engine, "recorder", monkeypatch, "S")[0] is None


def test_who_moves_now_and_then_is_let_be(engine: Wiring, monkeypatch: pytest.MonkeyPatch) -> None:
    assert condemned_at(engine, "order", monkeypatch, "T", beats=40)[0] is None


@pytest.mark.parametrize("state", ["T", "R", "S"])
def test_a_standby_that_takes_over_is_let_be(
    engine: Wiring, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the writer lock: its watchers look at other words. A lock of another is no reason."""
    lock = engine.control.lock
    lock[LOCK_WORD] = threading.get_native_id()
    assert condemned_at(engine, "standby", monkeypatch, state, 1.0)[0] is None
    lock[LOCK_WORD] = 1  # of another process
    assert condemned_at(engine, "standby", monkeypatch, state, 1.0)[0] is not None


def test_who_is_starting_is_not_looked_at(engine: Wiring, monkeypatch: pytest.MonkeyPatch) -> None:
    """It compiles, for minutes perhaps."""
    for number in LINES.values():
        engine.control.processes[number]["state"] = layout.STATE_STARTING
    assert condemned_at(engine, "order", monkeypatch, "R", 1.0)[0] is None


def test_posture_of_real_processes() -> None:
    """Stopped, asleep, running; and a process that is gone."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read(1)\nwhile True: pass"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            while posture(process.pid, "order")[0] != "S":
                pass
            process.stdin.write(b"x")
            process.stdin.close()
            while posture(process.pid, "recorder")[0] != "R":
                pass
            while posture(process.pid, "order")[1] == 0:
                pass
            os.kill(process.pid, signal.SIGSTOP)
            while (found := posture(process.pid, "order"))[0] != "T":
                pass
            assert found[1] > 0
        finally:
            process.kill()
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        posture(process.pid, "order")
