"""Pump: the clients of a market-data gateway: opened, read, closed, and told that the day is over.

A client only reads: it has no buffer here but what its login is answered with.
"""

import numpy as np

from gateways import connection as c
from gateways import mailbox as letters
from gateways.itch.feed_log import COUNT, seek
from gateways.itch.state import BEHIND, CLIENTS, FAULTS, ROWS_USED, SETTING_EPOLL
from gateways.mailbox import post_outward
from gateways.packets import CLIENT_HEARTBEAT_TYPE, DEBUG_TYPE, HEADER_SIZE, LOGOUT_TYPE
from gateways.soupbintcp import (
    LOGIN_ACCEPTED_SIZE,
    NEEDS_MORE,
    next_packet,
    write_end_of_session,
    write_login_accepted,
)
from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from ringbuf.syscalls import EPOLL_CTL_DEL, close, epoll_ctl

PACKET_LENGTH_MAX = 1024  # of a client's packet: none that may come is near it


@cold_kernel
def close_client(pump, number, reason):
    """End a connection and tell the Python side."""
    row = pump.connections.rows[at(number)]
    epoll_ctl(pump.settings[SETTING_EPOLL], EPOLL_CTL_DEL, np.int64(row["fd"]), 0)
    close(np.int64(row["fd"]))
    row["fd"] = -1
    row["state"] = c.CLOSING
    row["asked"] = reason
    pump.words[CLIENTS] -= 1
    if reason == c.CLOSE_VIOLATION:
        pump.words[FAULTS] += 1
    report_closed(pump, number)


@cold_kernel
def report_closed(pump, number):
    """Give the number back to the Python side; the timer tries again when its queue is full."""
    row = pump.connections.rows[at(number)]
    letter = pump.letter[0]
    letter["kind"] = letters.CLOSED
    letter["connection"] = number
    letter["session"] = row["session"]
    letter["detail"] = row["asked"]
    if post_outward(pump.mailbox, pump.letter):
        row["state"] = c.UNUSED


@cold_kernel
def open_client(pump, now_ns):
    """A client logged in: accept it on the wire; the log has everything from message 1 on."""
    letter = pump.letter[0]
    number = np.int64(letter["connection"])
    fd = np.int64(letter["fd"])
    asked = np.int64(letter["number"])
    session, limit_ns = np.int64(letter["session"]), np.int64(letter["detail"])
    c.reset(pump.connections, number, fd, session, limit_ns, asked, now_ns)
    row = pump.connections.rows[at(number)]
    last = pump.log.words[COUNT]
    first = last + 1 if asked == 0 or asked > last + 1 else asked
    row["position"] = seek(pump.log, first)
    row["state"] = c.LIVE
    row["asked"] = 0
    scalars = pump.market.scalars[0]
    offset = c.reserve_output(pump.connections, number, LOGIN_ACCEPTED_SIZE)
    write_login_accepted(
        pump.connections.outbound, offset, scalars["stream_0"], scalars["stream_1"], first
    )
    row["out_end"] = LOGIN_ACCEPTED_SIZE
    pump.words[CLIENTS] += 1
    pump.words[ROWS_USED] = max(pump.words[ROWS_USED], number + 1)
    pump.words[BEHIND] = 1
    c.watch(pump.settings[SETTING_EPOLL], fd, number, pump.ready)


@cold_kernel
def serve_input(pump, number, now_ns):
    """Read what a client sent: it can only say that it lives, or goodbye."""
    row = pump.connections.rows[at(number)]
    if c.receive(pump.connections, number, now_ns) < 0:
        close_client(pump, number, c.CLOSE_PEER)
        return
    base = number * c.inbound_size(pump.connections)
    end = base + np.int64(row["in_end"])
    while True:
        offset = base + np.int64(row["in_start"])
        kind, _, _, after = next_packet(pump.connections.inbound, offset, end, PACKET_LENGTH_MAX)
        if kind == NEEDS_MORE:
            return
        if kind != CLIENT_HEARTBEAT_TYPE and kind != DEBUG_TYPE:
            leaves = kind == LOGOUT_TYPE
            close_client(pump, number, c.CLOSE_LOGOUT if leaves else c.CLOSE_VIOLATION)
            return
        row["in_start"] = after - base


@cold_kernel
def end_sessions(pump, now_ns):
    """The day has rolled: `Z` to every client, which logs in to the new feed."""
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if row["state"] != c.LIVE:
            continue
        offset = c.reserve_output(pump.connections, number, HEADER_SIZE)
        if offset >= 0:
            write_end_of_session(pump.connections.outbound, offset)
            row["out_end"] = row["out_end"] + HEADER_SIZE
            c.flush(pump.connections, number, now_ns)
        close_client(pump, number, c.CLOSE_ROLLED)
