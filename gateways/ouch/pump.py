"""Pump: the loop of an order gateway for one engine: sockets <-> rings, nothing of it in Python.

One pass: letters from the Python side, ready sockets (receive, frame, decode, check, command),
new events (index, slots, replica, OUCH bytes), output, and now and then the timers. Work per pass
and per connection is bounded, so that no client can keep the others waiting.
"""

import numpy as np

from gateways import connection as c
from gateways import mailbox as letters
from gateways.mailbox import post_outward, take_inward
from gateways.ouch.codec import decode
from gateways.ouch.follow import keep_books
from gateways.ouch.inbound import FAULT, SAID, UNSUPPORTED, blank_command, take_request
from gateways.ouch.state import (
    BELL,
    CHUNK_WAITS,
    CLIENTS,
    COMMAND_POSITION,
    COMMAND_PUBLISHED,
    EPOLL_EVENT_SIZE,
    EVENTS_PER_PASS,
    FAULTS,
    LOOPS,
    MESSAGES_PER_PASS,
    NEXT_TIMER_NS,
    PENDING,
    READY_PER_PASS,
    ROWS_USED,
    SETTING_EPOLL,
    SETTING_POLICY,
    SETTING_PROCESS,
    SETTING_SOURCE,
    UNSETTLED,
    WORDS_PER_LINE,
    WORK,
)
from gateways.ouch.stream import catch_up, deliver, is_open, take_chunk, welcome
from gateways.packets import (
    CLIENT_HEARTBEAT_TYPE,
    DEBUG_TYPE,
    HEADER_SIZE,
    HEARTBEAT_INTERVAL_NS,
    LOGOUT_TYPE,
    UNSEQUENCED_TYPE,
)
from gateways.soupbintcp import NEEDS_MORE, next_packet, write_server_heartbeat
from ringbuf import spsc
from ringbuf.atomics import load_acquire, store_relaxed
from ringbuf.bits import address, at, load_raw_4
from ringbuf.broadcast import overwritten, published
from ringbuf.jit import cold_kernel, kernel
from ringbuf.layout import (
    PROCESS_CLIENTS,
    PROCESS_ERRORS,
    PROCESS_HEARTBEAT,
    PROCESS_LOOPS,
    PROCESS_POSITION,
    PROCESS_WORK,
    STOP,
)
from ringbuf.syscalls import (
    EPOLL_CTL_DEL,
    clock_ns,
    close,
    epoll_ctl,
    epoll_wait,
    event_drain,
)
from ringbuf.waiting import announce_sleep, bell_of, end_sleep, idle, ring_one
from shm_exchange.messages import CommandKind, EventKind
from shm_exchange.replica import apply, shift_source

LOGIN = int(CommandKind.LOGIN)
LOGOUT = int(CommandKind.LOGOUT)
LOGGED_IN = int(EventKind.LOGGED_IN)
WRITER = 0  # process number of the matcher
PACKET_LENGTH_MAX = 1024  # of a client's packet: no OUCH message comes near it
TIMER_INTERVAL_NS = 50_000_000
SLEEP_MS = 1  # a sleep is bounded: a dead writer rings no bell

# How the loop ends.
STOPPED, LAPPED = 0, 1


@kernel
def _publish_commands(pump):
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
def _settle_closed(pump, number, now_ns):
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
def _close(pump, number, reason, now_ns):
    """End a connection. Its LOGOUT follows at once, or when the command ring has room."""
    row = pump.connections.rows[at(number)]
    if row["fd"] < 0:
        return
    epoll_ctl(pump.settings[SETTING_EPOLL], EPOLL_CTL_DEL, np.int64(row["fd"]), 0)
    close(np.int64(row["fd"]))
    row["fd"] = -1
    session = np.int64(row["session"])
    if pump.by_session[at(session)] == number + 1:
        pump.by_session[at(session)] = 0
    if reason == c.CLOSE_DISPLACED:
        row["logged_in"] = 0
    if row["pending"]:
        row["pending"] = 0
        pump.words[PENDING] -= 1
    row["asked"] = reason
    row["out_start"] = row["out_end"]
    row["state"] = c.CLOSING
    pump.words[CLIENTS] -= 1
    if reason == c.CLOSE_VIOLATION or reason == c.CLOSE_OUCH or reason == c.CLOSE_SLOW:
        pump.words[FAULTS] += 1
    if not _settle_closed(pump, number, now_ns):
        pump.words[UNSETTLED] = 1


@cold_kernel
def _open(pump, now_ns):
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


@kernel
def _read_letters(pump, now_ns):
    """Take what the Python side sent."""
    while pump.words[CHUNK_WAITS] == 0:
        if spsc.room(pump.desk.commands, pump.words[COMMAND_POSITION]) < 1:
            return
        if not take_inward(pump.mailbox, pump.letter):
            return
        if pump.letter[0]["kind"] == letters.OPEN:
            _open(pump, now_ns)
        elif pump.letter[0]["kind"] == letters.CHUNK:
            pump.chunk[0] = pump.letter[0]
            pump.words[CHUNK_WAITS] = 1


