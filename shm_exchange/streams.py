"""Kernel: which events are messages of which stream. A stream is numbered by this alone.

How many messages an event gives to an order session is a function of the event; how many it gives
to the feed, of the event and the order that it is about, as the replica has it before the event.
So every gateway numbers every stream alike, and a replay counts as the first run did.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.drop_copy import NOBODY, count_copies, hears, told_session
from shm_exchange.market import RESTING
from shm_exchange.messages import EventFlag, EventKind

ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
RESTED = int(EventKind.RESTED)
CARRIED = int(EventKind.CARRIED)
EXECUTED = int(EventKind.EXECUTED)
CANCELLED = int(EventKind.CANCELLED)
RESTATED = int(EventKind.RESTATED)
MODIFIED = int(EventKind.MODIFIED)
REJECTED = int(EventKind.REJECTED)
ACCOUNT = int(EventKind.ACCOUNT)
SYSTEM = int(EventKind.SYSTEM)
LISTED = int(EventKind.LISTED)
INSTRUMENT_STATE = int(EventKind.INSTRUMENT_STATE)
SESSIONS = int(EventKind.SESSIONS)
BROKEN = int(EventKind.BROKEN)
SELF_MATCHED = int(EventKind.SELF_MATCHED)
PARTICIPANT = int(EventKind.PARTICIPANT)
DONE = int(EventFlag.DONE)
MASS_CANCELLED = int(EventKind.MASS_CANCELLED)
DISABLED = int(EventKind.DISABLED)
ENABLED = int(EventKind.ENABLED)
PROTECTION_SET = int(EventKind.PROTECTION_SET)
QUOTED = int(EventKind.QUOTED)
PROTECTION_FIRED = int(EventKind.PROTECTION_FIRED)
RESTS = int(EventFlag.RESTS)

HIDDEN, ATTRIBUTED = ord("N"), ord("A")  # display
END_OF_DAY = ord("E")  # code of a system event that every session is told


@kernel
def is_two_sided(kind):
    """1 for events that say something to a maker (`session`) and to a taker (`taker_session`)."""
    return 1 if kind == EXECUTED or kind == BROKEN or kind == SELF_MATCHED else 0


@kernel
def session_messages(event, session):
    """How many sequenced messages the event gives to `session`; 2 when it trades with itself."""
    kind = np.int64(event["kind"])
    if is_two_sided(kind):
        maker = 1 if event["session"] == session else 0
        return maker + (1 if event["taker_session"] == session else 0)
    if kind == ACCEPTED or kind == CANCELLED or kind == REPLACED or kind == REJECTED:
        return 1 if event["session"] == session else 0
    if kind == MODIFIED or kind == ACCOUNT or kind == CARRIED or kind == RESTATED:
        return 1 if event["session"] == session else 0
    if kind == MASS_CANCELLED or kind == DISABLED or kind == ENABLED:
        return 1 if event["session"] == session else 0
    if kind == PROTECTION_SET or kind == PROTECTION_FIRED or kind == QUOTED:
        return 1 if event["session"] == session else 0
    if kind == SESSIONS:
        first = np.int64(event["session"])
        return 1 if first <= session < first + np.int64(event["quantity"]) else 0
    if kind == SYSTEM:
        return 1 if np.int64(event["reason"]) & 0xFF == END_OF_DAY else 0
    return 0


@kernel
def is_shown(order):
    """1 when the feed knows the order."""
    return 1 if order["state"] == RESTING and order["display"] != HIDDEN else 0


@kernel
def shown_less(order, event):
    """Displayed lots that CANCELLED or MODIFIED takes away; what is in reserve goes first."""
    displayed = np.int64(order["displayed"])
    kept = np.int64(order["leaves"]) - np.int64(event["quantity"])
    return displayed - min(displayed, kept)


@kernel
def _replaces_shown(order, event):
    """Messages of REPLACED: `U`, `A` or `D`; `D` and `A` when the attribution changes."""
    before = is_shown(order)
    after = np.int64(event["flags"]) & RESTS != 0 and event["display"] != HIDDEN
    if before and after:
        attributed = order["display"] == ATTRIBUTED
        return 1 if attributed == (event["display"] == ATTRIBUTED) else 2
    return 1 if before or after else 0


@kernel
def _of_known_order(order, event, kind):
    """Messages of an event about an order that is there already."""
    if kind == REPLACED:
        return _replaces_shown(order, event)
    if kind == CANCELLED or kind == MODIFIED:
        whole = kind == CANCELLED and np.int64(event["flags"]) & DONE != 0
        return 1 if is_shown(order) and (whole or shown_less(order, event) > 0) else 0
    if kind == SELF_MATCHED:
        return is_shown(order)
    return 1 if order["display"] != HIDDEN else 0


@kernel
def feed_messages(market, event):
    """How many messages the event gives to the feed. market: before the event."""
    kind = np.int64(event["kind"])
    if kind == EXECUTED:
        return 1
    if kind == ACCEPTED:
        return 1 if np.int64(event["flags"]) & RESTS != 0 and event["display"] != HIDDEN else 0
    if kind == CANCELLED or kind == REPLACED or kind == RESTED or kind == MODIFIED:
        return _of_known_order(market.orders[at(np.int64(event["slot"]))], event, kind)
    if kind == CARRIED or kind == RESTATED or kind == SELF_MATCHED:
        return _of_known_order(market.orders[at(np.int64(event["slot"]))], event, kind)
    if kind == SYSTEM or kind == LISTED or kind == INSTRUMENT_STATE or kind == BROKEN:
        return 1
    return np.int64(event["quantity"]) if kind == PARTICIPANT else 0


@cold_kernel
def _count_for_many(market, event, kind):
    first = 0
    count = len(market.sessions)
    if kind == SESSIONS:
        first = np.int64(event["session"])
        count = np.int64(event["quantity"])
    for session in range(first, first + count):
        market.sessions[at(session)]["messages"] += 1


@kernel
def _count_one(sessions, session):
    row = sessions[at(session)]
    row["messages"] += 1
    if row["copies"] != 0:
        count_copies(sessions, session, 1)


@kernel
def count_messages(market, event):
    """Raise the counters of the streams that the event gives messages to. Replicas only."""
    kind = np.int64(event["kind"])
    if is_two_sided(kind):
        _count_one(market.sessions, np.int64(event["session"]))
        _count_one(market.sessions, np.int64(event["taker_session"]))
    elif kind == SESSIONS or kind == SYSTEM:
        if kind == SESSIONS or np.int64(event["reason"]) & 0xFF == END_OF_DAY:
            _count_for_many(market, event, kind)
    elif session_messages(event, np.int64(event["session"])):
        _count_one(market.sessions, np.int64(event["session"]))
    market.scalars[0]["feed_messages"] += feed_messages(market, event)


@cold_kernel
def stream_messages(sessions, event, session):
    """How many messages the event gives to the stream of `session`, copies included: at most 2."""
    total = session_messages(event, session)
    if sessions[at(session)]["drop_copy"]:
        for place in range(2):
            owner = told_session(event, place)
            if owner != NOBODY and hears(sessions, session, owner):
                total += session_messages(event, owner)
    return total


@cold_kernel
def message_owner(sessions, event, session, number):
    """Of the `number`-th message (from 0) that the event gives to a stream: who is told it, and
    which of that session's messages it is. Another owner than `session`: it is a copy.
    """
    own = session_messages(event, session)
    if number < own:
        return session, number
    number -= own
    owner = told_session(event, 0)
    if hears(sessions, session, owner):
        count = session_messages(event, owner)
        if number < count:
            return owner, number
        number -= count
    return told_session(event, 1), number


@cold_kernel
def count_in(sessions, events, count, session):
    """Messages that events[0:count] give to `session`."""
    total = 0
    for index in range(count):
        total += stream_messages(sessions, events[at(index)], session)
    return total
