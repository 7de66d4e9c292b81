"""Goal: a bell is never missed: who publishes sees the sleeper, or the sleeper sees the record.

allowed    asleep, then rung                     the publisher saw the byte
allowed    not asleep at all                     the sleeper saw the record
forbidden  asleep with a record in the queue until the bound ends it
"""

import os

from ringbuf.host import register_barrier
from ringbuf.segment import create_control, create_spsc
from tests.litmus import racers
from tests.litmus.racers import scaled
from tests.shared_memory import DIGEST, IDENTITY, RECORD_DTYPE, Children

COUNT = scaled(20_000)


def test_no_bell_is_missed(segment_name: str, processes: Children) -> None:
    assert register_barrier(), "this kernel has no membarrier: the race is bounded, not closed"
    create_control(segment_name + ".control", DIGEST, IDENTITY)
    create_spsc(segment_name, RECORD_DTYPE, 64, DIGEST, IDENTITY)
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        sides = [
            processes.start(racers.__name__, side, segment_name, COUNT, fd, pass_fds=(fd,))
            for side in ("nap", "disturb")
        ]
        for side in sides:
            processes.go(side)
        taken, sleeps, rung, missed = processes.answer(sides[0])[:4]
    finally:
        os.close(fd)
    assert taken == COUNT
    assert missed == 0
    assert 0 < rung <= sleeps, "the race took place"
