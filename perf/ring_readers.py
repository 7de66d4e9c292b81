"""Pump: processes that read an event ring and hold nobody up: `python -m perf.ring_readers`.

    python -m perf.ring_readers RING COUNT CPU

Says the process id of each reader, reads until its standard input ends, and prints how many records
all readers copied. They are forked from one process that has loaded the code, all on one core, and
do as gateways and researchers' programs do: look at `published`, copy what is new, judge it, give
way when there is nothing. None is the ring's gate; who falls a ring behind goes on at its end.
"""

from __future__ import annotations

import mmap
import os
import sys

import numpy as np

from ringbuf import host
from ringbuf.bits import at
from ringbuf.broadcast import Broadcast, overwritten, published
from ringbuf.jit import cold_kernel
from ringbuf.segment import attach_broadcast
from ringbuf.syscalls import sched_yield
from shm_exchange.messages import EVENT_DTYPE

STOP = 0  # of `words`; behind it what each reader has copied
_COPIES = 64
_LOOKS = 1 << 10  # after which the words are looked at, by Python


@cold_kernel
def follow(ring, position, looks, records):
    """Copy what is new, `looks` times; return the position reached, and how many were intact."""
    copied = 0
    mask, target = len(ring.records) - 1, len(records) - 1
    for _ in range(looks):
        last = published(ring)
        if last == position:
            sched_yield()
        elif last - position > len(ring.records) // 2:
            position = last
        while position < last:
            records[at(position & target)] = ring.records[at(position & mask)]
            if overwritten(ring, position):
                position = last
            else:
                position += 1
                copied += 1
    return position, copied


def _read(ring: Broadcast, words: np.ndarray, number: int) -> None:
    """Be one reader until the stop word is set."""
    records = np.zeros(_COPIES, EVENT_DTYPE)
    position = int(published(ring))
    while not words[STOP]:
        position, copied = follow(ring, position, _LOOKS, records)
        words[1 + number] += copied


def main(name: str, count: int, cpu: int) -> None:
    """Fork the readers, wait for the end of the input, print what they copied."""
    host.die_with_parent()
    host.pin(cpu)
    segment, ring = attach_broadcast(name, EVENT_DTYPE, None)
    words = np.frombuffer(mmap.mmap(-1, 8 * (1 + count)), np.int64)
    follow(ring, int(published(ring)), 1, np.zeros(_COPIES, EVENT_DTYPE))
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            host.die_with_parent()
            _read(ring, words, number)
            os._exit(0)
        children.append(child)
    print(*children, flush=True)
    sys.stdin.read()
    words[STOP] = 1
    for child in children:
        os.waitpid(child, 0)
    print(int(words[1:].sum()), flush=True)
    del ring
    segment.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
