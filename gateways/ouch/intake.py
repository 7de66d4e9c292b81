"""Pump: what the clients of an order gateway send: sockets that are ready, and input that waits."""

from gateways import connection as c
from gateways.ouch.clients import close_client, serve_input
from gateways.ouch.shares import IS_HELD, WAITS, release_held
from gateways.ouch.state import (
    BELL,
    CONTENDED_NS,
    EPOLL_EVENT_SIZE,
    LAST_SERVED,
    LOOPS,
    PASSES_PER_POLL,
    PENDING,
    READY_PER_PASS,
    ROWS_USED,
    SETTING_EPOLL,
    SETTING_PROCESS,
)
from gateways.ouch.stream import is_open
from ringbuf.bits import address, at, load_raw_4
from ringbuf.jit import cold_kernel, kernel
from ringbuf.syscalls import clock_ns, epoll_wait, event_drain
from ringbuf.waiting import bell_of


@kernel
def _serve_socket(pump, number, now_ns):
    """Receive what a client sent and handle it; 1 when there was something."""
    row = pump.connections.rows[at(number)]
    if row["fd"] < 0 or row["pending"] or not is_open(row):
        return 0
    count = c.receive(pump.connections, number, now_ns)
    if count < 0:
        close_client(pump, number, c.CLOSE_PEER, now_ns)
    if count <= 0:
        return -count
    pump.words[LAST_SERVED] = number + 1
    serve_input(pump, number, now_ns)
    return 1


@kernel
def _poll_sockets(pump, now_ns, timeout_ms):
    """Serve the sockets that are ready; return how many, the doorbell included.

    The client served last is asked first, by a `recv` of its own: while it trades, order by order,
    that saves the two calls by which epoll would find it and forget it again. When others trade
    too, epoll is asked each time.
    """
    number = pump.words[LAST_SERVED] - 1 if timeout_ms == 0 else -1
    done = 0
    count = 0
    place = -1
    while place < count:
        if place >= 0:
            number = load_raw_4(pump.ready, place * EPOLL_EVENT_SIZE + 4)
        if number == BELL:
            event_drain(bell_of(pump.bells[pump.settings[SETTING_PROCESS]]))
            done += 1
        elif place >= 0 and pump.connections.rows[at(number)]["pending"] == IS_HELD:
            # Its input is not asked for: the connection has ended, and both ways of it.
            close_client(pump, number, c.CLOSE_PEER, now_ns)
            done += 1
        elif number >= 0:
            done += _serve_socket(pump, number, now_ns)
        is_due = pump.words[LOOPS] % PASSES_PER_POLL == 0 or now_ns < pump.words[CONTENDED_NS]
        if place < 0 and (done == 0 or is_due):
            epoll = pump.settings[SETTING_EPOLL]
            count = epoll_wait(epoll, address(pump.ready, 0), READY_PER_PASS, timeout_ms)
            if timeout_ms:
                now_ns = clock_ns(pump.clock)
        place += 1
    return done


@cold_kernel
def _serve_pending(pump, now_ns):
    for number in range(pump.words[ROWS_USED]):
        if pump.connections.rows[at(number)]["pending"] == WAITS:
            serve_input(pump, number, now_ns)


@kernel
def take_input(pump, now_ns, timeout_ms):
    """Serve each client that sent something; how many, the doorbell included.

    Sleeps for `timeout_ms` when there is nothing to do.
    """
    release_held(pump, now_ns)
    done = _poll_sockets(pump, now_ns, 0 if pump.words[PENDING] else timeout_ms)
    if pump.words[PENDING]:
        _serve_pending(pump, now_ns)
        done += 1
    return done
