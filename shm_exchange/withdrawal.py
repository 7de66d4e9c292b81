"""Kernel: a resting order that its owner did not cancel by itself leaves the market."""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.book import end_order, remove
from shm_exchange.emit import emit_cancelled
from shm_exchange.messages import EventFlag

GONE = int(EventFlag.DONE | EventFlag.RESTS | EventFlag.LONG_FORM)


@cold_kernel
def withdraw(market, slot, reason, cause, source_next, ring, position):
    """Cancel the whole order in `slot`, with one event at `position`. cause: Cause."""
    leaves = np.int64(market.orders[at(slot)]["leaves"])
    remove(market, slot)
    end_order(market, slot)
    event = emit_cancelled(market, slot, leaves, reason, GONE, source_next, ring, position)
    event["cause"] = cause
