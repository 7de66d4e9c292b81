"""Goal: a bounded queue loses nothing, repeats nothing and never overwrites.

Method: both sides in one thread, against a list, under hypothesis.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.spsc import (
    CONSUMED,
    EMPTY,
    FULL,
    PUBLISHED,
    READY,
    Spsc,
    consume,
    consumed,
    offer,
    poll,
    publish,
    published,
    room,
)
from tests.shared_memory import RECORD_DTYPE

CAPACITY = 8


def _queue() -> Spsc:
    return Spsc(np.zeros(32, np.int64), np.zeros(CAPACITY, RECORD_DTYPE))


def _record(value: int) -> np.ndarray:
    record = np.zeros(1, RECORD_DTYPE)
    record["word_7"] = value
    return record


def test_offers_until_full_then_refuses() -> None:
    ring = _queue()
    for position in range(CAPACITY):
        assert room(ring, position) == CAPACITY - position
        assert offer(ring, position, _record(position)) == position + 1
    assert offer(ring, CAPACITY, _record(99)) == FULL
    assert ring.cursors[PUBLISHED] == CAPACITY
    assert ring.records["word_7"].tolist() == list(range(CAPACITY)), "a refusal writes nothing"


def test_a_polled_record_is_the_consumers_until_it_is_given_back() -> None:
    ring, out = _queue(), _record(0)
    for position in range(CAPACITY):
        offer(ring, position, _record(position))
    assert poll(ring, 0, out) == READY
    assert room(ring, CAPACITY) == 0
    consume(ring, 1)
    assert room(ring, CAPACITY) == 1
    assert ring.cursors[CONSUMED] == consumed(ring) == 1


def test_a_batch_is_visible_at_its_publish() -> None:
    ring, out = _queue(), _record(0)
    ring.records[:3]["word_7"] = (5, 6, 7)
    assert poll(ring, 0, out) == EMPTY
    publish(ring, 3)
    assert published(ring) == 3
    assert poll(ring, 2, out) == READY and out[0]["word_7"] == 7


@settings(deadline=None)
@given(st.lists(st.sampled_from(("offer", "poll", "consume")), max_size=80))
def test_it_is_a_queue(steps: list[str]) -> None:
    ring, out = _queue(), _record(0)
    produced = taken = given_back = 0
    for step in steps:
        if step == "offer":
            after = offer(ring, produced, _record(produced))
            assert (after == FULL) == (produced - given_back == CAPACITY)
            produced = max(produced, after)
        elif step == "poll":
            code = poll(ring, taken, out)
            assert (code == READY) == (taken < produced)
            if code == READY:
                assert out[0]["word_7"] == taken
                taken += 1
        else:
            given_back = taken
            consume(ring, taken)
        assert room(ring, produced) == CAPACITY - (produced - given_back)


@pytest.mark.parametrize("start", [0, 1 << 40, (1 << 62) - 3])
def test_positions_do_not_wrap(start: int) -> None:
    ring, out = _queue(), _record(0)
    start -= start % CAPACITY
    ring.cursors[PUBLISHED] = ring.cursors[CONSUMED] = start
    assert offer(ring, start, _record(11)) == start + 1
    assert poll(ring, start, out) == READY and out[0]["word_7"] == 11
