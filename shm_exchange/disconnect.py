"""Kernel: sessions that are gone, and their orders, which go too unless they are to stay.

Cancel on disconnect: per session as configured, with an opt-out per order. One rule serves a
logout, a dead gateway and a restart alike: no session that is logged in nowhere and is configured
so has an order that did not opt out.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.emit import emit_continued
from shm_exchange.messages import REASON_SYSTEM, Cause, CommandFlag, Continuing
from shm_exchange.session_orders import following
from shm_exchange.withdrawal import withdraw

STAY = int(CommandFlag.STAY_ON_DISCONNECT)
DISCONNECT = int(Continuing.DISCONNECT)
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
def _is_gone(session):
    """Whether a session's orders go because it is logged in nowhere. session: SESSION row."""
    return 1 if session["cancel_on_disconnect"] and session["connected"] == 0 else 0


@cold_kernel
def cancel_orders(market, slot, source_next, ring, position, limit):
    """Cancel the orders of all sessions that are gone, from the one in `slot` on (0: all).

    In the order of the sessions, of each the one that rests longest first. Stops before `limit`
    with CONTINUED. Returns the position behind the last event.
    """
    first = np.int64(market.orders[at(slot)]["session"]) if slot != 0 else 0
    for session in range(first, len(market.sessions)):
        if not _is_gone(market.sessions[at(session)]):
            continue
        if slot == 0:
            slot = following(market.session_links, session, 0)
        while slot != 0:
            behind = following(market.session_links, session, slot)
            if not market.orders[at(slot)]["flags"] & STAY:
                if position >= limit:
                    return emit_continued(market, slot, DISCONNECT, source_next, ring, position)
                withdraw(market, slot, REASON_SYSTEM, CAUSE_DISCONNECT, source_next, ring, position)
                position += 1
            slot = behind
    return position
