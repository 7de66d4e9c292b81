"""Kernel: orders that end at a time: a heap of when and which, the earliest on top.

A binary heap from subscript 1 on. An order knows its own place in it (`order.expiry`), so that it
leaves in O(log n) wherever it is. What is due at one time goes by slot. Replicas keep the same heap
from the same events.
"""

import numpy as np

from ringbuf.bits import at, mix, wrapping_add, wrapping_multiply
from ringbuf.jit import cold_kernel, kernel

NANOSECONDS = 1_000_000_000
TOP = 1
_HASH_DUE = -4265267296055464877  # an odd 64-bit constant


@kernel
def expiry_is_due(market, now_ns):
    """1 when some order is to end now or was to end before."""
    return (
        1
        if market.scalars[0]["expiries"] != 0 and market.expiries[at(TOP)]["due_ns"] <= now_ns
        else 0
    )


@kernel
def expiry_weight(due_ns, slot):
    """What an entry of the heap adds to the state hash."""
    return mix(wrapping_add(wrapping_multiply(due_ns, _HASH_DUE), slot))


@kernel
def has_expiry_room(market):
    """1 when one more order may end at a time."""
    return 1 if market.scalars[0]["expiries"] + 1 < len(market.expiries) else 0


@cold_kernel
def _before(market, due_ns, slot, place):
    """1 when (due_ns, slot) comes before the entry at `place`."""
    row = market.expiries[at(place)]
    if due_ns != row["due_ns"]:
        return 1 if due_ns < row["due_ns"] else 0
    return 1 if slot < row["slot"] else 0


@cold_kernel
def _put(market, place, due_ns, slot):
    row = market.expiries[at(place)]
    row["due_ns"] = due_ns
    row["slot"] = slot
    market.orders[at(slot)]["expiry"] = place


@cold_kernel
def _settle(market, place, count, due_ns, slot):
    """Find the entry its place in a heap of `count`: from the gap at `place` up, then down."""
    while place > TOP and _before(market, due_ns, slot, place >> 1):
        above = market.expiries[at(place >> 1)]
        _put(market, place, np.int64(above["due_ns"]), np.int64(above["slot"]))
        place >>= 1
    while 2 * place <= count:
        child = 2 * place
        if child < count:
            other = market.expiries[at(child + 1)]
            if _before(market, np.int64(other["due_ns"]), np.int64(other["slot"]), child):
                child += 1
        if _before(market, due_ns, slot, child):
            break
        below = market.expiries[at(child)]
        _put(market, place, np.int64(below["due_ns"]), np.int64(below["slot"]))
        place = child
    _put(market, place, due_ns, slot)


@cold_kernel
def add_expiry(market, slot, due_ns):
    """The order in `slot` ends at `due_ns`. `has_expiry_room` was asked before."""
    scalars = market.scalars[0]
    count = np.int64(scalars["expiries"]) + 1
    assert count < len(market.expiries)
    scalars["expiries"] = count
    scalars["hash"] = wrapping_add(scalars["hash"], expiry_weight(due_ns, slot))
    _settle(market, count, count, due_ns, slot)


@cold_kernel
def drop_expiry(market, slot):
    """The order in `slot`, which is in the heap, no longer ends by itself."""
    scalars = market.scalars[0]
    place = np.int64(market.orders[at(slot)]["expiry"])
    due_ns = np.int64(market.expiries[at(place)]["due_ns"])
    scalars["hash"] = wrapping_add(scalars["hash"], -expiry_weight(due_ns, slot))
    market.orders[at(slot)]["expiry"] = 0
    count = np.int64(scalars["expiries"])
    scalars["expiries"] = count - 1
    last = market.expiries[at(count)]
    last_due, last_slot = np.int64(last["due_ns"]), np.int64(last["slot"])
    last["due_ns"] = 0
    last["slot"] = 0
    if place != count:
        _settle(market, place, count - 1, last_due, last_slot)
