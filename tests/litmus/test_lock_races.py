"""Goal: the death of the writer is seen, and exactly one process succeeds it.

allowed    one of two waiters takes the lock with OWNER_DIED; the epoch grows by one
forbidden  two writers; a takeover from the living; no takeover
"""

import os
import signal
import time

from ringbuf.layout import EPOCH, STOP
from ringbuf.segment import create_broadcast, create_control
from ringbuf.writer_lock import OWNER_DIED, owner, owner_died, try_lock, unlock
from tests.litmus import racers
from tests.shared_memory import DIGEST, IDENTITY, RECORD_DTYPE, Children

LIMIT = 1 << 50


def _wait_for_epoch(words, epoch: int) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 20
    while words[EPOCH] < epoch:
        assert time.monotonic() < deadline, "nobody takes over"
        time.sleep(0.0005)


def test_one_of_two_waiters_succeeds_the_killed(segment_name: str, processes: Children) -> None:
    _, control = create_control(segment_name + ".control", DIGEST, IDENTITY)
    create_broadcast(segment_name, RECORD_DTYPE, 64, DIGEST, IDENTITY)
    waiters = {}
    for _ in range(3):
        process = processes.start(racers.__name__, "reign", segment_name, LIMIT)
        waiters[process.pid] = process
    for process in waiters.values():
        processes.go(process)
    for epoch in (1, 2):
        _wait_for_epoch(control.words, epoch)
        time.sleep(0.05)
        assert control.words[EPOCH] == epoch, "nobody takes it from the living"
        writer = int(owner(control.lock))
        assert writer in waiters and owner_died(control.lock) == 0
        os.kill(writer, signal.SIGKILL)
        waiters.pop(writer).wait()
    _wait_for_epoch(control.words, 3)
    assert int(owner(control.lock)) in waiters
    control.words[STOP] = 1
    (last,) = waiters.values()
    assert processes.answer(last) == [OWNER_DIED]


def test_a_stopped_owner_is_not_dead(segment_name: str, processes: Children) -> None:
    _, control = create_control(segment_name + ".control", DIGEST, IDENTITY)
    create_broadcast(segment_name, RECORD_DTYPE, 64, DIGEST, IDENTITY)
    process = processes.start(racers.__name__, "reign", segment_name, LIMIT)
    processes.go(process)
    _wait_for_epoch(control.words, 1)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(0.05)
    assert owner_died(control.lock) == 0 and try_lock(control.lock) == 1
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert owner_died(control.lock) == 1 and try_lock(control.lock) == OWNER_DIED
    assert unlock(control.lock) == 0  # before the memory goes: a thread remembers what it holds
