"""Kernel: a bounded queue of one producer and one consumer; it never overwrites.

Each side knows its own next position (a private integer) and reads the other side's word. The
producer asks `room` once and then writes that many records without looking again, which keeps
the consumer's line with the consumer.

Rule 1: only the producer stores to `published`, only the consumer to `consumed`.
Rule 2: `consumed <= published <= consumed + capacity`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ringbuf.atomics import load_acquire, store_release
from ringbuf.bits import at
from ringbuf.jit import kernel
from ringbuf.layout import SPSC_CURSORS, WORD_SIZE
from ringbuf.state import State

PUBLISHED = SPSC_CURSORS.offset_of("published") // WORD_SIZE
INCARNATION = SPSC_CURSORS.offset_of("incarnation") // WORD_SIZE
CONSUMED = SPSC_CURSORS.offset_of("consumed") // WORD_SIZE

READY, EMPTY = 0, 1
FULL = -1


@State.register
class Spsc(NamedTuple):
    """A queue; the record at `position` is `records[position & (capacity - 1)]`."""

    cursors: np.ndarray  # int64[32], SPSC_CURSORS
    records: np.ndarray  # structured[capacity], capacity a power of two


@kernel
def room(ring, position):
    """Free records for the producer whose next position is `position`. Producer; acquire."""
    return len(ring.records) - (position - load_acquire(ring.cursors, CONSUMED))


@kernel
def publish(ring, position):
    """Make everything below `position` visible to the consumer. Producer only; release."""
    store_release(ring.cursors, PUBLISHED, position)


@kernel
def published(ring):
    """Count of positions that are complete. Anybody; acquire."""
    return load_acquire(ring.cursors, PUBLISHED)


@kernel
def consume(ring, position):
    """Give everything below `position` back to the producer. Consumer only; release."""
    store_release(ring.cursors, CONSUMED, position)


@kernel
def consumed(ring):
    """Count of positions that the consumer has finished with. Anybody; acquire."""
    return load_acquire(ring.cursors, CONSUMED)


@kernel
def offer(ring, position, record):
    """Append `record[0]` and make it visible; return the new position, or FULL. Producer only."""
    if room(ring, position) <= 0:
        return FULL
    ring.records[at(position & (len(ring.records) - 1))] = record[0]
    publish(ring, position + 1)
    return position + 1


@kernel
def poll(ring, position, out):
    """Copy the record at `position` into `out[0]`; return READY or EMPTY. Consumer only.

    The record stays the consumer's until it calls `consume`.
    """
    if position >= published(ring):
        return EMPTY
    out[0] = ring.records[at(position & (len(ring.records) - 1))]
    return READY
