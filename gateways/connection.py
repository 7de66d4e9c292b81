"""Kernel: the connections of one pump: buffers, sending, closing. Knows sockets by number only.

A connection has a bounded inbound and outbound buffer, both slices of one array each. A client
that does not read fills its outbound buffer and is dropped; it may come back and replay.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.bits import address, at, copy_bytes, store_raw_4, store_raw_8
from ringbuf.jit import cold_kernel, kernel
from ringbuf.schema import Field, Record
from ringbuf.state import State
from ringbuf.syscalls import (
    EAGAIN,
    EINTR,
    EPOLL_CTL_ADD,
    EPOLL_CTL_MOD,
    EPOLLIN,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    epoll_ctl,
    last_error,
    recv,
    send,
)
from shm_exchange.market import sparse

# States of a connection
UNUSED, LOGGING_IN, REPLAYING, CATCHING_UP, LIVE, CLOSING, OVERFLOWED = 0, 1, 2, 3, 4, 5, 6

# Why a connection was closed: the log says it.
CLOSE_PEER, CLOSE_VIOLATION, CLOSE_SLOW, CLOSE_SILENT, CLOSE_LOGOUT = 1, 2, 3, 4, 5
CLOSE_DISPLACED, CLOSE_DRAIN, CLOSE_OUCH, CLOSE_NO_SESSION, CLOSE_DIFFERED = 6, 7, 8, 9, 10
CLOSE_REFUSED, CLOSE_ROLLED = 11, 12
CLOSE_REASONS = (
    "",
    "the peer closed it",
    "a malformed packet",
    "it did not read and its buffer is full",
    "no heartbeat",
    "logout",
    "the session logged in elsewhere",
    "the gateway drains",
    "a malformed message",
    "the session is not available",
    "it was told what is not so",
    "too many of its orders were refused within a second",
    "the day has rolled: the session has ended",
)

CONNECTION = Record(
    name="connection",
    size=128,
    doc="A logged-in client of one pump. Private to the pump's thread.",
    fields=(
        Field("fd", "i4", doc="socket, or -1"),
        Field("state", "i4"),
        Field("session", "i4", doc="number of the session"),
        Field("pending", "i4", doc="1: input is waiting in the buffer; 2: and in the socket"),
        Field("generation", "i8", doc="of the session, since this login"),
        Field("in_start", "i4"),
        Field("in_end", "i4"),
        Field("out_start", "i4"),
        Field("out_end", "i4"),
        Field("dirty", "i4", doc="1: it is in the list of those with output"),
        Field("logged_in", "i4", doc="1: a LOGOUT is due when it goes"),
        Field("next_number", "i8", doc="number of the next sequenced message"),
        Field(
            "position",
            "i8",
            doc="LOGGING_IN: behind its command; CATCHING_UP: next event to look at; feed: byte "
            "offset",
        ),
        Field("received_ns", "i8", doc="when something was last received"),
        Field("sent_ns", "i8", doc="when something was last sent"),
        Field("silence_limit_ns", "i8", doc="a client that is silent for longer is gone"),
        Field("asked", "i8", doc="sequence number that the login asked for"),
        Field("serial", "i8", doc="which connection of this number, counted from the start"),
        Field("refused_second", "i8", doc="second in which something was last refused"),
        Field("refused", "i8", doc="how many orders and replaces were, within it"),
        Field("share_ns", "i8", doc="when what it sent would be done at the rate of a share"),
    ),
)


@State.register
class Connections(NamedTuple):
    """All connections of a pump."""

    rows: np.ndarray  # CONNECTION[n]
    inbound: np.ndarray  # uint8[n * inbound size]
    outbound: np.ndarray  # uint8[n * outbound size]
    dirty: np.ndarray  # int32[n + 1]: connections with output; [n] is their count


def create_connections(count: int, inbound_size: int, outbound_size: int) -> Connections:
    """No connection; buffers cost memory only once they are used."""
    connections = Connections(
        rows=np.zeros(count, CONNECTION.dtype),
        inbound=sparse(np.uint8, count * inbound_size),
        outbound=sparse(np.uint8, count * outbound_size),
        dirty=np.zeros(count + 1, np.int32),
    )
    connections.rows["fd"] = -1
    return connections


@cold_kernel
def watch(epoll, fd, data, scratch):
    """Have epoll report input on `fd` under the number `data`. scratch: uint8[12] at least."""
    store_raw_4(scratch, 0, EPOLLIN)
    store_raw_8(scratch, 4, data)
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, address(scratch, 0))


@cold_kernel
def expect(epoll, fd, data, events, scratch):
    """Have epoll report `events` (EPOLLIN, or 0) on a watched `fd` from now on."""
    store_raw_4(scratch, 0, events)
    store_raw_8(scratch, 4, data)
    return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, address(scratch, 0))


@kernel
def inbound_size(connections):
    """Bytes of one inbound buffer."""
    return len(connections.inbound) // len(connections.rows)


@kernel
def outbound_size(connections):
    """Bytes of one outbound buffer."""
    return len(connections.outbound) // len(connections.rows)


@kernel
def mark_dirty(connections, number):
    """The connection has output to send."""
    row = connections.rows[at(number)]
    if row["dirty"] == 0:
        row["dirty"] = 1
        last = len(connections.rows)
        count = np.int64(connections.dirty[at(last)])
        connections.dirty[at(count)] = number
        connections.dirty[at(last)] = count + 1


@kernel
def reserve_output(connections, number, size):
    """Offset in `outbound` where `size` bytes may be written, or -1: the buffer is full."""
    row = connections.rows[at(number)]
    limit = outbound_size(connections)
    base = number * limit
    end = np.int64(row["out_end"])
    if end + size <= limit:
        return base + end
    start = np.int64(row["out_start"])
    if end - start + size > limit:
        return -1
    copy_bytes(connections.outbound, base, connections.outbound, base + start, end - start)
    row["out_start"] = 0
    row["out_end"] = end - start
    return base + end - start


@kernel
def commit_output(connections, number, size):
    """`size` bytes were written where `reserve_output` said."""
    row = connections.rows[at(number)]
    row["out_end"] = row["out_end"] + size
    mark_dirty(connections, number)


@kernel
def receive(connections, number, now_ns):
    """Read what the socket has into the buffer: bytes read, 0 nothing or no room, -1 it is gone."""
    row = connections.rows[at(number)]
    limit = inbound_size(connections)
    base = number * limit
    start = np.int64(row["in_start"])
    end = np.int64(row["in_end"])
    if start == end:
        start = end = 0
    elif end == limit and start > 0:
        copy_bytes(connections.inbound, base, connections.inbound, base + start, end - start)
        end -= start
        start = 0
    row["in_start"] = start
    row["in_end"] = end
    if end == limit:
        return 0
    count = recv(
        np.int64(row["fd"]), address(connections.inbound, base + end), limit - end, MSG_DONTWAIT
    )
    if count > 0:
        row["in_end"] = end + count
        row["received_ns"] = now_ns
        return count
    if count < 0:
        error = last_error()
        if error == EAGAIN or error == EINTR:
            return 0
    return -1


@kernel
def send_bytes(fd, data, offset, size):
    """Send from uint8 `data`: bytes taken, 0 when the socket is full, -1 when it is gone."""
    count = send(fd, address(data, offset), size, MSG_DONTWAIT | MSG_NOSIGNAL)
    if count < 0:
        error = last_error()
        if error == EAGAIN or error == EINTR:
            return 0
        return -1
    return count


@kernel
def flush(connections, number, now_ns):
    """Send what is waiting: 1 all of it, 0 some is left, -1 the peer is gone."""
    row = connections.rows[at(number)]
    start = np.int64(row["out_start"])
    size = np.int64(row["out_end"]) - start
    if size == 0:
        return 1
    base = number * outbound_size(connections)
    count = send_bytes(np.int64(row["fd"]), connections.outbound, base + start, size)
    if count < 0:
        return -1
    if count > 0:
        row["sent_ns"] = now_ns
    if count == size:
        row["out_start"] = 0
        row["out_end"] = 0
        return 1
    row["out_start"] = start + count
    return 0


@cold_kernel
def reset(connections, number, fd, session, silence_limit_ns, asked, now_ns):
    """A new client under this number."""
    row = connections.rows[at(number)]
    row["fd"] = fd
    row["state"] = LOGGING_IN
    row["session"] = session
    row["pending"] = 0
    row["generation"] = 0
    row["in_start"] = 0
    row["in_end"] = 0
    row["out_start"] = 0
    row["out_end"] = 0
    row["logged_in"] = 0
    row["next_number"] = 0
    row["position"] = 0
    row["received_ns"] = now_ns
    row["sent_ns"] = now_ns
    row["silence_limit_ns"] = silence_limit_ns
    row["asked"] = asked
    row["refused_second"] = 0
    row["refused"] = 0
    row["share_ns"] = 0
    row["serial"] = row["serial"] + 1
