"""Kernel: which events are messages of which stream. A stream is numbered by this alone.

How many messages an event gives to an order session, and to the feed, is a function of the event,
so every gateway numbers every stream alike, and a replay counts as the first run did.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import EventFlag, EventKind

ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
RESTED = int(EventKind.RESTED)
CARRIED = int(EventKind.CARRIED)
EXECUTED = int(EventKind.EXECUTED)
CANCELLED = int(EventKind.CANCELLED)
MODIFIED = int(EventKind.MODIFIED)
REJECTED = int(EventKind.REJECTED)
ACCOUNT = int(EventKind.ACCOUNT)
SYSTEM = int(EventKind.SYSTEM)
LISTED = int(EventKind.LISTED)
INSTRUMENT_STATE = int(EventKind.INSTRUMENT_STATE)
SESSIONS = int(EventKind.SESSIONS)
RESTS = int(EventFlag.RESTS)

HIDDEN = ord("N")  # display
END_OF_DAY = ord("E")  # code of a system event that every session is told


@kernel
def session_messages(event, session):
    """How many sequenced messages the event gives to `session`; 2 when it trades with itself."""
    kind = np.int64(event["kind"])
    if kind == EXECUTED:
        maker = 1 if event["session"] == session else 0
        return maker + (1 if event["taker_session"] == session else 0)
    if kind == ACCEPTED or kind == CANCELLED or kind == REPLACED or kind == REJECTED:
        return 1 if event["session"] == session else 0
    if kind == MODIFIED or kind == ACCOUNT or kind == CARRIED:
        return 1 if event["session"] == session else 0
    if kind == SESSIONS:
        first = np.int64(event["session"])
        return 1 if first <= session < first + np.int64(event["quantity"]) else 0
    if kind == SYSTEM:
        return 1 if np.int64(event["reason"]) & 0xFF == END_OF_DAY else 0
    return 0


@kernel
def feed_messages(event):
    """How many messages the event gives to the feed: 0 or 1."""
    kind = np.int64(event["kind"])
    rests = np.int64(event["flags"]) & RESTS
    shown = event["display"] != HIDDEN
    if kind == EXECUTED or kind == REPLACED:
        return 1
    if kind == ACCEPTED or kind == CANCELLED:
        return 1 if rests != 0 and shown else 0
    if kind == RESTED or kind == CARRIED:
        return 1 if shown else 0
    if kind == MODIFIED:
        return 1 if rests != 0 and shown and event["quantity"] > 0 else 0
    return 1 if kind == SYSTEM or kind == LISTED or kind == INSTRUMENT_STATE else 0


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
def count_messages(market, event):
    """Raise the counters of the streams that the event gives messages to. Replicas only."""
    kind = np.int64(event["kind"])
    if kind == EXECUTED:
        market.sessions[at(np.int64(event["session"]))]["messages"] += 1
        market.sessions[at(np.int64(event["taker_session"]))]["messages"] += 1
    elif kind == SESSIONS or kind == SYSTEM:
        if kind == SESSIONS or np.int64(event["reason"]) & 0xFF == END_OF_DAY:
            _count_for_many(market, event, kind)
    elif session_messages(event, np.int64(event["session"])):
        market.sessions[at(np.int64(event["session"]))]["messages"] += 1
    market.scalars[0]["feed_messages"] += feed_messages(event)


@cold_kernel
def count_in(events, count, session):
    """Messages that events[0:count] give to `session`."""
    total = 0
    for index in range(count):
        total += session_messages(events[at(index)], session)
    return total
