"""Pump: the clients of an order gateway: opened, logged in, read, closed.

A client's number is given by the Python side; its session's LOGIN and LOGOUT travel through the
command ring like its orders.
"""

import numpy as np

from gateways import connection as c
from gateways import mailbox as letters
from gateways.mailbox import post_outward
from gateways.ouch.codec import ACCOUNT_QUERY, MASS_QUOTE, OK, decode, is_question
from gateways.ouch.inbound import (
    COMMAND_RECORDS_MAX,
    DISK_SHORT,
    FAULT,
    FOR_MANY,
    SAID,
    blank_command,
    take_request,
)
from gateways.ouch.mass_requests import take_mass_request
from gateways.ouch.order_times import note_times
from gateways.ouch.questions import answer
from gateways.ouch.quote_requests import RECORDS_MAX, take_mass_quote
from gateways.ouch.shares import (
    IS_HELD,
    NOTHING,
    WAITS,
    hold,
    is_to_be_held,
    use_share,
)
from gateways.ouch.state import (
    CLIENTS,
    COMMAND_POSITION,
    COMMAND_PUBLISHED,
    CONTENDED_NS,
    CONTENTION_NS,
    FAULTS,
    HELD,
    LAST_HEARD,
    MESSAGES_CONTENDED,
    MESSAGES_PER_PASS,
    PENDING,
    ROWS_USED,
    SETTING_COPIES,
    SETTING_EPOLL,
    SETTING_REFUSALS,
    SETTING_SOURCE,
    UNSETTLED,
)
from gateways.ouch.stream import welcome
from gateways.packets import (
    CLIENT_HEARTBEAT_TYPE,
    CLIENT_PACKET_LENGTH_MAX,
    DEBUG_TYPE,
    HEADER_SIZE,
    LOGOUT_TYPE,
    UNSEQUENCED_TYPE,
)
from gateways.soupbintcp import NEEDS_MORE, next_packet, write_end_of_session
from ringbuf import spsc
from ringbuf.atomics import load_relaxed
from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from ringbuf.layout import PROCESS_COUNTER, PROCESS_WORDS
from ringbuf.syscalls import (
    EPOLL_CTL_DEL,
    close,
    epoll_ctl,
)
from ringbuf.waiting import ring_one
from shm_exchange.messages import CommandKind, EventKind, Reject
from shm_exchange.replica import shift_source
from shm_exchange.wiring import COUNTER_DISK_SHORT, PROCESS_RECORDER

NO_SPACE = int(Reject.NO_SPACE)
LOGIN = int(CommandKind.LOGIN)
LOGOUT = int(CommandKind.LOGOUT)
LOGGED_IN = int(EventKind.LOGGED_IN)
SECOND_NS = 1_000_000_000
NO_ROOM = -1
WRITER = 0  # process number of the matcher
RECORDER_SHORT = PROCESS_RECORDER * PROCESS_WORDS + PROCESS_COUNTER + COUNTER_DISK_SHORT
PACKET_LENGTH_MAX = CLIENT_PACKET_LENGTH_MAX


@kernel
def publish_commands(pump):
    """Make the commands written so far visible, and wake the matcher if it sleeps."""
    position = pump.words[COMMAND_POSITION]
    if position != pump.words[COMMAND_PUBLISHED]:
        pump.words[COMMAND_PUBLISHED] = position
        spsc.publish(pump.desk.commands, position)
        ring_one(pump.doorbells, pump.bells, WRITER)


@cold_kernel
def _say_session(pump, kind, number, now_ns):
    """LOGIN or LOGOUT of a connection's session; there is room."""
    row = pump.connections.rows[at(number)]
    position = pump.words[COMMAND_POSITION]
    session, generation = np.int64(row["session"]), np.int64(row["generation"])
    command = blank_command(pump.desk, position, kind, session, generation, now_ns)
    command["slot"] = number
    pump.words[COMMAND_POSITION] = position + 1


@cold_kernel
def settle_closed(pump, number, now_ns):
    """Say the LOGOUT that a closed connection owes, then give its number back: 0 = no room yet."""
    row = pump.connections.rows[at(number)]
    if row["logged_in"]:
        if spsc.room(pump.desk.commands, pump.words[COMMAND_POSITION]) < 1:
            return 0
        _say_session(pump, LOGOUT, number, now_ns)
        row["logged_in"] = 0
    letter = pump.letter[0]
    letter["kind"] = letters.CLOSED
    letter["connection"] = number
    letter["session"] = row["session"]
    letter["detail"] = row["asked"]
    if not post_outward(pump.mailbox, pump.letter):
        return 0
    row["state"] = c.UNUSED
    return 1


