"""Kernel: which orders are the two sides of a session's quote: our mass quotes (docs/protocols.md).

A place remembers the last order of each quote id and side; the order's tags say whether it is still
that, so nobody takes it out when it ends.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.book import BUY_CODE, TAGS, add_to_hash, user_ref_weight
from shm_exchange.market import QUOTE_IDS, RESTING
from shm_exchange.protection import own_block


@cold_kernel
def _place(market, session, quote_id, side):
    """Subscript in `quotes`; the session has a block."""
    block = np.int64(market.sessions[at(session)]["protections"])
    return 2 * (block * QUOTE_IDS + quote_id - 1) + (0 if side == BUY_CODE else 1)


@cold_kernel
def keep_quote(market, slot):
    """The order in `slot`, which has just got its tags, is this side of its quote from now on."""
    order = market.orders[at(slot)]
    quote_id = np.int64(market.tags[at(slot)]["quote_id"])
    place = _place(market, np.int64(order["session"]), quote_id, np.int64(order["side"]))
    market.quotes[at(place)] = slot


@cold_kernel
def quote_side(market, session, quote_id, side):
    """Slot of the order that rests as this side of a quote, or 0."""
    if market.sessions[at(session)]["protections"] == 0:
        return 0
    slot = np.int64(market.quotes[at(_place(market, session, quote_id, side))])
    order = market.orders[at(slot)]
    if slot == 0 or order["state"] != RESTING or order["session"] != session:
        return 0
    if not order["flags"] & TAGS or market.tags[at(slot)]["quote_id"] != quote_id:
        return 0
    return slot if (order["side"] == BUY_CODE) == (side == BUY_CODE) else 0


@cold_kernel
def begin_quotes(market, event):
    """What QUOTED says: its number and two for each quote are used."""
    session = np.int64(event["session"])
    own_block(market, session)
    row = session * 256 + np.int64(event["user_ref_index"])
    last = np.int64(market.user_refs[at(row)])
    number = np.int64(event["user_ref"]) + 2 * np.int64(event["quantity"])
    market.user_refs[at(row)] = number
    add_to_hash(market, user_ref_weight(row), number - last)
