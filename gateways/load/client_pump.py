"""Pump: the loop of the load driver: order sessions and one feed connection, nothing in Python.

One pass: ready sockets (receive, frame, answers or feed), flow messages that are due, output, and
now and then the timers. Messages are sent in the order of the flow, whichever session they belong
to. The loop returns after a while, so that Python can see signals, and when a connection is lost.
"""

import numpy as np

from gateways import connection as c
from gateways.itch.codec import OK
from gateways.itch.codec import decode as decode_feed
from gateways.load.rebuilt_book import COUNT, follow_feed
from gateways.load.requests import ask_barrier, must_wait, send_again, send_message, take_answer
from gateways.load.state import (
    CLOSING,
    CURSOR,
    DONE,
    ENDED,
    ENDED_NS,
    EPOLL,
    EPOLL_EVENT_SIZE,
    FEED_STOP,
    FINISHED,
    INTERVAL_PS,
    LIMIT,
    LOST,
    NEXT_TIMER_NS,
    NO_STOP,
    READY_PER_PASS,
    SENDING,
    SLICE,
    STARTED_NS,
    VIOLATION,
    WHO,
)
from gateways.packets import (
    DEBUG_TYPE,
    END_OF_SESSION_TYPE,
    HEADER_SIZE,
    HEARTBEAT_INTERVAL_NS,
    SEQUENCED_TYPE,
    SERVER_HEARTBEAT_TYPE,
    SILENCE_LIMIT_NS,
)
from gateways.soupbintcp import NEEDS_MORE, next_packet, write_client_heartbeat
from ringbuf.bits import address, at, load_raw_4
from ringbuf.jit import cold_kernel, kernel
from ringbuf.syscalls import close, epoll_wait, monotonic_ns, sched_yield
from shm_exchange.flow import MODIFY

SENT_PER_PASS = 64
IDLE_PASSES = 64  # passes without work before the loop sleeps
SLEEP_MS = 1
TIMER_INTERVAL_NS = 50_000_000
STALL_NS = 10_000_000  # a full window that nothing answers may be all superfluous: ask
PACKET_LENGTH_MAX = 0xFFFF


@cold_kernel
def attach(load, number, fd, next_number):
    """Begin with a connection that is logged in; resume when it was lost: 1, or 0 without room."""
    now_ns = monotonic_ns(load.clock)
    c.reset(load.connections, number, fd, number, SILENCE_LIMIT_NS, 0, now_ns)
    row = load.connections.rows[at(number)]
    row["state"] = c.LIVE
    row["next_number"] = next_number
    if c.watch(load.words[EPOLL], fd, number, load.ready) < 0:
        return 0
    return send_again(load, number) if number < len(load.sessions) else 1


@cold_kernel
def _fail(load, number, outcome):
    """Note whom an outcome is about; its socket is closed."""
    row = load.connections.rows[at(number)]
    close(np.int64(row["fd"]))  # which also takes it out of the epoll set
    row["fd"] = -1
    row["state"] = c.UNUSED
    row["out_start"] = row["out_end"]
    load.words[WHO] = number
    return outcome


@kernel
def _packet(load, number, kind, offset, length, now_ns):
    """One packet of a server: 0, or an outcome."""
    if kind == SEQUENCED_TYPE:
        load.connections.rows[at(number)]["next_number"] += 1
        data = load.connections.inbound
        if number < len(load.sessions):
            return take_answer(load, number, data, offset, length, now_ns)
        message = load.feed_message[0]
        if decode_feed(data, offset, length, message) != OK:
            return VIOLATION
        follow_feed(load.book, message)
        return 0
    if kind == SERVER_HEARTBEAT_TYPE or kind == DEBUG_TYPE:
        return 0
    return ENDED if kind == END_OF_SESSION_TYPE else VIOLATION


@kernel
def _read_packets(load, number, now_ns):
    """Handle every whole packet of a connection's buffer: 0, or an outcome."""
    row = load.connections.rows[at(number)]
    base = number * c.inbound_size(load.connections)
    end = base + np.int64(row["in_end"])
    is_feed = number == len(load.sessions)
    while not (is_feed and load.book.words[COUNT] >= load.words[FEED_STOP]):
        offset = base + np.int64(row["in_start"])
        kind, payload, length, after = next_packet(
            load.connections.inbound, offset, end, PACKET_LENGTH_MAX
        )
        if kind == NEEDS_MORE:
            return 0
        row["in_start"] = after - base
        outcome = _packet(load, number, kind, payload, length, now_ns) if kind > 0 else VIOLATION
        if outcome:
            return _fail(load, number, outcome)
    return 0


@kernel
def _poll_sockets(load, timeout_ms):
    """Serve the sockets that are ready: how many, or minus an outcome."""
    count = epoll_wait(load.words[EPOLL], address(load.ready, 0), READY_PER_PASS, timeout_ms)
    if count <= 0:
        return 0
    now_ns = monotonic_ns(load.clock)
    for place in range(count):
        number = load_raw_4(load.ready, place * EPOLL_EVENT_SIZE + 4)
        if c.receive(load.connections, number, now_ns) < 0:
            return -_fail(load, number, LOST)
        outcome = _read_packets(load, number, now_ns)
        if outcome:
            return -outcome
    return count


@kernel
def _is_due(load, index, now_ns):
    interval_ps = load.words[INTERVAL_PS]
    if interval_ps == 0:
        return 1
    return 1 if now_ns >= load.words[STARTED_NS] + index * interval_ps // 1_000 else 0


