"""Goal: the broadcast ring gives what was published, and says when it cannot.

Method: publisher and readers in one thread, so that each interleaving is chosen; the races are in
tests/litmus.
"""

import numpy as np
import pytest

from ringbuf.broadcast import (
    CLAIMED,
    EMPTY,
    LAPPED,
    NO_GATE,
    PUBLISHED,
    READY,
    RECORDED,
    TORN,
    Broadcast,
    claim,
    overwritten,
    poll,
    publish,
    published,
    read_batch,
    record_until,
)
from tests.shared_memory import RECORD_DTYPE

CAPACITY = 64
CLAIM_STEP = CAPACITY // 8


@pytest.fixture
def ring() -> Broadcast:
    made = Broadcast(np.zeros(32, np.int64), np.zeros(CAPACITY, RECORD_DTYPE))
    made.cursors[RECORDED] = NO_GATE
    return made


def _append(ring: Broadcast, position: int) -> None:
    assert claim(ring, position, 1) == 1
    ring.records[position % CAPACITY]["word_0"] = position
    publish(ring, position + 1)


def test_empty_ring_has_nothing(ring: Broadcast) -> None:
    out = np.zeros(1, RECORD_DTYPE)
    assert poll(ring, 0, out) == EMPTY
    assert published(ring) == 0


def test_readers_see_what_was_published_in_order(ring: Broadcast) -> None:
    out = np.zeros(1, RECORD_DTYPE)
    for position in range(3 * CAPACITY):
        _append(ring, position)
        assert poll(ring, position, out) == READY
        assert out[0]["word_0"] == position
        assert poll(ring, position + 1, out) == EMPTY


def test_nothing_of_a_batch_is_visible_before_its_one_publish(ring: Broadcast) -> None:
    out = np.zeros(1, RECORD_DTYPE)
    assert claim(ring, 0, CAPACITY // 4) == 1
    ring.records[: CAPACITY // 4]["word_0"] = 7
    assert poll(ring, 0, out) == EMPTY
    publish(ring, CAPACITY // 4)
    assert all(poll(ring, position, out) == READY for position in range(CAPACITY // 4))


def test_claim_runs_ahead_by_an_eighth_and_never_decreases(ring: Broadcast) -> None:
    claims = []
    for position in range(2 * CAPACITY):
        _append(ring, position)
        claims.append(int(ring.cursors[CLAIMED]))
        assert position < claims[-1] <= position + 1 + CLAIM_STEP
    assert claims == sorted(claims)
    assert len(set(claims)) <= 2 * CAPACITY / CLAIM_STEP + 1


def test_claim_covers_a_whole_batch(ring: Broadcast) -> None:
    assert claim(ring, 5, CAPACITY // 4) == 1
    assert ring.cursors[CLAIMED] >= 5 + CAPACITY // 4


def test_a_new_publisher_does_not_lower_the_claim(ring: Broadcast) -> None:
    claim(ring, 20, 16)  # its publisher died here, with 20 published
    before = int(ring.cursors[CLAIMED])
    assert claim(ring, 20, 1) == 1
    assert ring.cursors[CLAIMED] == before


def test_a_slow_reader_is_told(ring: Broadcast) -> None:
    out = np.zeros(1, RECORD_DTYPE)
    for position in range(CAPACITY + 1):
        _append(ring, position)
    assert poll(ring, 0, out) == LAPPED
    oldest = int(ring.cursors[CLAIMED]) - CAPACITY
    assert poll(ring, oldest - 1, out) == LAPPED
    assert poll(ring, oldest, out) == READY
    assert out[0]["word_0"] == oldest


def test_a_batch_is_copied_whole_or_not_at_all(ring: Broadcast) -> None:
    """Goal: a batch never has a record of another lap. Method: read it, lap it, read it again."""
    out = np.zeros(4, RECORD_DTYPE)
    assert read_batch(ring, 0, 4, out) == 0
    for position in range(6):
        _append(ring, position)
    assert read_batch(ring, 0, 4, out) == 4
    assert list(out["word_0"]) == [0, 1, 2, 3]
    assert read_batch(ring, 4, 4, out) == 2
    assert list(out["word_0"][:2]) == [4, 5]
    for position in range(6, CAPACITY + 1):
        _append(ring, position)
    assert read_batch(ring, 0, 4, out) == TORN


def test_overwritten_judges_at_the_claim_not_at_the_publish(ring: Broadcast) -> None:
    for position in range(CAPACITY):
        _append(ring, position)
    claim(ring, CAPACITY, 1)
    assert ring.cursors[PUBLISHED] == CAPACITY
    assert overwritten(ring, 0) == 1
    assert overwritten(ring, int(ring.cursors[CLAIMED]) - CAPACITY) == 0


def test_the_gate_holds_the_publisher(ring: Broadcast) -> None:
    record_until(ring, 0)
    for position in range(CAPACITY):
        _append(ring, position)
    assert claim(ring, CAPACITY, 1) == 0
    assert ring.cursors[CLAIMED] == CAPACITY, "a refused claim changes nothing"
    record_until(ring, 3)
    assert claim(ring, CAPACITY, 4) == 0
    assert claim(ring, CAPACITY, 3) == 1
    assert ring.cursors[CLAIMED] == CAPACITY + 3, "never beyond the gate"


def test_what_the_gating_reader_has_not_recorded_is_intact(ring: Broadcast) -> None:
    record_until(ring, 0)
    position = 0
    while claim(ring, position, 1):
        _append(ring, position)
        position += 1
    assert position == CAPACITY
    out = np.zeros(1, RECORD_DTYPE)
    assert [poll(ring, each, out) for each in range(CAPACITY)] == [READY] * CAPACITY
