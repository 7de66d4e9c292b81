"""Pump: the client of the gateway benchmarks: one compiled loop for the exchange and for an echo.

A request is a SoupBinTCP packet and so is its answer, so the bare echo, which sends the request
back, is asked by the very same code.
"""

from __future__ import annotations

from gateways.ouch.messages import ENTER_ORDER
from gateways.packets import HEADER_SIZE, SEQUENCED_TYPE, UNSEQUENCED_TYPE
from gateways.soupbintcp import NEEDS_MORE, next_packet
from ringbuf.atomics import pause
from ringbuf.bits import address, at, copy_bytes, store_big_4
from ringbuf.jit import kernel
from ringbuf.syscalls import (
    EAGAIN,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    last_error,
    monotonic_ns,
    recv,
    sched_yield,
    send,
)
from ringbuf.waiting import PARK, YIELD

PACKET_LENGTH_MAX = 1024
USER_REF = HEADER_SIZE + ENTER_ORDER.offset_of("user_ref_num")
CLIENT_ORDER_ID_LAST = HEADER_SIZE + ENTER_ORDER.offset_of("client_order_id") + 13
DIGITS = 8  # of the client's own order id that change from order to order
GONE = -1  # the peer closed the connection, or broke the protocol


@kernel
def number_order(request, offset, number):
    """Give the order in `request` its UserRefNum, and the same as the client's own order id."""
    store_big_4(request, offset + USER_REF, number)
    for digit in range(DIGITS):
        request[at(offset + CLIENT_ORDER_ID_LAST - digit)] = 48 + number % 10
        number //= 10


@kernel
def send_whole(fd, data, size):
    """Send `size` bytes of a request; 1, or GONE. The socket has room: only one is under way."""
    return 1 if send(fd, address(data, 0), size, MSG_NOSIGNAL) == size else GONE


@kernel
def await_answer(fd, policy, inbox):
    """Wait for one sequenced or echoed packet; its size, or GONE. Other packets are passed over."""
    end = 0
    while True:
        flags = 0 if policy == PARK else MSG_DONTWAIT
        count = recv(fd, address(inbox, end), len(inbox) - end, flags)
        if count == 0 or (count < 0 and last_error() != EAGAIN):
            return GONE
        if count < 0:
            if policy == YIELD:
                sched_yield()
            else:
                pause()
            continue
        end += count
        start = 0
        while True:
            kind, _, _, after = next_packet(inbox, start, end, PACKET_LENGTH_MAX)
            if kind == SEQUENCED_TYPE or kind == UNSEQUENCED_TYPE:
                return after - start
            if kind == NEEDS_MORE:
                break
            if kind < 0:
                return GONE
            start = after
        if start > 0:
            copy_bytes(inbox, 0, inbox, start, end - start)
            end -= start


@kernel
def round_trips(fd, policy, request, first, inbox, samples, scratch):
    """Send orders one at a time, numbered from `first` on, each when the one before is answered.

    samples: int64[n], ns of each, filled here. Returns bytes of the last answer, or GONE.
    """
    size = 0
    for trip in range(len(samples)):
        number_order(request, 0, first + trip)
        before = monotonic_ns(scratch)
        if send_whole(fd, request, len(request)) < 0:
            return GONE
        size = await_answer(fd, policy, inbox)
        if size < 0:
            return GONE
        samples[at(trip)] = monotonic_ns(scratch) - before
    return size


@kernel
def send_some(fd, data, begin, end):
    """Send bytes [begin, end) without waiting; how many were taken, or GONE."""
    count = send(fd, address(data, begin), end - begin, MSG_DONTWAIT | MSG_NOSIGNAL)
    if count >= 0:
        return count
    return 0 if last_error() == EAGAIN else GONE


@kernel
def count_packets(inbox, end, counts):
    """Count the packets of [0, end) by type, keep the unfinished rest; its size, or GONE.

    counts: int64[256], by the first byte of a sequenced packet's message.
    """
    start = 0
    while True:
        kind, payload, _, after = next_packet(inbox, start, end, PACKET_LENGTH_MAX)
        if kind == NEEDS_MORE:
            break
        if kind < 0:
            return GONE
        if kind == SEQUENCED_TYPE or kind == UNSEQUENCED_TYPE:
            counts[at(int(inbox[at(payload)]))] += 1
        start = after
    if start > 0:
        copy_bytes(inbox, 0, inbox, start, end - start)
    return end - start


@kernel
def pipeline(fd, policy, orders, size, window, batch, inbox, counts, wanted):
    """Send all orders, at most `window` of them unanswered; return how many were answered.

    orders: uint8[n * size]; batch: orders that one send may carry; wanted: type of the answers
    that count. Returns GONE when the connection is lost.
    """
    total = len(orders)
    sent = end = 0
    begin = counts[at(wanted)]
    answered = 0
    while answered * size < total:
        room = min(total, (answered + window) * size, sent + batch * size)
        moved = 0
        if room > sent:
            moved = send_some(fd, orders, sent, room)
            if moved < 0:
                return GONE
            sent += moved
        count = recv(fd, address(inbox, end), len(inbox) - end, MSG_DONTWAIT)
        if count == 0 or (count < 0 and last_error() != EAGAIN):
            return GONE
        if count > 0:
            end = count_packets(inbox, end + count, counts)
            if end < 0:
                return GONE
            answered = counts[at(wanted)] - begin
        elif moved == 0:
            if policy == YIELD:
                sched_yield()
            else:
                pause()
    return answered
