"""Goal: between two processes a queue transfers everything, once, in order.

allowed    every record whole and in its place
forbidden  anything else
"""

import pytest

from ringbuf.segment import create_spsc
from ringbuf.spsc import CONSUMED, PUBLISHED
from tests.litmus import racers
from tests.litmus.racers import scaled
from tests.shared_memory import DIGEST, IDENTITY, RECORD_DTYPE, Children

SIDES = ("produce", "take")


@pytest.mark.parametrize(("capacity", "count"), [(8, 500_000), (1024, 2_000_000)])
def test_the_transfer_is_exact(
    segment_name: str, processes: Children, capacity: int, count: int
) -> None:
    count = scaled(count)
    _, ring = create_spsc(segment_name, RECORD_DTYPE, capacity, DIGEST, IDENTITY)
    sides = [processes.start(racers.__name__, side, segment_name, count) for side in SIDES]
    for side in sides:
        processes.go(side)
    assert [processes.answer(side) for side in sides] == [[count], [count]]
    assert ring.cursors[PUBLISHED] == ring.cursors[CONSUMED] == count
