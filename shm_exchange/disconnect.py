"""Kernel: sessions that are gone, and their orders, which go too unless they are to stay.

Cancel on disconnect: per session as configured, with an opt-out per order. One rule serves a
logout, a dead gateway and a restart alike: no session that is logged in nowhere and is configured
so has an order that did not opt out.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.book import remove
from shm_exchange.emit import emit_cancelled, new_event
from shm_exchange.market import FREE, RESTING
from shm_exchange.messages import (
    GATEWAY_LIMIT,
    SLOT_BITS,
    Cause,
    CommandFlag,
    Continuing,
    EventFlag,
    EventKind,
)

CONTINUED = int(EventKind.CONTINUED)
GONE = int(EventFlag.DONE | EventFlag.RESTS | EventFlag.LONG_FORM)
STAY = int(CommandFlag.STAY_ON_DISCONNECT)
DISCONNECT = int(Continuing.DISCONNECT)
REASON_SYSTEM = ord("Z")
CAUSE_DISCONNECT = int(Cause.DISCONNECT)


@cold_kernel
def set_disconnected(market, session):
    """The session is logged in nowhere; its generation stays."""
    row = market.sessions[at(session)]
    row["connected"] = 0
    row["connection"] = -1


@cold_kernel
def disconnect_gateway(market, gateway):
    """All sessions that are logged in at `gateway` are logged in nowhere: it is dead or new."""
    for session in range(len(market.sessions)):
        row = market.sessions[at(session)]
        if row["gateway"] == gateway and row["connected"] != 0:
            set_disconnected(market, session)


@cold_kernel
def _is_to_go(market, order):
    if order["state"] != RESTING or order["flags"] & STAY:
        return 0
    session = market.sessions[at(np.int64(order["session"]))]
    return 1 if session["cancel_on_disconnect"] and session["connected"] == 0 else 0


@cold_kernel
def _anybody_is_affected(market):
    for session in range(len(market.sessions)):
        row = market.sessions[at(session)]
        if row["cancel_on_disconnect"] and row["connected"] == 0 and row["generation"] != 0:
            return 1
    return 0


@cold_kernel
def _emit_continued(market, slot, source_next, ring, position):
    event = new_event(market, ring, position, CONTINUED, source_next)
    event["slot"] = slot
    event["reason"] = DISCONNECT
    scalars = market.scalars[0]
    scalars["continuing"] = slot
    scalars["continuing_kind"] = DISCONNECT
    scalars["continuing_next"] = source_next
    return position + 1


@cold_kernel
def cancel_orders(market, slot, source_next, ring, position, limit):
    """Cancel the orders of all sessions that are gone, from `slot` on.

    Looks at every slot that was ever used. Stops before `limit` with CONTINUED. Returns the
    position behind the last event.
    """
    if not _anybody_is_affected(market):
        return position
    for gateway in range(slot >> SLOT_BITS, GATEWAY_LIMIT):
        first = gateway << SLOT_BITS
        end = first + np.int64(market.gateways[at(gateway)]["slots_high_water"])
        for each in range(max(slot, first), end):
            order = market.orders[at(each)]
            if not _is_to_go(market, order):
                continue
            if position >= limit:
                return _emit_continued(market, each, source_next, ring, position)
            leaves = np.int64(order["leaves"])
            remove(market, each)
            order["leaves"] = 0
            order["displayed"] = 0
            order["state"] = FREE
            reason = REASON_SYSTEM
            event = emit_cancelled(market, each, leaves, reason, GONE, source_next, ring, position)
            event["cause"] = CAUSE_DISCONNECT
            position += 1
    return position
