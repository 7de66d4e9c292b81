"""Kernel: the occupied price levels of a side, one after the other, best first. Changes nothing."""

import numpy as np

from ringbuf.bits import at, shift_left, trailing_zeros
from ringbuf.jit import cold_kernel


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
