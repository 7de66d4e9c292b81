"""Kernel: drop copies: sessions that hear all that the other sessions of their firm are told.

A copy is numbered in its listener's own stream, by events and configuration alone, like every
message. `S` is not copied: each session has its own. What a listener itself is told (the answer of
its account query) is not copied to anybody.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import EventKind

SESSIONS = int(EventKind.SESSIONS)
SYSTEM = int(EventKind.SYSTEM)
EXECUTED = int(EventKind.EXECUTED)
BROKEN = int(EventKind.BROKEN)
SELF_MATCHED = int(EventKind.SELF_MATCHED)
NOBODY = -1


@kernel
def told_session(event, place):
    """One of the two sessions (place 0 or 1) that an event may tell something, or NOBODY."""
    kind = event["kind"]
    if kind == SESSIONS or kind == SYSTEM:
        return NOBODY
    if place == 0:
        return np.int64(event["session"])
    two_sided = kind == EXECUTED or kind == BROKEN or kind == SELF_MATCHED
    if not two_sided or event["taker_session"] == event["session"]:
        return NOBODY
    return np.int64(event["taker_session"])


@kernel
def first_listener(sessions, owner):
    """The first drop copy of what `owner` is told, or NOBODY. sessions: SESSION[n]."""
    if owner < 0 or owner >= len(sessions):
        return NOBODY
    return np.int64(sessions[at(owner)]["copies"]) - 1


@kernel
def next_listener(sessions, listener):
    """The drop copy behind one, or NOBODY."""
    return np.int64(sessions[at(listener)]["copies_next"]) - 1


@cold_kernel
def hears(sessions, listener, owner):
    """1 when `listener` gets copies of what `owner` is told."""
    each = first_listener(sessions, owner)
    while each != NOBODY:
        if each == listener:
            return 1
        each = next_listener(sessions, each)
    return 0


@cold_kernel
def count_copies(sessions, owner, count):
    """`owner` was told `count` messages: so are those who hear him. Replicas only."""
    each = first_listener(sessions, owner)
    while each != NOBODY:
        sessions[at(each)]["messages"] += count
        each = next_listener(sessions, each)
