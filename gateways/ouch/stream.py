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
    OVERFLOWED,
    REPLAYING,
    commit_output,
    outbound_size,
    reserve_output,
)
from gateways.mailbox import post_outward
from gateways.ouch.copies import encode_copy, side_of
from gateways.ouch.messages import COPY_SIZE, OUTBOUND_SIZE_MAX
from gateways.ouch.order_times import follow_times
from gateways.ouch.outbound import MAKER, TAKER, encode
from gateways.ouch.state import (
    EVENTS_PER_PASS,
    SETTING_COPIES,
    SETTING_ENGINE,
    TAKEN_DUE,
    UNSETTLED,
)
from gateways.packets import HEADER_SIZE
from gateways.soupbintcp import LOGIN_ACCEPTED_SIZE, write_login_accepted
from ringbuf.bits import at, copy_bytes
from ringbuf.broadcast import TORN, read_batch
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.drop_copy import NOBODY, first_listener, hears, next_listener, told_session
from shm_exchange.groups import whole_groups
from shm_exchange.messages import EventKind
from shm_exchange.order_tags import tags_of
from shm_exchange.streams import is_two_sided, session_messages

SESSIONS = int(EventKind.SESSIONS)
SYSTEM = int(EventKind.SYSTEM)
MESSAGE_SIZE_MAX = HEADER_SIZE + COPY_SIZE + OUTBOUND_SIZE_MAX
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
        pump.tags,
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


@cold_kernel
def _write_copies(pump, number, owner, event, position):
    """What the event says to `owner`, to somebody who hears him; FULL when there is no room."""
    for place in range(session_messages(event, owner)):
        offset = reserve_output(pump.connections, number, MESSAGE_SIZE_MAX)
        if offset < 0:
            return FULL
        size = encode_copy(
            event,
            pump.tags,
            position,
            side_of(event, owner, place),
            pump.market.instruments,
            pump.settings[SETTING_ENGINE],
            pump.names[at(owner)],
            pump.connections.outbound,
            offset,
        )
        commit_output(pump.connections, number, size)
        pump.connections.rows[at(number)]["next_number"] += 1
    return SENT


@cold_kernel
def _write_heard(pump, number, session, event, position):
    """The same, whoever is told; there is room."""
    sessions = pump.market.sessions
    for place in range(2):
        owner = told_session(event, place)
        if owner != NOBODY and hears(sessions, session, owner):
            _write_copies(pump, number, owner, event, position)


@cold_kernel
def _deliver_copies(pump, event, position):
    """Send what an event says to those who hear whom it is about."""
    sessions = pump.market.sessions
    for place in range(2):
        owner = told_session(event, place)
        if owner == NOBODY:
            continue
        listener = first_listener(sessions, owner)
        while listener != NOBODY:
            number = np.int64(pump.by_session[at(listener)]) - 1
            if number >= 0 and pump.connections.rows[at(number)]["state"] == LIVE:
                if _write_copies(pump, number, owner, event, position) == FULL:
                    _give_up(pump, number)
            listener = next_listener(sessions, listener)


@kernel
def _write_all(pump, number, session, event, position):
    """Everything that the event says to the session; FULL, and nothing, when there is no room."""
    if reserve_output(pump.connections, number, 2 * MESSAGE_SIZE_MAX) < 0:
        return FULL
    if is_two_sided(np.int64(event["kind"])):
        if event["session"] == session:
            _write(pump, number, event, position, MAKER)
        if event["taker_session"] == session:
            _write(pump, number, event, position, TAKER)
    elif session_messages(event, session):
        _write(pump, number, event, position, MAKER)
    if pump.market.sessions[at(session)]["drop_copy"]:
        _write_heard(pump, number, session, event, position)
    return SENT


@kernel
def _deliver_to(pump, session, event, position, which):
    """Send one message of a live event, if the session is here and live."""
    number = np.int64(pump.by_session[at(session)]) - 1
    if number < 0 or pump.connections.rows[at(number)]["state"] != LIVE:
        return
    if _write(pump, number, event, position, which) == FULL:
        _give_up(pump, number)


