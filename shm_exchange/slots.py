"""Kernel: a gateway's partition of the order pool: which of its slots are free.

The gateway takes a slot for each new order and gets it back with the order's last event. Last in,
first out: a slot that was just freed is still in the cache.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import kernel
from ringbuf.state import State
from shm_exchange.market import FREE, Market, sparse
from shm_exchange.messages import SLOT_BITS, SLOT_INDEX_MASK

DEPTH, UNUSED, LIMIT, SOURCE = 0, 1, 2, 3  # subscripts of Slots.words
NO_SLOT = 0


@State.register
class Slots(NamedTuple):
    """Private to one gateway."""

    stack: np.ndarray  # int32[limit]: free slots, the next one on top
    words: np.ndarray  # int64[4]: depth of the stack, first index never used, limit, source


@kernel
def take_slot(slots):
    """A free slot, or NO_SLOT when the partition is full."""
    depth = slots.words[DEPTH]
    if depth > 0:
        slots.words[DEPTH] = depth - 1
        return np.int64(slots.stack[at(depth - 1)])
    index = slots.words[UNUSED]
    if index >= slots.words[LIMIT]:
        return NO_SLOT
    slots.words[UNUSED] = index + 1
    return (slots.words[SOURCE] << SLOT_BITS) | index


@kernel
def give_slot(slots, slot):
    """Take back a slot; one of another gateway's partition is none of ours."""
    if slot >> SLOT_BITS != slots.words[SOURCE]:
        return
    depth = slots.words[DEPTH]
    assert depth < slots.words[LIMIT]
    slots.stack[at(depth)] = slot
    slots.words[DEPTH] = depth + 1


def create_slots(market: Market, source: int) -> Slots:
    """The partition of `source` as the replica shows it. Its command ring must have drained."""
    limit = int(market.scalars[0]["slots_per_gateway"])
    slots = Slots(stack=sparse(np.int32, limit), words=np.zeros(4, np.int64))
    used = int(market.gateways[source]["slots_high_water"])
    first = source << SLOT_BITS
    free = np.flatnonzero(market.orders["state"][first : first + used] == FREE)[::-1]
    slots.stack[: len(free)] = first + free
    slots.words[DEPTH] = len(free)
    slots.words[UNUSED] = used
    slots.words[LIMIT] = limit
    slots.words[SOURCE] = source
    assert used <= SLOT_INDEX_MASK
    return slots
