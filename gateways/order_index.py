"""Kernel: (session, channel, UserRefNum) -> slot, for every live order of every session.

An open-addressed table. Eight consecutive numbers of a session share a bucket of neighbouring
cells, so that a session's orders, which come in sequence, are found in one or two cache lines,
while different sessions are spread over the table. Deleting moves later cells up: no tombstones.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.bits import at, mix, shift_left
from ringbuf.jit import cold_kernel, kernel
from ringbuf.state import State
from shm_exchange.market import RESTING, sparse

NO_KEY = 0
NO_SLOT = 0


@State.register
class OrderIndex(NamedTuple):
    """Private to one gateway."""

    keys: np.ndarray  # int64[capacity], a power of two; 0 = empty
    slots: np.ndarray  # int32[capacity]


@kernel
def order_key(session, channel, user_ref):
    """Key of an order; never 0, because UserRefNums begin at 1 (0 gets a key too: bit 62)."""
    return (1 << 62) | (session << 40) | (channel << 32) | user_ref


@kernel
def _home(index, key):
    return (shift_left(mix(key >> 3), 3) | (key & 7)) & (len(index.keys) - 1)


@kernel
def find_order(index, key):
    """The slot of `key`, or NO_SLOT."""
    mask = len(index.keys) - 1
    cell = _home(index, key)
    while index.keys[at(cell)] != NO_KEY:
        if index.keys[at(cell)] == key:
            return np.int64(index.slots[at(cell)])
        cell = (cell + 1) & mask
    return NO_SLOT


@kernel
def insert_order(index, key, slot):
    """Enter `key` unless it is there already; 1 when it was entered."""
    mask = len(index.keys) - 1
    cell = _home(index, key)
    while index.keys[at(cell)] != NO_KEY:
        if index.keys[at(cell)] == key:
            return 0
        cell = (cell + 1) & mask
    index.keys[at(cell)] = key
    index.slots[at(cell)] = slot
    return 1


@kernel
def remove_order(index, key, slot):
    """Remove `key` if it leads to `slot`; 1 when it did."""
    mask = len(index.keys) - 1
    cell = _home(index, key)
    while index.keys[at(cell)] != key:
        if index.keys[at(cell)] == NO_KEY:
            return 0
        cell = (cell + 1) & mask
    if index.slots[at(cell)] != slot:
        return 0
    empty = cell
    while True:
        cell = (cell + 1) & mask
        moved = index.keys[at(cell)]
        if moved == NO_KEY:
            break
        # A cell may fill the gap only if its home is not between the gap and itself.
        if ((cell - _home(index, moved)) & mask) >= ((cell - empty) & mask):
            index.keys[at(empty)] = moved
            index.slots[at(empty)] = index.slots[at(cell)]
            empty = cell
    index.keys[at(empty)] = NO_KEY
    return 1


@cold_kernel
def index_slots(index, orders, first, count):
    """Enter the live orders among `count` slots from `first` on."""
    for slot in range(first, first + count):
        order = orders[slot]
        if order["state"] == RESTING:
            session = np.int64(order["session"])
            channel = np.int64(order["user_ref_index"])
            insert_order(index, order_key(session, channel, np.int64(order["user_ref"])), slot)


def create_order_index(capacity: int) -> OrderIndex:
    """An empty table; `capacity`, a power of two, at least twice the orders it will hold.

    All its pages exist from the beginning: orders fall anywhere in it, and the first million of
    them would wait for a page, two to three microseconds on a virtual machine, with every eighth.
    """
    index = OrderIndex(keys=sparse(np.int64, capacity), slots=sparse(np.int32, capacity))
    index.keys[:] = NO_KEY
    index.slots[:] = NO_SLOT
    return index