@kernel
def _may_send(load, number, index, now_ns):
    """Whether message `index` can be sent now; asks for a barrier when that is what it takes."""
    session = load.sessions[at(number)]
    row = load.connections.rows[at(number)]
    if session["state"] != SENDING or session["awaited"] != 0 or row["fd"] < 0:
        return 0
    if session["next"] - session["first"] >= load.words[LIMIT]:
        if now_ns - row["received_ns"] > STALL_NS:
            ask_barrier(load, number)
        return 0
    if load.messages[at(index)]["kind"] == MODIFY and must_wait(load, number, index):
        ask_barrier(load, number)
        return 0
    return 1


@kernel
def _send_flow(load, now_ns):
    """Send the messages that are due, in the order of the flow: how many."""
    sent = 0
    while sent < SENT_PER_PASS and load.words[CURSOR] < len(load.messages):
        index = load.words[CURSOR]
        number = np.int64(load.messages[at(index)]["session"])
        if not _is_due(load, index, now_ns) or not _may_send(load, number, index, now_ns):
            break
        if not send_message(load, number, index, now_ns):
            break
        load.words[CURSOR] = index + 1
        sent += 1
    return sent


@cold_kernel
def _finish(load, now_ns):
    """Everything is sent: a last barrier for every session."""
    for number in range(len(load.sessions)):
        session = load.sessions[at(number)]
        is_there = load.connections.rows[at(number)]["fd"] >= 0
        if session["state"] == SENDING and session["awaited"] == 0 and is_there:
            session["state"] = CLOSING
            ask_barrier(load, number)
    if load.words[FINISHED] == len(load.sessions) and load.words[ENDED_NS] == 0:
        load.words[ENDED_NS] = now_ns


@kernel
def _send_output(load, now_ns):
    """Send what is waiting: 0, or an outcome."""
    dirty = load.connections.dirty
    last = len(load.connections.rows)
    kept = 0
    outcome = 0
    for place in range(np.int64(dirty[at(last)])):
        number = np.int64(dirty[at(place)])
        row = load.connections.rows[at(number)]
        done = 1
        if row["fd"] >= 0:
            done = c.flush(load.connections, number, now_ns)
            if done < 0:
                outcome = _fail(load, number, LOST)
        if done == 0:
            dirty[at(kept)] = number
            kept += 1
        else:
            row["dirty"] = 0
    dirty[at(last)] = kept
    return outcome


@cold_kernel
def _tick(load, now_ns):
    """Heartbeats, and servers that have fallen silent: 0, or an outcome."""
    load.words[NEXT_TIMER_NS] = now_ns + TIMER_INTERVAL_NS
    for number in range(len(load.connections.rows)):
        row = load.connections.rows[at(number)]
        if row["fd"] < 0:
            continue
        if now_ns - row["received_ns"] > row["silence_limit_ns"]:
            return _fail(load, number, LOST)
        if now_ns - row["sent_ns"] >= HEARTBEAT_INTERVAL_NS and row["dirty"] == 0:
            offset = c.reserve_output(load.connections, number, HEADER_SIZE)
            write_client_heartbeat(load.connections.outbound, offset)
            c.commit_output(load.connections, number, HEADER_SIZE)
    return 0


@kernel
def _all_started(load):
    """1 once every session knows its next UserRefNum: then the clock starts."""
    for number in range(len(load.sessions)):
        if load.sessions[at(number)]["base_ref"] == 0:
            return 0
    return 1


@kernel
def step(load, timeout_ms):
    """One pass: how much was done, or minus an outcome."""
    done = _poll_sockets(load, timeout_ms)
    if done < 0:
        return done
    now_ns = monotonic_ns(load.clock)
    if load.words[STARTED_NS] == 0 and _all_started(load):
        load.words[STARTED_NS] = now_ns
    if load.words[CURSOR] < len(load.messages):
        if load.words[STARTED_NS]:
            done += _send_flow(load, now_ns)
    elif load.words[ENDED_NS] == 0:
        _finish(load, now_ns)
    outcome = _send_output(load, now_ns)
    if outcome == 0 and now_ns >= load.words[NEXT_TIMER_NS]:
        outcome = _tick(load, now_ns)
    if outcome:
        return -outcome
    is_read = load.words[FEED_STOP] == NO_STOP or load.book.words[COUNT] >= load.words[FEED_STOP]
    return -DONE if load.words[ENDED_NS] and is_read else done


@kernel
def _idle(load, idle_count):
    """Milliseconds to wait for a socket in the next pass."""
    if idle_count < IDLE_PASSES:
        return 0
    if load.words[INTERVAL_PS] and load.words[CURSOR] < len(load.messages):
        sched_yield()  # the next message may be due sooner than a sleep ends
        return 0
    return SLEEP_MS


@cold_kernel
def run(load, slice_ns):
    """Pump for a while: SLICE, DONE (flow settled, and the feed read to its stop), or what
    happened to connection WHO, whose socket is closed then."""
    until_ns = monotonic_ns(load.clock) + slice_ns
    idle_count = 0
    number = len(load.sessions)
    if load.connections.rows[at(number)]["fd"] >= 0:  # what a stop had left in the buffer
        outcome = _read_packets(load, number, until_ns - slice_ns)
        if outcome:
            return outcome
    while True:
        done = step(load, _idle(load, idle_count))
        if done < 0:
            return -done
        idle_count = 0 if done else idle_count + 1
        if monotonic_ns(load.clock) >= until_ns:
            return SLICE