@cold_kernel
def _logged_in(pump, event, position, now_ns):
    """LOGGED_IN: displace whoever has the session here, and welcome the new one if it is ours."""
    session = np.int64(event["session"])
    number = np.int64(event["slot"])
    is_ours = shift_source(event) == pump.settings[SETTING_SOURCE]
    before = np.int64(pump.by_session[at(session)]) - 1
    if before >= 0 and not (is_ours and before == number):
        _close(pump, before, c.CLOSE_DISPLACED, now_ns)
    if not is_ours:
        return
    row = pump.connections.rows[at(number)]
    if row["state"] != c.LOGGING_IN or row["session"] != session:
        return  # of an earlier life of this gateway
    pump.by_session[at(session)] = number + 1
    c.watch(pump.settings[SETTING_EPOLL], np.int64(row["fd"]), number, pump.ready)
    if not welcome(pump, number, np.int64(event["generation"]), position + 1):
        _close(pump, number, c.CLOSE_NO_SESSION, now_ns)


@kernel
def _packet(pump, number, kind, offset, length, now_ns):
    """One packet of a client; a reason to close the connection, or 0."""
    row = pump.connections.rows[at(number)]
    if kind == UNSEQUENCED_TYPE:
        request = pump.request[0]
        result = decode(pump.connections.inbound, offset, length, request)
        position = pump.words[COMMAND_POSITION]
        session, generation = np.int64(row["session"]), np.int64(row["generation"])
        said = take_request(
            pump.market, pump.desk, request, result, position, session, generation, now_ns
        )
        if said == SAID:
            pump.words[COMMAND_POSITION] = position + 1
        return c.CLOSE_OUCH if said == FAULT or said == UNSUPPORTED else 0
    if kind == CLIENT_HEARTBEAT_TYPE or kind == DEBUG_TYPE:
        return 0
    return c.CLOSE_LOGOUT if kind == LOGOUT_TYPE else c.CLOSE_VIOLATION


@kernel
def _read_packets(pump, number, now_ns):
    """Handle a bounded number of packets from the buffer; 1 when some may be left."""
    row = pump.connections.rows[at(number)]
    base = number * c.inbound_size(pump.connections)
    end = base + np.int64(row["in_end"])
    for _ in range(MESSAGES_PER_PASS):
        if spsc.room(pump.desk.commands, pump.words[COMMAND_POSITION]) < 1:
            return 1
        offset = base + np.int64(row["in_start"])
        kind, payload, length, after = next_packet(
            pump.connections.inbound, offset, end, PACKET_LENGTH_MAX
        )
        if kind == NEEDS_MORE:
            return 0
        reason = c.CLOSE_VIOLATION
        if kind > 0:
            reason = _packet(pump, number, kind, payload, length, now_ns)
            row["in_start"] = after - base
        if reason:
            _close(pump, number, reason, now_ns)
            return 0
    return 1


@kernel
def _serve_input(pump, number, now_ns):
    """Read and handle what a connection sent; remember it when something is left."""
    row = pump.connections.rows[at(number)]
    left = _read_packets(pump, number, now_ns)
    if row["fd"] >= 0 and left != row["pending"]:
        pump.words[PENDING] += left - np.int64(row["pending"])
        row["pending"] = left
    _publish_commands(pump)


@kernel
def _poll_sockets(pump, now_ns, timeout_ms):
    """Serve the sockets that are ready; return how many, the doorbell included."""
    epoll = pump.settings[SETTING_EPOLL]
    count = epoll_wait(epoll, address(pump.ready, 0), READY_PER_PASS, timeout_ms)
    for place in range(count):
        number = load_raw_4(pump.ready, place * EPOLL_EVENT_SIZE + 4)
        if number == BELL:
            event_drain(bell_of(pump.bells[pump.settings[SETTING_PROCESS]]))
            continue
        row = pump.connections.rows[at(number)]
        if row["fd"] < 0 or not is_open(row):
            continue
        if timeout_ms:
            now_ns = clock_ns(pump.clock)
        if row["pending"] == 0 and c.receive(pump.connections, number, now_ns) < 0:
            _close(pump, number, c.CLOSE_PEER, now_ns)
        else:
            _serve_input(pump, number, now_ns)
    return max(0, count)


@cold_kernel
def _serve_pending(pump, now_ns):
    for number in range(pump.words[ROWS_USED]):
        if pump.connections.rows[at(number)]["pending"]:
            _serve_input(pump, number, now_ns)


@cold_kernel
def _settle(pump, now_ns):
    """Connections that catch up, and closed ones that still owe a LOGOUT."""
    pump.words[UNSETTLED] = 0
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if row["state"] == c.CATCHING_UP:
            if not catch_up(pump, number):
                _close(pump, number, c.CLOSE_NO_SESSION, now_ns)
            elif row["state"] == c.CATCHING_UP:
                pump.words[UNSETTLED] = 1
        elif row["state"] == c.CLOSING and not _settle_closed(pump, number, now_ns):
            pump.words[UNSETTLED] = 1


