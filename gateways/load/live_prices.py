"""Kernel: at which prices an order of ours may be live, so that we know who cannot trade.

A message that gives an order a price is counted there from the moment it is sent until its order
is known to be finished, or a message that ends or moves it is sent: that will have been processed
when whatever is sent later arrives. (Between two sessions nothing is certain anyway.) So an order
that crosses none of the other side's prices when it is sent cannot trade when it is entered.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import kernel
from ringbuf.state import State
from shm_exchange.market import sparse

SIDE_BUY = ord("B")
HIGHEST_BUY, LOWEST_SELL, STRANGERS = 0, 1, 2  # subscripts of LivePrices.words


@State.register
class LivePrices(NamedTuple):
    """Private to the driver. A level is a price in ticks above the lowest of the flow."""

    buys: np.ndarray  # int32[levels]
    sells: np.ndarray  # int32[levels]
    counted: np.ndarray  # uint8[messages]: 1 while the message is counted
    words: np.ndarray  # int64[4]: bounds of what is counted; 1: others may have orders too


def create_live_prices(levels: int, messages: int, strangers: bool) -> LivePrices:
    """Nothing is live. strangers: orders of others may be in the book."""
    words = np.array([-1, levels, int(strangers), 0], np.int64)
    return LivePrices(
        buys=sparse(np.int32, levels),
        sells=sparse(np.int32, levels),
        counted=np.zeros(messages, np.uint8),
        words=words,
    )


@kernel
def may_take(live, side, level):
    """1 when an order that is sent now may find somebody to trade with."""
    words = live.words
    if words[STRANGERS]:
        return 1
    if side == SIDE_BUY:
        while words[LOWEST_SELL] < len(live.sells) and live.sells[at(words[LOWEST_SELL])] == 0:
            words[LOWEST_SELL] += 1
        return 1 if words[LOWEST_SELL] <= level else 0
    while words[HIGHEST_BUY] >= 0 and live.buys[at(words[HIGHEST_BUY])] == 0:
        words[HIGHEST_BUY] -= 1
    return 1 if words[HIGHEST_BUY] >= level else 0


@kernel
def count_live(live, index, side, level):
    """Message `index` is sent: its order may soon be live at this price."""
    live.counted[at(index)] = 1
    words = live.words
    if side == SIDE_BUY:
        live.buys[at(level)] += 1
        words[HIGHEST_BUY] = max(words[HIGHEST_BUY], level)
    else:
        live.sells[at(level)] += 1
        words[LOWEST_SELL] = min(words[LOWEST_SELL], level)


@kernel
def count_gone(live, index, side, level):
    """Nothing is open any more at the price that message `index` gave its order."""
    if live.counted[at(index)] == 0:
        return
    live.counted[at(index)] = 0
    if side == SIDE_BUY:
        live.buys[at(level)] -= 1
    else:
        live.sells[at(level)] -= 1
