"""Goal: a reader of a broadcast ring sees whole records, whole commits, in order, or is told.

Method: a publisher and readers in processes of their own on a ring so small that they collide all
the time. Outcomes of one poll:

    allowed    READY, every word of this position            it was complete and stayed so
    allowed    EMPTY                                          not published yet
    allowed    LAPPED                                         overwritten, and the reader knows
    forbidden  READY, words of two positions or two epochs    torn
    forbidden  `published` inside a commit                    half a command
    forbidden  LAPPED for the gating reader                   the gate does not hold
"""

import os
import signal
import time

import pytest

from ringbuf.broadcast import PUBLISHED, RECORDED, record_until
from ringbuf.layout import EPOCH, STOP
from ringbuf.segment import create_broadcast, create_control
from ringbuf.writer_lock import OWNER_DIED, owner
from tests.litmus import racers
from tests.litmus.racers import scaled
from tests.shared_memory import DIGEST, IDENTITY, RECORD_DTYPE, Children

MODULE = racers.__name__
COUNT = scaled(4_000_000)


@pytest.mark.parametrize("capacity", [16, 1024])
def test_a_free_publisher_never_gives_a_torn_record(
    segment_name: str, processes: Children, capacity: int
) -> None:
    create_control(segment_name + ".control", DIGEST, IDENTITY)
    create_broadcast(segment_name, RECORD_DTYPE, capacity, DIGEST, IDENTITY)
    readers = [processes.start(MODULE, "read", segment_name, COUNT) for _ in range(2)]
    publisher = processes.start(MODULE, "publish", segment_name, COUNT)
    for process in (*readers, publisher):
        processes.go(process)
    assert processes.answer(publisher) == [COUNT]
    for reader in readers:
        end, whole, torn, lapped, half = processes.answer(reader)
        assert end == COUNT
        assert torn == 0 and half == 0
        assert whole > 0 and lapped > 0, "the race took place"


def test_the_gating_reader_gets_every_record(segment_name: str, processes: Children) -> None:
    create_control(segment_name + ".control", DIGEST, IDENTITY)
    _, ring = create_broadcast(segment_name, RECORD_DTYPE, 64, DIGEST, IDENTITY)
    record_until(ring, 0)
    count = scaled(500_000)
    reader = processes.start(MODULE, "read-gated", segment_name, count)
    publisher = processes.start(MODULE, "publish", segment_name, count)
    processes.go(reader)
    processes.go(publisher)
    assert processes.answer(publisher) == [count]
    assert processes.answer(reader)[:4] == [count, count, 0, 0]


def test_publishers_that_are_killed_are_succeeded(segment_name: str, processes: Children) -> None:
    """Three publishers are killed in mid-flight; another goes on at `published`."""
    reigns, limit = 4, 1 << 50
    _, control = create_control(segment_name + ".control", DIGEST, IDENTITY)
    _, ring = create_broadcast(segment_name, RECORD_DTYPE, 64, DIGEST, IDENTITY)
    record_until(ring, 0)
    reader = processes.start(MODULE, "read-gated", segment_name, limit)
    processes.go(reader)
    publishers = [processes.start(MODULE, "reign", segment_name, limit) for _ in range(2)]
    by_pid = {publisher.pid: publisher for publisher in publishers}
    for publisher in publishers:
        processes.go(publisher)
    for reign in range(1, reigns + 1):
        _wait_until(lambda reign=reign: control.words[EPOCH] >= reign)
        before = int(ring.cursors[PUBLISHED])
        _wait_until(lambda before=before: ring.cursors[PUBLISHED] > before + 100)
        assert control.words[EPOCH] == reign, "one succeeds, not both"
        writer = int(owner(control.lock))
        if reign < reigns:
            os.kill(writer, signal.SIGKILL)
            by_pid[writer].wait()
            replacement = processes.start(MODULE, "reign", segment_name, limit)
            by_pid[replacement.pid] = replacement
            processes.go(replacement)
    control.words[STOP] = 1
    last = by_pid[writer]
    assert processes.answer(last) == [OWNER_DIED]
    total = int(ring.cursors[PUBLISHED])
    _wait_until(lambda: ring.cursors[RECORDED] == total)
    assert total % racers.BATCH == 0


def _wait_until(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.001)
