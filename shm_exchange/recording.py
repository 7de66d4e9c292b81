"""Kernel: the words by which a recorder and the rest of its engine know of each other."""

from ringbuf import counters
from ringbuf.atomics import fence_full, load_acquire, store_relaxed, store_release
from ringbuf.broadcast import DURABLE, RECORDED, overwritten, record_until
from ringbuf.jit import kernel
from ringbuf.layout import (
    PROCESS_COUNTER,
    PROCESS_ERRORS,
)

# Subscripts of what `beat` stores: five words of PROCESS, then counters from PROCESS.counter[0] on.
VALUE_HEARTBEAT, VALUE_POSITION, VALUE_LOOPS, VALUE_WORK, VALUE_ERRORS = range(5)
VALUE_COUNTERS = 5
# PROCESS.counter of a recorder.
COUNTER_DURABLE = 0  # positions below it are synced
COUNTER_FULL = 1  # 1 while the disk has no room
COUNTER_REPLICA = 2  # position of its replica
COUNTER_SNAPSHOT = 3  # position of the newest snapshot
COUNTER_SNAPSHOTS = 4  # snapshots written
COUNTER_SYNCS = 6  # syncs of the journal; 5 is wiring.COUNTER_DISK_SHORT
COUNTER_SYNC_NS = 7  # how long they took in all
COUNTER_SYNC_LAST_NS = 8  # the last one
COUNTER_SYNC_LONGEST_NS = 9  # the longest one
COUNTER_SNAPSHOT_TIME_NS = 10  # when the newest snapshot was written, since the epoch; 0: none
COUNTER_COUNT = 11


@kernel
def recorded(ring):
    """Count of positions that are in the journal, or NO_GATE. Anybody; acquire."""
    return load_acquire(ring.cursors, RECORDED)


@kernel
def durable(ring):
    """Count of positions that survive a loss of power. Anybody; acquire."""
    return load_acquire(ring.cursors, DURABLE)


@kernel
def durable_until(ring, position):
    """Everything below `position` survives a loss of power. Gating reader only; release."""
    store_release(ring.cursors, DURABLE, position)


@kernel
def take_gate(ring, position):
    """Become the ring's gating reader from `position` on; 0 when the ring no longer has that."""
    record_until(ring, position)
    fence_full()  # the publisher sees the gate, or we see what it claimed before it did
    return 0 if overwritten(ring, position) else 1


@kernel
def beat(words, values):
    """Say what a recorder has done. words: its PROCESS line, int64[32]; values: int64[16]."""
    counters.beat(
        words,
        0,
        values[VALUE_HEARTBEAT],
        values[VALUE_POSITION],
        values[VALUE_LOOPS],
        values[VALUE_WORK],
    )
    store_relaxed(words, PROCESS_ERRORS, values[VALUE_ERRORS])
    for number in range(COUNTER_COUNT):
        store_relaxed(words, PROCESS_COUNTER + number, values[VALUE_COUNTERS + number])
