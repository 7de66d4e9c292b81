"""Pump: the sides of the ring benchmarks; `python -m perf.ring_sides KIND NAME CPU COUNT`.

The process that is measured against runs here: it warms its kernel, says READY, and goes.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from typing import NamedTuple

import numpy as np

from ringbuf import broadcast, host, spsc
from ringbuf.atomics import pause
from ringbuf.bits import at, copy_record
from ringbuf.broadcast import READY
from ringbuf.jit import cold_kernel, kernel
from ringbuf.segment import attach_broadcast, attach_spsc
from ringbuf.state import State
from ringbuf.syscalls import monotonic_ns

RECORD_DTYPE = np.dtype([(f"word_{number}", "<i8") for number in range(8)])
DIGEST, IDENTITY = 1, 1
CONSUME_STEP = 1024  # as in the C program: how often the reader gives room back
COPIES = 256  # 16 KiB: they stay in the first cache
PAUSES = 32  # of a reader that has found nothing, as in the C program
LAST = -1  # a request that ends the server


@State.register
class Copies(NamedTuple):
    """Where a reader copies records to."""

    records: np.ndarray  # RECORD[COPIES]
    words: np.ndarray  # int64[8 * COPIES], the same memory


def create_copies() -> Copies:
    """A line of memory for each record."""
    raw = np.zeros(8 * COPIES + 7, np.int64)
    first = -raw.ctypes.data % 64 // 8
    words = raw[first : first + 8 * COPIES]
    return Copies(words.view(RECORD_DTYPE), words)


@kernel
def serve(requests, answers):
    """Answer each record of a queue with the same record in a broadcast ring, until LAST."""
    position = 0
    request_mask, answer_mask = len(requests.records) - 1, len(answers.records) - 1
    while True:
        while spsc.published(requests) <= position:
            pause()
        request = requests.records[at(position & request_mask)]
        if request["word_0"] == LAST:
            return position
        while broadcast.claim(answers, position, 1) == 0:
            pause()
        answers.records[at(position & answer_mask)] = request
        position += 1
        broadcast.publish(answers, position)
        spsc.consume(requests, position)


@kernel
def ask(requests, answers, position, count, record, out):
    """Make `count` round trips from `position` on; the new position, or -1 for a wrong answer."""
    mask, room = len(requests.records) - 1, 0
    for trip in range(position, position + count):
        record[0]["word_0"] = trip
        while room <= 0:  # asked once for many: the server goes on storing to that line
            room = spsc.room(requests, trip)
        room -= 1
        requests.records[at(trip & mask)] = record[0]
        spsc.publish(requests, trip + 1)
        while broadcast.poll(answers, trip, out) != READY:
            pause()
        if out[0]["word_0"] != trip:
            return -1
    return position + count


@kernel
def ask_each(requests, answers, position, samples, record, out, scratch):
    """As `ask`, with the time of each trip in samples (ns)."""
    for trip in range(position, position + len(samples)):
        before = monotonic_ns(scratch)
        if ask(requests, answers, trip, 1, record, out) < 0:
            return -1
        samples[trip - position] = monotonic_ns(scratch) - before
    return position + len(samples)


@kernel
def produce(ring, prepared, count):
    """Publish `count` records one by one, as fast as the gating reader lets us.

    prepared: RECORD[1], written as one value; word_0 is the position then.
    """
    mask = len(ring.records) - 1
    for position in range(count):
        while broadcast.claim(ring, position, 1) == 0:
            pause()
        index = position & mask
        copy_record(ring.records, index, prepared, 0)
        ring.records[at(index)]["word_0"] = position
        broadcast.publish(ring, position + 1)
    return count


@kernel
def _give_room():
    """Who asks at once again pulls the line that is being written for every record."""
    for _ in range(PAUSES):
        pause()


@kernel
def _added(total, words):
    for number in range(len(words)):
        total += words[at(number)]
    return total


@kernel
def consume(ring, position, count, copies, totals):
    """Copy `count` records one by one, each judged; the new position, or -1 when lapped.

    copies: COPIES records and their words, which are added up when all are there. `position` and
    `count` are multiples of COPIES.
    """
    mask, seen = len(ring.records) - 1, broadcast.published(ring)
    total = totals[0]
    for place in range(position, position + count):
        while seen <= place:
            seen = broadcast.published(ring)
            if seen <= place:
                _give_room()
        copy_record(copies.records, place & (COPIES - 1), ring.records, place & mask)
        if broadcast.overwritten(ring, place):
            return -1
        if (place + 1) % COPIES == 0:
            total = _added(total, copies.words)
        if (place + 1) % CONSUME_STEP == 0:
            broadcast.record_until(ring, place + 1)
    totals[0] = total
    return position + count


@cold_kernel
def consume_each(ring, position, count, nanoseconds, copies, totals, clock):
    """As `consume`, in stretches without a pause between them; ns of each in nanoseconds.

    A pause would let the publisher fill the ring: a reader that then runs behind copies whole
    batches, and never pulls the line that is being written.
    """
    before = monotonic_ns(clock)
    for stretch in range(len(nanoseconds)):
        position = consume(ring, position, count, copies, totals)
        if position < 0:
            break
        after = monotonic_ns(clock)
        nanoseconds[at(stretch)] = after - before
        before = after
    return position


def main(kind: str, name: str, cpu: str, count: str) -> None:
    """Be one side."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG: never outlive the test
    host.pin(int(cpu))
    _, ring = attach_broadcast(name + ".ring", RECORD_DTYPE, DIGEST)
    if kind == "produce":
        prepared = np.arange(8, dtype=np.int64).view(RECORD_DTYPE)
        produce(ring, prepared, 0)
        print("READY", flush=True)
        produce(ring, prepared, int(count))
        return
    _, requests = attach_spsc(name + ".requests", RECORD_DTYPE, DIGEST)
    last = np.full(1, LAST, np.int64).repeat(8).view(RECORD_DTYPE)
    warm = spsc.Spsc(np.ones(32, np.int64), last.repeat(8))
    serve(warm, ring)
    print("READY", flush=True)
    serve(requests, ring)


if __name__ == "__main__":
    main(*sys.argv[1:])
