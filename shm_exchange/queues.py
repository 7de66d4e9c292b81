"""Kernel: walking the queues of resting orders without changing them.

Order of execution within a side: the better price, then displayed before hidden, then time.
"""

import numpy as np

from ringbuf.bits import at, shift_left, trailing_zeros
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.book import HIDDEN, side_number


@cold_kernel
def level_from(market, number, key):
    """The level of the smallest occupied key of a side that is not below `key`, or 0."""
    side = market.sides[at(number)]
    top = np.int64(side["top_shift"])
    while key >> (top + 6) == 0:
        node = np.int64(side["root"])
        shift = top
        word = np.int64(0)
        while True:
            word = market.node_words[at(node)] if shift > 0 else market.leaf_words[at(node)]
            word = word & shift_left(-1, (key >> shift) & 63)
            if word == 0 or shift == 0:
                break
            digit = trailing_zeros(word)
            if digit != (key >> shift) & 63:
                key = ((key >> (shift + 6)) << (shift + 6)) | shift_left(digit, shift)
            node = np.int64(market.node_children[at(64 * node + digit)])
            shift -= 6
        if word != 0:
            return 64 * node + trailing_zeros(word)
        key = ((key >> (shift + 6)) + 1) << (shift + 6)  # nothing more below this node
    return 0


@kernel
def first_of(market, level):
    """The order of an occupied level that trades first."""
    row = market.levels[at(level)]
    first = np.int64(row["first"])
    return first if first else np.int64(row["hidden_first"])


@cold_kernel
def behind(market, slot):
    """The order behind one in the queue of its level, or 0."""
    order = market.orders[at(slot)]
    if order["next"] or order["flags"] & HIDDEN:
        return np.int64(order["next"])
    return np.int64(market.levels[at(np.int64(order["level"]))]["hidden_first"])


@cold_kernel
def first_within(market, number, key, worst):
    """The first order of the first occupied level of a side from `key` to `worst`, or 0."""
    level = level_from(market, number, key) if key <= worst else 0
    if level == 0:
        return 0
    first = first_of(market, level)
    price = np.int64(market.orders[at(first)]["price"])
    return first if price ^ market.sides[at(number)]["mirror"] <= worst else 0


@cold_kernel
def first_from(market, number, key):
    """The first order of the first occupied level from `key` of side `number` on, or 0."""
    while number < len(market.sides):
        level = level_from(market, number, key)
        if level:
            return first_of(market, level)
        number += 1
        key = 0
    return 0


@cold_kernel
def following(market, slot):
    """The order behind one, over all queues of all instruments, or 0."""
    next_slot = behind(market, slot)
    if next_slot:
        return next_slot
    order = market.orders[at(slot)]
    number = side_number(np.int64(order["instrument"]), order["side"])
    key = np.int64(order["price"]) ^ market.sides[at(number)]["mirror"]
    return first_from(market, number, key + 1)


@cold_kernel
def available(market, slot, wanted):
    """Lots that the WORKING order in `slot` could trade at once; counts no further than `wanted`.

    Looks at no more orders than it wants lots.
    """
    order = market.orders[at(slot)]
    number = side_number(np.int64(order["instrument"]), order["side"]) ^ 1
    side = market.sides[at(number)]
    worst = np.int64(order["price"]) ^ side["mirror"]
    key = np.int64(side["best"])
    total = np.int64(0)
    while total < wanted:
        maker = first_within(market, number, key, worst)
        if maker == 0:
            break
        key = (np.int64(market.orders[at(maker)]["price"]) ^ side["mirror"]) + 1
        while maker and total < wanted:
            total += np.int64(market.orders[at(maker)]["leaves"])
            maker = behind(market, maker)
    return min(total, wanted)
