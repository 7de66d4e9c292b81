"""Shell: a process that does nothing but read an event ring, record by record.

`python -m shm_exchange.tape_reader RING CPU` (CPU -1: any) says `ready`, reads until its standard
input ends, and prints how many records it copied. It moves the ring's gate, so it misses none.
"""

from __future__ import annotations

import select
import sys
import time

import numpy as np

from ringbuf.broadcast import published, record_until
from ringbuf.host import pin
from ringbuf.segment import attach_broadcast
from shm_exchange.messages import EVENT_DTYPE
from shm_exchange.tape import drain

_LOOKS = 1 << 14  # some milliseconds at most until the standard input is asked again
_COPIES = 64  # records: stays in the first cache
_NAP_SECONDS = 0.0005


def read(name: str, cpu: int) -> int:
    """Copy every record of the ring until the standard input ends; return how many."""
    if cpu >= 0:
        pin(cpu)
    # On a single core the publisher cannot run while we spin.
    nap = 0.0 if cpu >= 0 else _NAP_SECONDS
    segment, ring = attach_broadcast(name, EVENT_DTYPE, None)
    try:
        first = position = int(published(ring))
        records = np.zeros(_COPIES, EVENT_DTYPE)
        record_until(ring, position)  # from now on we are the gate
        position = int(drain(ring, position, 1, records))  # compiled before we are ready
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            before = position
            position = int(drain(ring, position, _LOOKS, records))
            if nap and position == before:
                time.sleep(nap)
        while position < int(published(ring)):  # the publisher has ended: what it left
            position = int(drain(ring, position, _LOOKS, records))
        return position - first
    finally:
        del ring
        segment.close()


if __name__ == "__main__":
    print(read(sys.argv[1], int(sys.argv[2])), flush=True)
