"""Kernel: one publisher, any number of readers, no waiting.

The publisher never waits for readers, save one: it never overwrites beyond `recorded`, which the
gating reader moves (NO_GATE: nobody gates). Any other reader that falls a full ring behind is
told so (LAPPED) and must recover elsewhere.

Rule 1: only the publisher stores to `claimed` and `published`; only the gating reader to
        `recorded` and `durable`.
Rule 2: `published <= claimed`, and `claimed` never decreases, not even under a new publisher.
Rule 3: the record at `position` is intact while `claimed <= position + capacity`.

A publisher claims, writes the records, publishes. `claimed` runs ahead of `published` by up to an
eighth of the ring, so that it is stored seldom: readers are lapped that much earlier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ringbuf.atomics import (
    fence_acquire,
    fence_release,
    load_acquire,
    load_relaxed,
    store_relaxed,
    store_release,
)
from ringbuf.bits import at
from ringbuf.jit import kernel
from ringbuf.layout import BROADCAST_CURSORS, WORD_SIZE
from ringbuf.state import State

CLAIMED = BROADCAST_CURSORS.offset_of("claimed") // WORD_SIZE
PUBLISHED = BROADCAST_CURSORS.offset_of("published") // WORD_SIZE
RECORDED = BROADCAST_CURSORS.offset_of("recorded") // WORD_SIZE
DURABLE = BROADCAST_CURSORS.offset_of("durable") // WORD_SIZE
NO_GATE = 1 << 62

READY, EMPTY, LAPPED = 0, 1, 2
TORN = -1  # of `read_batch`


@State.register
class Broadcast(NamedTuple):
    """A broadcast ring; the record at `position` is `records[position & (capacity - 1)]`."""

    cursors: np.ndarray  # int64[32], BROADCAST_CURSORS
    records: np.ndarray  # structured[capacity], capacity a power of two


@kernel
def claim(ring, position, count):
    """Announce that the records from `position` on will be written. Publisher only.

    Returns 1, or 0 when the gating reader is too far behind. count <= capacity / 4. Afterwards
    `claimed >= position + count`, and that is visible before any byte written from now on.
    """
    needed = position + count
    if needed <= load_relaxed(ring.cursors, CLAIMED):
        return 1
    capacity = len(ring.records)
    limit = load_acquire(ring.cursors, RECORDED) + capacity
    if needed > limit:
        return 0
    store_relaxed(ring.cursors, CLAIMED, min(needed + capacity // 8, limit))
    fence_release()  # readers see the claim before any new byte
    return 1


@kernel
def publish(ring, position):
    """Make everything below `position` visible. Publisher only; release."""
    store_release(ring.cursors, PUBLISHED, position)


@kernel
def published(ring):
    """Count of positions that are complete. Anybody; acquire."""
    return load_acquire(ring.cursors, PUBLISHED)


@kernel
def overwritten(ring, position):
    """1 when what was read at `position`, and before it, is invalid. Reader, after its reads."""
    fence_acquire()  # the reads are finished before we judge them
    if load_relaxed(ring.cursors, CLAIMED) > position + len(ring.records):
        return 1
    return 0


@kernel
def poll(ring, position, out):
    """Copy the record at `position` into `out[0]`; return READY, EMPTY or LAPPED. Reader."""
    if position >= load_acquire(ring.cursors, PUBLISHED):
        return EMPTY
    out[0] = ring.records[at(position & (len(ring.records) - 1))]
    if overwritten(ring, position):
        return LAPPED
    return READY


@kernel
def read_batch(ring, position, limit, out):
    """Copy up to `limit` records from `position` on into `out`; their count, or TORN. Reader.

    TORN: the publisher was a ring ahead and may have overwritten them; `out` is worth nothing.
    """
    count = min(published(ring) - position, limit)
    if count <= 0:
        return 0
    mask = len(ring.records) - 1
    for offset in range(count):
        out[at(offset)] = ring.records[at((position + offset) & mask)]
    if overwritten(ring, position):
        return TORN
    return count


@kernel
def record_until(ring, position):
    """Let the publisher overwrite everything below `position`. Gating reader only; release."""
    store_release(ring.cursors, RECORDED, position)
