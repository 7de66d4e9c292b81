"""Pump: orders on a schedule that no answer moves, and when each was sent and answered.

An open loop: order n is due at the start plus n intervals, also while the exchange stalls, and its
latency counts from that moment. So a stall is seen by every order that falls into it, as it would
be by orders that come from the world. What is due is written into one buffer and sent with as few
calls as the socket takes.

The answer is `A`, or the request itself from an echo; both are asked by the same code. An order
that carries tag 143 is also told when it was received, enqueued and matched, and by `t` when its
answer was published and sent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateways.ouch.messages import (
    ENTER_ORDER,
    ORDER_ACCEPTED,
    ORDER_EXECUTED,
    REJECTED,
)
from gateways.ouch.private_messages import ORDER_TIMES
from gateways.ouch.tags import Tag
from gateways.packets import (
    END_OF_SESSION_TYPE,
    HEADER_SIZE,
    SEQUENCED_TYPE,
    UNSEQUENCED_TYPE,
)
from gateways.soupbintcp import NEEDS_MORE, next_packet
from ringbuf.atomics import pause
from ringbuf.bits import address, at, copy_bytes, load_big_2, load_big_4, load_big_8, store_big_4
from ringbuf.jit import cold_kernel, kernel
from ringbuf.state import State
from ringbuf.syscalls import (
    EAGAIN,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    clock_ns,
    last_error,
    monotonic_ns,
    recv,
    sched_yield,
    send,
)
from ringbuf.waiting import SPIN

# One order. ns of the monotonic clock, 0 when it did not happen; of an order with tag 143 also ns
# since midnight on the gateway's clock, and how far that was ahead when the order was sent.
MARK_DTYPE = np.dtype(
    [
        (name, "<i8")
        for name in (
            *("due_ns", "sent_ns", "answered_ns"),
            *("received", "enqueued", "matched", "published", "left", "clocks_apart"),
        )
    ]
)

# `words`
FD, FIRST_REF, INTERVAL_PS, STARTED_NS, POLICY, TIMED = 0, 1, 2, 3, 4, 5
WRITTEN, COUNT_ANSWERED, COUNT_TOLD = 6, 7, 8  # orders
OUT_START, OUT_END, IN_END, REASON = 9, 10, 11, 12
WORD_COUNT = 13

# What `run` returns.
DONE, LATE, GONE, ENDED, REFUSED, TRADED, CONFUSED = 0, 1, 2, 3, 4, 5, 6

BATCH = 256  # orders in the buffer at a time
INBOX_SIZE = 1 << 20
PACKET_LENGTH_MAX = 0xFFFF
_PS_PER_NS = 1_000
_REF = ENTER_ORDER.offset_of("user_ref_num")
_ANSWER_REF = ORDER_ACCEPTED.offset_of("user_ref_num")
_EXECUTED_REF = ORDER_EXECUTED.offset_of("user_ref_num")
_REJECTED_REF = REJECTED.offset_of("user_ref_num")
_REJECTED_REASON = REJECTED.offset_of("reason")
_ACCEPTED_SIZE = ORDER_ACCEPTED.size
_TIMES_REF = ORDER_TIMES.offset_of("user_ref_num")
_TIMES_PUBLISHED = ORDER_TIMES.offset_of("published")
_TIMES_SENT = ORDER_TIMES.offset_of("sent")
_ENTER, _ACCEPTED, _REJECTED = ord("O"), ord("A"), ord("J")
_EXECUTED, _TIMES = ord("E"), ord("t")
_TAG_RECEIVED, _TAG_ENQUEUED = int(Tag.RECEIVED), int(Tag.ENQUEUED)
_TAG_MATCHED = int(Tag.MATCHED)


@State.register
class OpenLoop(NamedTuple):
    """One run. All arrays are allocated before it."""

    words: np.ndarray  # int64[WORD_COUNT]
    request: np.ndarray  # uint8[size]: one order as a packet, without its UserRefNum
    outbound: np.ndarray  # uint8[BATCH * size]
    inbox: np.ndarray  # uint8[INBOX_SIZE]
    marks: np.ndarray  # MARK_DTYPE[orders]
    clock: np.ndarray  # int64[2]


@kernel
def _write_due(loop, now_ns):
    """Write the orders that are due, as far as the empty buffer has room for them: how many."""
    words, size = loop.words, len(loop.request)
    first = words[WRITTEN]
    due = (now_ns - words[STARTED_NS]) * _PS_PER_NS // words[INTERVAL_PS] + 1
    last = min(due, len(loop.marks), first + BATCH)
    apart = clock_ns(loop.clock) - monotonic_ns(loop.clock) if words[TIMED] and last > first else 0
    end = 0
    for number in range(first, last):
        copy_bytes(loop.outbound, end, loop.request, 0, size)
        store_big_4(loop.outbound, end + HEADER_SIZE + _REF, words[FIRST_REF] + number)
        mark = loop.marks[at(number)]
        mark["due_ns"] = words[STARTED_NS] + number * words[INTERVAL_PS] // _PS_PER_NS
        mark["sent_ns"] = now_ns
        mark["clocks_apart"] = apart
        end += size
    words[OUT_START], words[OUT_END] = 0, end
    words[WRITTEN] = max(first, last)
    return end


@kernel
def _flush(loop):
    """Send of the buffer what the socket takes: bytes, or minus an outcome."""
    words = loop.words
    start = words[OUT_START]
    count = send(
        words[FD],
        address(loop.outbound, start),
        words[OUT_END] - start,
        MSG_DONTWAIT | MSG_NOSIGNAL,
    )
    if count < 0:
        return 0 if last_error() == EAGAIN else -GONE
    words[OUT_START] = start + count
    return count


@cold_kernel
def _note_tags(data, start, end, mark):
    """The times in the appendage of an `A`."""
    while start + 2 <= end:
        tag = np.int64(data[at(start + 1)])
        value = load_big_8(data, start + 2) if start + 10 <= end else 0
        if tag == _TAG_RECEIVED:
            mark["received"] = value
        elif tag == _TAG_ENQUEUED:
            mark["enqueued"] = value
        elif tag == _TAG_MATCHED:
            mark["matched"] = value
        start += 1 + np.int64(data[at(start)])
    return 0


@cold_kernel
def _note_times(loop, start, mark):
    """`t`: the answer was published and sent."""
    mark["published"] = load_big_8(loop.inbox, start + _TIMES_PUBLISHED)
    mark["left"] = load_big_8(loop.inbox, start + _TIMES_SENT)
    loop.words[COUNT_TOLD] += 1
    return 0


@kernel
def _ref_offset(kind):
    """Where a message has its UserRefNum; -1 when it is none that this client waits for."""
    if kind == _ACCEPTED:
        return _ANSWER_REF
    if kind == _ENTER:
        return _REF
    if kind == _TIMES:
        return _TIMES_REF
    if kind == _EXECUTED:
        return _EXECUTED_REF
    return _REJECTED_REF if kind == _REJECTED else -1


@kernel
def _take(loop, start, length, now_ns):
    """One message of the server: 0, or an outcome."""
    kind = np.int64(loop.inbox[at(start)]) if length > 0 else 0
    offset = _ref_offset(kind)
    if offset < 0 or length < offset + 4:
        return 0  # the end of an order that does not rest, an announcement
    number = load_big_4(loop.inbox, start + offset) - loop.words[FIRST_REF]
    if number < 0 or number >= loop.words[WRITTEN]:
        return 0  # of what the session did before
    mark = loop.marks[at(number)]
    if kind == _TIMES:
        return _note_times(loop, start, mark)
    if kind == _REJECTED:
        loop.words[REASON] = load_big_2(loop.inbox, start + _REJECTED_REASON)
        return REFUSED
    if kind == _EXECUTED:
        return TRADED
    if mark["answered_ns"] != 0:
        return CONFUSED
    mark["answered_ns"] = now_ns
    loop.words[COUNT_ANSWERED] += 1
    if loop.words[TIMED] and kind == _ACCEPTED:
        return _note_tags(loop.inbox, start + _ACCEPTED_SIZE, start + length, mark)
    return 0


@kernel
def _read(loop):
    """Take what has arrived: bytes, or minus an outcome."""
    words, inbox = loop.words, loop.inbox
    end = words[IN_END]
    count = recv(words[FD], address(inbox, end), len(inbox) - end, MSG_DONTWAIT)
    if count <= 0:
        return 0 if count < 0 and last_error() == EAGAIN else -GONE
    now_ns = monotonic_ns(loop.clock)
    end += count
    start = 0
    while True:
        kind, payload, length, after = next_packet(inbox, start, end, PACKET_LENGTH_MAX)
        if kind == NEEDS_MORE:
            break
        outcome = 0
        if kind == SEQUENCED_TYPE or kind == UNSEQUENCED_TYPE:
            outcome = _take(loop, payload, length, now_ns)
        elif kind == END_OF_SESSION_TYPE:
            outcome = ENDED
        elif kind < 0:
            outcome = CONFUSED
        if outcome:
            return -outcome
        start = after
    if start > 0:
        copy_bytes(inbox, 0, inbox, start, end - start)
    words[IN_END] = end - start
    return count


@cold_kernel
def run(loop, until_ns):
    """Send and read until all is answered (and told, with tag 143): an outcome.

    LATE when that is not so at `until_ns` of the monotonic clock. Call it again to go on.
    """
    words = loop.words
    if words[STARTED_NS] == 0:
        words[STARTED_NS] = monotonic_ns(loop.clock)
    while True:
        now_ns = monotonic_ns(loop.clock)
        done = 0
        if words[OUT_START] == words[OUT_END]:
            _write_due(loop, now_ns)
        if words[OUT_START] < words[OUT_END]:
            done = _flush(loop)
            if done < 0:
                return -done
        moved = _read(loop)
        if moved < 0:
            return -moved
        if words[COUNT_ANSWERED] == len(loop.marks):
            if words[TIMED] == 0 or words[COUNT_TOLD] == len(loop.marks):
                return DONE
        if now_ns >= until_ns:
            return LATE
        if done + moved == 0:
            if words[POLICY] == SPIN:
                pause()
            else:
                sched_yield()
