"""Kernel: lines that the next commands need are on their way while this one is matched.

A command names its order's slot, and events lie one behind the other: what will be touched is known
long before. Nothing here changes what is computed.
"""

import numpy as np

from ringbuf.bits import at, prefetch
from ringbuf.jit import kernel

COMMANDS_AHEAD = 6  # commands between the request for an order's lines and their use
EVENTS_AHEAD = 12


@kernel
def fetch_order(market, commands, index):
    """The order of the command at `commands[index]`."""
    prefetch(market.orders, np.int64(commands[at(index)]["slot"]), 1)


@kernel
def fetch_event(ring, position):
    """The line of an event that will be written soon; the reader's core may have it."""
    prefetch(ring.records, (position + EVENTS_AHEAD) & (len(ring.records) - 1), 1)