@cold_kernel
def close_client(pump, number, reason, now_ns):
    """End a connection. Its LOGOUT follows at once, or when the command ring has room.

    What waits to be sent is sent, as far as the socket takes it.
    """
    row = pump.connections.rows[at(number)]
    if row["fd"] < 0:
        return
    c.flush(pump.connections, number, now_ns)
    epoll_ctl(pump.settings[SETTING_EPOLL], EPOLL_CTL_DEL, np.int64(row["fd"]), 0)
    close(np.int64(row["fd"]))
    row["fd"] = -1
    session = np.int64(row["session"])
    if pump.by_session[at(session)] == number + 1:
        pump.by_session[at(session)] = 0
    if reason == c.CLOSE_DISPLACED:
        row["logged_in"] = 0
    if row["pending"]:
        pump.words[HELD if row["pending"] == IS_HELD else PENDING] -= 1
        row["pending"] = NOTHING
    row["asked"] = reason
    row["out_start"] = row["out_end"]
    row["state"] = c.CLOSING
    pump.words[CLIENTS] -= 1
    if reason == c.CLOSE_VIOLATION or reason == c.CLOSE_OUCH or reason == c.CLOSE_SLOW:
        pump.words[FAULTS] += 1
    if not settle_closed(pump, number, now_ns):
        pump.words[UNSETTLED] = 1


@cold_kernel
def end_session(pump, number, now_ns):
    """The day has rolled: `Z`; the client logs in anew. What it has not read by now is lost."""
    offset = c.reserve_output(pump.connections, number, HEADER_SIZE)
    if offset >= 0:
        write_end_of_session(pump.connections.outbound, offset)
        c.commit_output(pump.connections, number, HEADER_SIZE)
    close_client(pump, number, c.CLOSE_ROLLED, now_ns)


@cold_kernel
def open_client(pump, now_ns):
    """A client logged in at the Python side: post its LOGIN."""
    letter = pump.letter[0]
    number = np.int64(letter["connection"])
    c.reset(
        pump.connections,
        number,
        np.int64(letter["fd"]),
        np.int64(letter["session"]),
        np.int64(letter["detail"]),
        np.int64(letter["number"]),
        now_ns,
    )
    pump.words[CLIENTS] += 1
    pump.words[ROWS_USED] = max(pump.words[ROWS_USED], number + 1)
    _say_session(pump, LOGIN, number, now_ns)
    # While it logs in: behind its LOGIN in the command ring.
    pump.connections.rows[at(number)]["position"] = pump.words[COMMAND_POSITION]


@cold_kernel
def logged_in(pump, event, position, now_ns):
    """LOGGED_IN: displace whoever has the session here, and welcome the new one if it is ours."""
    session = np.int64(event["session"])
    number = np.int64(event["slot"])
    is_ours = shift_source(event) == pump.settings[SETTING_SOURCE]
    before = np.int64(pump.by_session[at(session)]) - 1
    if before >= 0 and not (is_ours and before == number):
        close_client(pump, before, c.CLOSE_DISPLACED, now_ns)
    if not is_ours:
        return
    row = pump.connections.rows[at(number)]
    if row["state"] != c.LOGGING_IN or row["session"] != session:
        return  # of an earlier life of this gateway
    pump.by_session[at(session)] = number + 1
    c.watch(pump.settings[SETTING_EPOLL], np.int64(row["fd"]), number, pump.ready)
    if not welcome(pump, number, np.int64(event["generation"]), position + 1):
        close_client(pump, number, c.CLOSE_NO_SESSION, now_ns)


@cold_kernel
def count_refusal(pump, event, now_ns):
    """A request of a session was REJECTED. Whoever is too often, is disconnected.

    That the disk is full is not the session's fault.
    """
    number = np.int64(pump.by_session[at(np.int64(event["session"]))]) - 1
    limit = pump.settings[SETTING_REFUSALS]
    if number < 0 or limit == 0 or event["reason"] == NO_SPACE:
        return
    row = pump.connections.rows[at(number)]
    second = now_ns // SECOND_NS
    if row["refused_second"] != second:
        row["refused_second"] = second
        row["refused"] = 0
    row["refused"] += 1
    if row["refused"] > limit:
        close_client(pump, number, c.CLOSE_REFUSED, now_ns)


@cold_kernel
def _only_listens(pump, number):
    """1 when a drop copy asks for something that is not an account query."""
    session = np.int64(pump.connections.rows[at(number)]["session"])
    listens = pump.market.sessions[at(session)]["drop_copy"]
    return 1 if listens and pump.request[0]["type"] != ACCOUNT_QUERY else 0


@cold_kernel
def login_ignored(pump, event, now_ns):
    """IGNORED of a LOGIN, which ended two matchers: who waits for it is let go."""
    number = np.int64(event["slot"])
    if shift_source(event) != pump.settings[SETTING_SOURCE]:
        return
    row = pump.connections.rows[at(number)]
    if row["state"] == c.LOGGING_IN and row["session"] == event["session"]:
        close_client(pump, number, c.CLOSE_NO_SESSION, now_ns)


