"""Pump: the sides of the ring benchmarks; `python -m perf.ring_sides KIND NAME CPU COUNT`.

The process that is measured against runs here: it warms its kernel, says READY, and goes.
"""

from __future__ import annotations

import ctypes
import signal
import sys

import numpy as np

from ringbuf import broadcast, host, spsc
from ringbuf.atomics import pause
from ringbuf.bits import at
from ringbuf.broadcast import READY
from ringbuf.jit import cold_kernel, kernel
from ringbuf.segment import attach_broadcast, attach_spsc
from ringbuf.syscalls import monotonic_ns

RECORD_DTYPE = np.dtype([(f"word_{number}", "<i8") for number in range(8)])
DIGEST, IDENTITY = 1, 1
CONSUME_STEP = 1024  # as in the C program: how often the reader gives room back
PAUSES = 32  # of a reader that has found nothing, as in the C program
LAST = -1  # a request that ends the server


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
    for trip in range(position, position + count):
        record[0]["word_0"] = trip
        while spsc.offer(requests, trip, record) == spsc.FULL:
            pause()
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
def produce(ring, count):
    """Publish `count` records one by one, as fast as the gating reader lets us."""
    mask = len(ring.records) - 1
    for position in range(count):
        while broadcast.claim(ring, position, 1) == 0:
            pause()
        record = ring.records[at(position & mask)]
        record["word_0"] = position
        record["word_1"] = position + 1
        record["word_2"] = position + 2
        record["word_3"] = position + 3
        record["word_4"] = position + 4
        record["word_5"] = position + 5
        record["word_6"] = position + 6
        record["word_7"] = position + 7
        broadcast.publish(ring, position + 1)
    return count


@kernel
def _give_room():
    """Who asks at once again pulls the line that is being written for every record."""
    for _ in range(PAUSES):
        pause()


@kernel
def consume(ring, position, count, totals):
    """Read `count` records one by one, each judged; the new position, or -1 when lapped."""
    mask, seen = len(ring.records) - 1, broadcast.published(ring)
    total = totals[0]
    for place in range(position, position + count):
        while seen <= place:
            seen = broadcast.published(ring)
            if seen <= place:
                _give_room()
        record = ring.records[at(place & mask)]
        part = record["word_0"] + record["word_1"] + record["word_2"] + record["word_3"]
        part += record["word_4"] + record["word_5"] + record["word_6"] + record["word_7"]
        if broadcast.overwritten(ring, place):
            return -1
        total += part
        if (place + 1) % CONSUME_STEP == 0:
            broadcast.record_until(ring, place + 1)
    totals[0] = total
    return position + count


@cold_kernel
def consume_each(ring, position, count, nanoseconds, totals, clock):
    """As `consume`, in stretches without a pause between them; ns of each in nanoseconds.

    A pause would let the publisher fill the ring: a reader that then runs behind copies whole
    batches, and never pulls the line that is being written.
    """
    before = monotonic_ns(clock)
    for stretch in range(len(nanoseconds)):
        position = consume(ring, position, count, totals)
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
        produce(ring, 0)
        print("READY", flush=True)
        produce(ring, int(count))
        return
    _, requests = attach_spsc(name + ".requests", RECORD_DTYPE, DIGEST)
    last = np.full(1, LAST, np.int64).repeat(8).view(RECORD_DTYPE)
    warm = spsc.Spsc(np.ones(32, np.int64), last.repeat(8))
    serve(warm, ring)
    print("READY", flush=True)
    serve(requests, ring)


if __name__ == "__main__":
    main(*sys.argv[1:])