@kernel
def _follow(pump, now_ns):
    """Apply a bounded number of new events and send what they say: how many, or -1: lapped."""
    market = pump.market
    ring = pump.ring
    position = np.int64(market.scalars[0]["position"])
    count = min(published(ring) - position, EVENTS_PER_PASS)
    if count <= 0:
        return 0
    mask = len(ring.records) - 1
    for offset in range(count):
        pump.copied[at(offset)] = ring.records[at((position + offset) & mask)]
    if overwritten(ring, position):
        return -1
    for offset in range(count):
        event = pump.copied[at(offset)]
        keep_books(market, pump.desk, event)
        apply(market, pump.copied, offset, position + offset)
        if event["kind"] == LOGGED_IN:
            _logged_in(pump, event, position + offset, now_ns)
        else:
            full = deliver(pump, event, position + offset)
            if full >= 0:
                _close(pump, full, c.CLOSE_SLOW, now_ns)
    return count


@kernel
def _send_output(pump, now_ns):
    """Send what is waiting; the list keeps those whose sockets are full."""
    dirty = pump.connections.dirty
    last = len(pump.connections.rows)
    kept = 0
    for place in range(np.int64(dirty[at(last)])):
        number = np.int64(dirty[at(place)])
        row = pump.connections.rows[at(number)]
        done = 1
        if row["fd"] >= 0:
            done = c.flush(pump.connections, number, now_ns)
            if done < 0:
                _close(pump, number, c.CLOSE_PEER, now_ns)
        if done == 0:
            dirty[at(kept)] = number
            kept += 1
        else:
            row["dirty"] = 0
    dirty[at(last)] = kept


@cold_kernel
def _tick(pump, now_ns):
    """Heartbeats, silent clients, and what the process says of itself."""
    pump.words[NEXT_TIMER_NS] = now_ns + TIMER_INTERVAL_NS
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if not is_open(row) or row["fd"] < 0:
            continue
        if now_ns - row["received_ns"] > row["silence_limit_ns"]:
            _close(pump, number, c.CLOSE_SILENT, now_ns)
        elif now_ns - row["sent_ns"] >= HEARTBEAT_INTERVAL_NS and row["dirty"] == 0:
            offset = c.reserve_output(pump.connections, number, HEADER_SIZE)
            write_server_heartbeat(pump.connections.outbound, offset)
            c.commit_output(pump.connections, number, HEADER_SIZE)
    line = pump.settings[SETTING_PROCESS] * WORDS_PER_LINE
    words = pump.process_words
    store_relaxed(words, line + PROCESS_HEARTBEAT, now_ns)
    store_relaxed(words, line + PROCESS_POSITION, np.int64(pump.market.scalars[0]["position"]))
    store_relaxed(words, line + PROCESS_LOOPS, pump.words[LOOPS])
    store_relaxed(words, line + PROCESS_WORK, pump.words[WORK])
    store_relaxed(words, line + PROCESS_CLIENTS, pump.words[CLIENTS])
    store_relaxed(words, line + PROCESS_ERRORS, pump.words[FAULTS])


@kernel
def step(pump, timeout_ms):
    """One pass; return how much was done, or -1 when the replica was lapped."""
    now_ns = clock_ns(pump.clock)
    _read_letters(pump, now_ns)
    done = _poll_sockets(pump, now_ns, timeout_ms)
    if pump.words[PENDING]:
        _serve_pending(pump, now_ns)
        done += 1
    events = _follow(pump, now_ns)
    if events < 0:
        return -1
    if pump.words[CHUNK_WAITS]:
        take_chunk(pump)
    if pump.words[UNSETTLED]:
        _settle(pump, now_ns)
    _publish_commands(pump)
    _send_output(pump, now_ns)
    if now_ns >= pump.words[NEXT_TIMER_NS]:
        _tick(pump, now_ns)
    pump.words[LOOPS] += 1
    pump.words[WORK] += events
    return done + events


@cold_kernel
def _close_all(pump):
    now_ns = clock_ns(pump.clock)
    for number in range(pump.words[ROWS_USED]):
        _close(pump, number, c.CLOSE_DRAIN, now_ns)
    _publish_commands(pump)


@cold_kernel
def run(pump):
    """Pump until the stop word is set (STOPPED) or the replica was lapped (LAPPED)."""
    me = pump.settings[SETTING_PROCESS]
    policy = pump.settings[SETTING_POLICY]
    idle_count = 0
    c.watch(pump.settings[SETTING_EPOLL], bell_of(pump.bells[me]), BELL, pump.ready)
    while load_acquire(pump.control_words, STOP) == 0:
        done = step(pump, 0)
        if done < 0:
            return LAPPED
        idle_count = 0 if done else idle_count + 1
        if done or not idle(policy, idle_count):
            continue
        announce_sleep(pump.doorbells, me)
        timeout_ms = SLEEP_MS
        if published(pump.ring) != pump.market.scalars[0]["position"] or pump.words[CHUNK_WAITS]:
            timeout_ms = 0
        done = step(pump, timeout_ms)
        end_sleep(pump.doorbells, me)
        if done < 0:
            return LAPPED
        idle_count = 0 if done else idle_count
    _close_all(pump)
    return STOPPED