@cold_kernel
def _mass_quote(pump, number, offset, result, now_ns):
    """Write the commands of the mass quote at `offset`: 0, or NO_ROOM."""
    row = pump.connections.rows[at(number)]
    position = pump.words[COMMAND_POSITION]
    if spsc.room(pump.desk.commands, position) < RECORDS_MAX:
        return NO_ROOM
    pump.words[COMMAND_POSITION] = position + take_mass_quote(
        pump.market,
        pump.desk,
        pump.connections.inbound,
        offset,
        pump.request[0],
        result,
        position,
        np.int64(row["session"]),
        np.int64(row["generation"]),
        now_ns,
    )
    return 0


@kernel
def _packet(pump, number, kind, offset, length, now_ns):
    """One packet of a client; a reason to close the connection, 0, or NO_ROOM: try it again."""
    row = pump.connections.rows[at(number)]
    if kind == UNSEQUENCED_TYPE:
        request = pump.request[0]
        result = decode(pump.connections.inbound, offset, length, request)
        if result == OK and is_question(request["type"]):
            answer(pump, number)
            return 0
        if pump.settings[SETTING_COPIES] != 0 and _only_listens(pump, number):
            return c.CLOSE_OUCH
        if result == OK and load_relaxed(pump.process_words, RECORDER_SHORT) != 0:
            result = DISK_SHORT
        position = pump.words[COMMAND_POSITION]
        session, generation = np.int64(row["session"]), np.int64(row["generation"])
        said = take_request(
            pump.market, pump.desk, request, result, position, session, generation, now_ns
        )
        if said == FOR_MANY and request["type"] == MASS_QUOTE:
            return _mass_quote(pump, number, offset, result, now_ns)
        if said == FOR_MANY:
            said = take_mass_request(
                pump.market, pump.desk, request, result, position, session, generation, now_ns
            )
        if said == SAID:
            records = pump.desk.commands.records
            behind = np.int64(records[at(position & (len(records) - 1))]["continuations"])
            pump.words[COMMAND_POSITION] = position + 1 + behind
            if behind != 0:
                note_times(pump, number, position)
        return c.CLOSE_OUCH if said == FAULT else 0
    if kind == CLIENT_HEARTBEAT_TYPE or kind == DEBUG_TYPE:
        return 0
    return c.CLOSE_LOGOUT if kind == LOGOUT_TYPE else c.CLOSE_VIOLATION


@kernel
def _portion(pump, number, now_ns):
    """How many packets of a connection one pass handles: fewer when it is not the only one.

    A pass lasts as long as the largest portion, and whoever sends one order waits for a pass.
    """
    words = pump.words
    if words[LAST_HEARD] != number + 1:
        words[LAST_HEARD] = number + 1
        words[CONTENDED_NS] = now_ns + CONTENTION_NS
    return MESSAGES_CONTENDED if now_ns < words[CONTENDED_NS] else MESSAGES_PER_PASS


@kernel
def _read_packets(pump, number, now_ns):
    """Handle a bounded number of packets: NOTHING is left, or something WAITS or IS_HELD."""
    row = pump.connections.rows[at(number)]
    base = number * c.inbound_size(pump.connections)
    end = base + np.int64(row["in_end"])
    for _ in range(_portion(pump, number, now_ns)):
        position = pump.words[COMMAND_POSITION]
        if spsc.room(pump.desk.commands, position) < COMMAND_RECORDS_MAX:
            return WAITS
        offset = base + np.int64(row["in_start"])
        kind, payload, length, after = next_packet(
            pump.connections.inbound, offset, end, PACKET_LENGTH_MAX
        )
        if kind == NEEDS_MORE:
            return NOTHING
        if is_to_be_held(pump, number, now_ns):
            return IS_HELD
        reason = c.CLOSE_VIOLATION
        if kind > 0:
            reason = _packet(pump, number, kind, payload, length, now_ns)
            if reason == NO_ROOM:
                return WAITS
            row["in_start"] = after - base
            use_share(pump, number, pump.words[COMMAND_POSITION] - position, now_ns)
        if reason:
            close_client(pump, number, reason, now_ns)
            return NOTHING
    return WAITS


@kernel
def serve_input(pump, number, now_ns):
    """Read and handle what a connection sent; remember it when something is left."""
    row = pump.connections.rows[at(number)]
    left = _read_packets(pump, number, now_ns)
    if left == IS_HELD:
        hold(pump, number)
    elif row["fd"] >= 0 and left != row["pending"]:
        pump.words[PENDING] += left - np.int64(row["pending"])
        row["pending"] = left
    publish_commands(pump)
