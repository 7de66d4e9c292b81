"""Pump: the load of many sessions on a bare echo: the loop of `shmx replay`, without its protocol.

Message n is of session n modulo their number. A pass sends what is next as long as its session's
window has room, one call for each session, and takes what has come back. What comes back is what
was sent, so an answer is known by the count of bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateways.load.client_pump import IDLE_PASSES, SENT_PER_PASS, SLEEP_MS
from gateways.load.state import EPOLL_EVENT_SIZE, READY_PER_PASS
from ringbuf.bits import address, at, load_raw_4
from ringbuf.jit import kernel
from ringbuf.syscalls import MSG_DONTWAIT, MSG_NOSIGNAL, epoll_wait, monotonic_ns, recv, send

GONE = -1  # a connection was lost


class EchoLoad(NamedTuple):
    """Everything that the loop touches."""

    descriptors: np.ndarray  # int64[sessions]
    received: np.ndarray  # int64[sessions], bytes
    requests: np.ndarray  # uint8[SENT_PER_PASS * size], the same one again and again
    times: np.ndarray  # int64[messages]: ns when it was sent, then how long its answer took
    inbox: np.ndarray  # uint8
    ready: np.ndarray  # uint8[EPOLL_EVENT_SIZE * READY_PER_PASS]
    clock: np.ndarray  # int64[2]


@kernel
def _send_due(load, size, window, cursor):
    """Send what is next, from message `cursor` on; the message behind it, or GONE."""
    count = len(load.descriptors)
    stop = min(len(load.times), cursor + SENT_PER_PASS)
    end = cursor
    while end < stop and end // count - load.received[at(end % count)] // size < window:
        end += 1
    now_ns = monotonic_ns(load.clock)
    for first in range(cursor, min(end, cursor + count)):
        messages = (end - first + count - 1) // count
        for each in range(messages):
            load.times[at(first + each * count)] = now_ns
        length = messages * size
        fd = load.descriptors[at(first % count)]
        if send(fd, address(load.requests, 0), length, MSG_NOSIGNAL) != length:
            return GONE
    return end


@kernel
def _take_answers(load, epoll, size, timeout_ms):
    """Serve the sockets that are ready: how many answers came, or GONE."""
    count = epoll_wait(epoll, address(load.ready, 0), READY_PER_PASS, timeout_ms)
    now_ns = monotonic_ns(load.clock)
    answers = 0
    for place in range(count):
        number = load_raw_4(load.ready, place * EPOLL_EVENT_SIZE + 4)
        fd = load.descriptors[at(number)]
        came = recv(fd, address(load.inbox, 0), len(load.inbox), MSG_DONTWAIT)
        if came <= 0:
            return GONE
        first = load.received[at(number)] // size
        load.received[at(number)] += came
        last = load.received[at(number)] // size
        for position in range(first, last):
            message = position * len(load.descriptors) + number
            load.times[at(message)] = now_ns - load.times[at(message)]
        answers += last - first
    return answers


@kernel
def run(load, epoll, size, window):
    """Send all messages, at most `window` of a session unanswered; ns until all are, or GONE.

    epoll: watches each of `descriptors` under its subscript. size: of a request.
    """
    began_ns = monotonic_ns(load.clock)
    cursor = answered = idle = 0
    while answered < len(load.times):
        sent = _send_due(load, size, window, cursor)
        if sent < 0:
            return GONE
        busy = sent > cursor or idle < IDLE_PASSES
        came = _take_answers(load, epoll, size, 0 if busy else SLEEP_MS)
        if came < 0:
            return GONE
        idle = 0 if came > 0 or sent > cursor else idle + 1
        cursor = sent
        answered += came
    return monotonic_ns(load.clock) - began_ns
