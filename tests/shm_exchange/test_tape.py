"""Goal: a tape plays to its end through any ring, and slots go round as in a gateway.

Method: one tape through rings of several sizes, gated, against the events of a large one; slots
against a list kept by hand.
"""

import numpy as np
import pytest

from ringbuf.broadcast import RECORDED, Broadcast
from shm_exchange.flow import generate
from shm_exchange.flow_commands import SOURCE, Tape, market_of, tape_of
from shm_exchange.messages import EVENT_DTYPE, EventKind
from shm_exchange.tape import drain, play, reuse_slots


def play_through(tape: Tape, capacity: int) -> np.ndarray:
    """All events, read by a gating reader; the ring is full most of the time."""
    market = market_of(tape)
    ring = Broadcast(np.zeros(32, np.int64), np.zeros(capacity, EVENT_DTYPE))
    copies = np.zeros(1 << 16, EVENT_DTYPE)
    done = position = 0
    while done < len(tape.commands) or position < int(market.scalars[0]["position"]):
        start = int(market.scalars[0]["position"])
        done = play(market, tape.commands, done, len(tape.commands), SOURCE, ring, start, 64)
        position = drain(ring, position, 2, copies)
        assert int(ring.cursors[RECORDED]) == position
    return copies[:position].copy()


@pytest.mark.parametrize("capacity", [64, 256, 4096])
def test_a_gated_ring_loses_nothing(capacity: int) -> None:
    """Every event of every command, in order, whatever the room."""
    tape = tape_of(generate(1_000, 3))
    events = play_through(tape, capacity)
    whole = play_through(tape, 1 << 16)
    plain = events[events["kind"] != EventKind.CONTINUED]
    names = ("kind", "source_next", "price", "quantity", "slot", "user_ref", "leaves")
    for name in names:
        assert np.array_equal(plain[name], whole[name]), name


def test_an_index_comes_back_after_the_lag() -> None:
    """Last in, first out, and not before `lag` messages have passed since the end."""
    entered = np.array([0, 1, 2, 10, 11, 12, 13])
    ended = np.array([3, 4, 1 << 62, 12, 1 << 62, 1 << 62, 1 << 62])
    slots, stack = np.zeros(7, np.int64), np.zeros(7, np.int64)
    by_end = np.argsort(ended, kind="stable")
    count = reuse_slots(entered, ended, by_end, 7, slots, stack)
    # At 10 the index of the first order is free, at 11 that of the second, then none.
    assert (slots.tolist(), count) == ([0, 1, 2, 0, 1, 3, 4], 5)
    reuse_slots(entered, ended, by_end, 5, slots, stack)
    assert slots.tolist() == [0, 1, 2, 1, 0, 3, 4]
