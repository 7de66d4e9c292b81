"""Pump: a session's sequenced stream on its way out: live, catching up, or replayed.

A connection is LIVE when the next message of its session is the next it must be sent. Before that
it is CATCHING_UP, and runs over the ring's events by itself; what is no longer in the ring comes
in chunks from the Python side (REPLAYING), which reads the journal.
"""

import numpy as np

from gateways import mailbox as letters
from gateways.connection import (
    CATCHING_UP,
    LIVE,
    REPLAYING,
    commit_output,
    reserve_output,
)
from gateways.mailbox import post_outward
from gateways.ouch.messages import OUTBOUND_SIZE_MAX
from gateways.ouch.outbound import MAKER, TAKER, encode
from gateways.ouch.state import (
    CHUNK_WAITS,
    EVENTS_PER_PASS,
    SETTING_ENGINE,
    UNSETTLED,
)
from gateways.packets import HEADER_SIZE
from gateways.soupbintcp import LOGIN_ACCEPTED_SIZE, write_login_accepted
from ringbuf.bits import at, copy_bytes
from ringbuf.broadcast import TORN, read_batch
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import EventKind
from shm_exchange.streams import session_messages

EXECUTED = int(EventKind.EXECUTED)
SESSIONS = int(EventKind.SESSIONS)
SYSTEM = int(EventKind.SYSTEM)
MESSAGE_SIZE_MAX = HEADER_SIZE + OUTBOUND_SIZE_MAX
NO_POSITION = -1

# Results of the functions that write to a connection
SENT, FULL = 1, 0


@kernel
def _write(pump, number, event, position, which):
    """Encode one message into the connection's buffer; FULL when there is no room."""
    offset = reserve_output(pump.connections, number, MESSAGE_SIZE_MAX)
    if offset < 0:
        return FULL
    size = encode(
        event,
        position,
        which,
        pump.market.instruments,
        pump.settings[SETTING_ENGINE],
        pump.connections.outbound,
        offset,
    )
    commit_output(pump.connections, number, size)
    pump.connections.rows[at(number)]["next_number"] += 1
    return SENT


@kernel
def _write_all(pump, number, session, event, position):
    """Everything that the event says to the session; FULL, and nothing, when there is no room."""
    if reserve_output(pump.connections, number, 2 * MESSAGE_SIZE_MAX) < 0:
        return FULL
    if event["kind"] == EXECUTED:
        if event["session"] == session:
            _write(pump, number, event, position, MAKER)
        if event["taker_session"] == session:
            _write(pump, number, event, position, TAKER)
    elif session_messages(event, session):
        _write(pump, number, event, position, MAKER)
    return SENT


@kernel
def _deliver_to(pump, session, event, position, which):
    """Send one message of a live event; the number of a connection whose buffer is full, or -1."""
    number = np.int64(pump.by_session[at(session)]) - 1
    if number < 0 or pump.connections.rows[at(number)]["state"] != LIVE:
        return -1
    return number if _write(pump, number, event, position, which) == FULL else -1


@cold_kernel
def _deliver_to_many(pump, event, position):
    full = -1
    for number in range(len(pump.connections.rows)):
        row = pump.connections.rows[at(number)]
        if row["state"] == LIVE and session_messages(event, np.int64(row["session"])):
            if _write(pump, number, event, position, MAKER) == FULL:
                full = number
    return full


@kernel
def deliver(pump, event, position):
    """Send an event that was just applied to the sessions it concerns.

    Returns -1, or the number of a connection whose buffer is full (of two, either).
    """
    kind = np.int64(event["kind"])
    session = np.int64(event["session"])
    if kind == EXECUTED:
        full = _deliver_to(pump, session, event, position, MAKER)
        taker = np.int64(event["taker_session"])
        return max(full, _deliver_to(pump, taker, event, position, TAKER))
    if kind == SESSIONS or kind == SYSTEM:
        return _deliver_to_many(pump, event, position)
    if session_messages(event, session):
        return _deliver_to(pump, session, event, position, MAKER)
    return -1


@cold_kernel
def welcome(pump, number, generation, position):
    """The login's event is back: accept it on the wire, and begin the stream where it was asked.

    position: behind the event. Returns 1, or 0 when the Python side cannot be reached.
    """
    row = pump.connections.rows[at(number)]
    session = np.int64(row["session"])
    count = np.int64(pump.market.sessions[at(session)]["messages"])
    asked = np.int64(row["asked"])
    first = count + 1 if asked == 0 or asked > count + 1 else asked
    row["generation"] = generation
    row["logged_in"] = 1
    row["next_number"] = first
    scalars = pump.market.scalars[0]
    offset = reserve_output(pump.connections, number, LOGIN_ACCEPTED_SIZE)
    write_login_accepted(
        pump.connections.outbound, offset, scalars["stream_0"], scalars["stream_1"], first
    )
    commit_output(pump.connections, number, LOGIN_ACCEPTED_SIZE)
    if first > count:
        row["state"] = LIVE
        return 1
    row["state"] = REPLAYING
    return ask_replay(pump, number, NO_POSITION, position, count)


@cold_kernel
def ask_replay(pump, number, position, end_position, count):
    """Ask the Python side for the messages from the connection's next number on.

    position: the event to begin with, or NO_POSITION: to be found, by counting back from
    end_position, where the session had `count` messages.
    """
    row = pump.connections.rows[at(number)]
    letter = pump.letter[0]
    letter["kind"] = letters.REPLAY
    letter["connection"] = number
    letter["session"] = row["session"]
    letter["number"] = row["next_number"]
    letter["position"] = position
    letter["end_position"] = end_position
    letter["count"] = count
    letter["serial"] = row["serial"]
    return post_outward(pump.mailbox, pump.letter)


@cold_kernel
def take_chunk(pump):
    """Copy the chunk that waits into its connection's buffer, once there is room."""
    chunk = pump.chunk[0]
    number = np.int64(chunk["connection"])
    row = pump.connections.rows[at(number)]
    size = np.int64(chunk["count"])
    wanted = row["state"] == REPLAYING and row["serial"] == chunk["serial"]
    if wanted:
        offset = reserve_output(pump.connections, number, size)
        if offset < 0:
            return
        copy_bytes(pump.connections.outbound, offset, pump.replay, 0, size)
        commit_output(pump.connections, number, size)
        row["next_number"] = chunk["number"]
        row["position"] = chunk["position"]
        row["state"] = CATCHING_UP
        pump.words[UNSETTLED] = 1
    pump.words[CHUNK_WAITS] = 0
    letter = pump.letter[0]
    letter["kind"] = letters.TAKEN
    post_outward(pump.mailbox, pump.letter)


@cold_kernel
def catch_up(pump, number):
    """Send what the ring's events say to the session, as long as there is room: 0 to be dropped."""
    row = pump.connections.rows[at(number)]
    session = np.int64(row["session"])
    end = np.int64(pump.market.scalars[0]["position"])
    position = np.int64(row["position"])
    while position < end:
        limit = min(end - position, EVENTS_PER_PASS)
        count = read_batch(pump.ring, position, limit, pump.passed)
        if count == TORN:
            row["state"] = REPLAYING
            row["position"] = position
            return ask_replay(pump, number, position, end, 0)
        for offset in range(count):
            done = _write_all(pump, number, session, pump.passed[at(offset)], position)
            if done == FULL:
                row["position"] = position
                return 1
            position += 1
    row["position"] = position
    row["state"] = LIVE
    return 1


@kernel
def is_open(row):
    """1 while the connection's client may be sent something."""
    state = row["state"]
    return 1 if state == LIVE or state == CATCHING_UP or state == REPLAYING else 0
