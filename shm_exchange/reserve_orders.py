"""Kernel: the displayed part of a reserve order, and its refresh (OUCH 5.0, MaxFloor).

When the displayed part is used up and something is left, the next part goes to the back of the
displayed queue under a new reference number: RESTATED, which replicas repeat.
"""

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.book import remove, rest
from shm_exchange.emit import emit_order
from shm_exchange.messages import EventKind

RESTATED = int(EventKind.RESTATED)
REASON_REFRESH = ord("R")


@cold_kernel
def refresh(market, slot, position):
    """Show the next part of the reserve order in `slot`; `position` is its new reference."""
    remove(market, slot)
    market.orders[at(slot)]["reference"] = position
    rest(market, slot)


@cold_kernel
def emit_refresh(market, slot, source_next, ring, position):
    """Refresh and say so; returns the position behind."""
    refresh(market, slot, position)
    order = market.orders[at(slot)]
    event = emit_order(market, slot, RESTATED, source_next, ring, position)
    event["reason"] = REASON_REFRESH
    event["reference"] = order["reference"]
    event["leaves"] = order["leaves"]
    event["displayed"] = order["displayed"]
    return position + 1
