"""Kernel: how much trades before an order: the lots of its price that come first (tags 144, 145).

Before a displayed order: what displayed orders in front of it show; a reserve goes to the back when
it is refreshed. Before a hidden one: everything that displayed orders have, reserves too, and the
hidden ones in front of it. What is looked at is bounded: everybody else waits meanwhile.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.book import HIDDEN, side_number
from shm_exchange.queues import first_of, level_from

NO_SLOT = 0
ENTRY_WALK_MAX = 256  # orders of a queue that the matcher looks at
NOT_COUNTED = -1  # there are more


@cold_kernel
def _walk(market, slot, last, limit):
    """Displayed and open lots of a queue from `slot` on, in front of `last`, and how many orders.

    last: NO_SLOT: the whole queue.
    """
    shown = np.int64(0)
    left = np.int64(0)
    for count in range(limit):
        if slot == last or slot == NO_SLOT:
            return shown, left, count
        order = market.orders[at(slot)]
        shown += np.int64(order["displayed"])
        left += np.int64(order["leaves"])
        slot = np.int64(order["next"])
    return shown, left, limit


@cold_kernel
def lots_ahead(market, level, hidden, last, limit):
    """Lots of a level that trade before the order in `last`; and 1 when there may be more.

    hidden: HIDDEN when that order is hidden, or 0. last: NO_SLOT: it would be the last of its
    queue. limit: of orders in each queue.
    """
    row = market.levels[at(level)]
    first, first_hidden = np.int64(row["first"]), np.int64(row["hidden_first"])
    if hidden == 0:
        shown, _, count = _walk(market, first, last, limit)
        return shown, 1 if count == limit else 0
    _, displayed, count = _walk(market, first, NO_SLOT, limit)
    _, behind, more = _walk(market, first_hidden, last, limit)
    return displayed + behind, 1 if max(count, more) == limit else 0


@cold_kernel
def lots_before(market, slot, limit):
    """Lots that trade before the resting order in `slot`; and 1 when there may be more."""
    order = market.orders[at(slot)]
    hidden = np.int64(order["flags"]) & HIDDEN
    return lots_ahead(market, np.int64(order["level"]), hidden, slot, limit)


@cold_kernel
def say_shares_ahead(market, slot):
    """Note in its tags what trades before the order in `slot` if it rests now: it has a price."""
    order = market.orders[at(slot)]
    number = side_number(np.int64(order["instrument"]), order["side"])
    key = np.int64(order["price"]) ^ market.sides[at(number)]["mirror"]
    level = level_from(market, number, key)
    lots, more = np.int64(0), 0
    if level != 0 and market.orders[at(first_of(market, level))]["price"] == order["price"]:
        hidden = np.int64(order["flags"]) & HIDDEN
        lots, more = lots_ahead(market, level, hidden, NO_SLOT, ENTRY_WALK_MAX)
    market.tags[at(slot)]["shares_ahead"] = NOT_COUNTED if more else lots
