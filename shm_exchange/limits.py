"""Kernel: what a session may do at most. Gateways check it before an order goes to the market.

A limit is configured, and an operator may set another one while the session trades: LIMITS says so
to every gateway, and it outlives restarts.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.emit import emit_ignored, new_event
from shm_exchange.market import LIMIT_COUNT
from shm_exchange.messages import EventKind, Ignored

LIMITS = int(EventKind.LIMITS)
UNKNOWN_SESSION = int(Ignored.UNKNOWN_SESSION)
AS_CONFIGURED = 0  # in Market.limits; -1: no limit


@cold_kernel
def set_limit(market, session, which, value):
    """value: the limit, AS_CONFIGURED, or negative for none."""
    market.limits[at(session * LIMIT_COUNT + which)] = max(-1, value)


@cold_kernel
def limit_session(market, command, source_next, ring, position):
    """The command LIMITS: reason = which, client_order_id_0 = value."""
    session = np.int64(command["session"])
    which = np.int64(command["reason"])
    if session >= len(market.sessions) or which >= LIMIT_COUNT:
        return emit_ignored(market, command, UNKNOWN_SESSION, 0, source_next, ring, position)
    value = np.int64(command["client_order_id_0"])
    set_limit(market, session, which, value)
    event = new_event(market, ring, position, LIMITS, source_next)
    event["session"] = session
    event["reason"] = which
    event["limit"] = value
    return position + 1