@cold_kernel
def _give_up(pump, number):
    """The client does not read: nothing more is written to it, and the next pass closes it."""
    pump.connections.rows[at(number)]["state"] = OVERFLOWED
    pump.words[UNSETTLED] = 1


@cold_kernel
def _deliver_to_many(pump, event, position):
    for number in range(len(pump.connections.rows)):
        row = pump.connections.rows[at(number)]
        if row["state"] == LIVE and session_messages(event, np.int64(row["session"])):
            if _write(pump, number, event, position, MAKER) == FULL:
                _give_up(pump, number)


@kernel
def deliver(pump, events, index, position):
    """Send an event that was just applied to the sessions it concerns."""
    event = events[at(index)]
    tags_of(pump.tags, events, index)
    kind = np.int64(event["kind"])
    session = np.int64(event["session"])
    if is_two_sided(kind):
        _deliver_to(pump, session, event, position, MAKER)
        _deliver_to(pump, np.int64(event["taker_session"]), event, position, TAKER)
    elif kind == SESSIONS or kind == SYSTEM:
        _deliver_to_many(pump, event, position)
    elif session_messages(event, session):
        _deliver_to(pump, session, event, position, MAKER)
        if event["continuations"] != 0:
            follow_times(pump, event, session)
    if pump.settings[SETTING_COPIES] != 0:
        _deliver_copies(pump, event, position)


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


@kernel
def room_for_chunk(pump, number):
    """1 when the connection's buffer has room for a whole chunk: asked for before it is ordered."""
    row = pump.connections.rows[at(number)]
    used = np.int64(row["out_end"]) - np.int64(row["out_start"])
    return 1 if used + len(pump.replay) <= outbound_size(pump.connections) else 0


@cold_kernel
def take_chunk(pump):
    """Copy the chunk of pump.letter[0] into its connection's buffer, if it is still wanted.

    Returns the number of a connection whose stream cannot be had, or -1.
    """
    chunk = pump.letter[0]
    number = np.int64(chunk["connection"])
    row = pump.connections.rows[at(number)]
    wanted = row["state"] == REPLAYING and row["serial"] == chunk["serial"]
    lost = wanted and chunk["detail"] != 0
    if wanted and not lost:
        size = np.int64(chunk["count"])
        offset = reserve_output(pump.connections, number, size)
        assert offset >= 0
        copy_bytes(pump.connections.outbound, offset, pump.replay, 0, size)
        commit_output(pump.connections, number, size)
        row["next_number"] = chunk["number"]
        row["position"] = chunk["position"]
        row["state"] = CATCHING_UP
        pump.words[UNSETTLED] = 1
    pump.words[TAKEN_DUE] = 1
    return number if lost else -1


@cold_kernel
def say_taken(pump):
    """Give the replay buffer back to the Python side, now or, its queue being full, next pass."""
    pump.letter[0]["kind"] = letters.TAKEN
    if post_outward(pump.mailbox, pump.letter):
        pump.words[TAKEN_DUE] = 0


@cold_kernel
def catch_up(pump, number):
    """Send what the ring's events say to the session, as long as there is room: 0 to be dropped."""
    row = pump.connections.rows[at(number)]
    session = np.int64(row["session"])
    end = np.int64(pump.market.scalars[0]["position"])
    position = np.int64(row["position"])
    if position > end:
        return 1  # the replay has read what we have yet to apply, and must not send again
    while position < end:
        limit = min(end - position, EVENTS_PER_PASS)
        count = read_batch(pump.ring, position, limit, pump.passed)
        if count == TORN:
            row["position"] = position
            if not room_for_chunk(pump, number):
                return 1
            row["state"] = REPLAYING
            return ask_replay(pump, number, position, end, 0)
        count = whole_groups(pump.passed, count)
        for offset in range(count):
            tags_of(pump.tags, pump.passed, offset)
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
