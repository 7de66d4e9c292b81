"""Kernel: heartbeats, named counters and latency histograms. One writer each, any reader.

Every word is int64 and is stored whole, so a reader never sees half of one; it may see the words
of one histogram at slightly different moments. Kernels take int64 arrays: the line of a process
(`segment.process_line`), a row of COUNTER or HISTOGRAM words.

A value falls into the bucket of its power of two and its next five bits: at most 3.2 % off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ringbuf import layout
from ringbuf.atomics import load_relaxed, store_relaxed
from ringbuf.bits import leading_zeros
from ringbuf.errors import UsageError
from ringbuf.jit import kernel
from ringbuf.layout import (
    COUNTER,
    COUNTER_WORDS,
    HISTOGRAM,
    HISTOGRAM_BITS,
    HISTOGRAM_BUCKETS,
    HISTOGRAM_WORDS,
    PROCESS_HEARTBEAT,
    PROCESS_LOOPS,
    PROCESS_POSITION,
    PROCESS_WORK,
    WORD_SIZE,
)
from ringbuf.state import State

COUNT = HISTOGRAM.offset_of("count") // WORD_SIZE
TOTAL = HISTOGRAM.offset_of("total") // WORD_SIZE
MAXIMUM = HISTOGRAM.offset_of("maximum") // WORD_SIZE
BUCKETS = HISTOGRAM.offset_of("buckets") // WORD_SIZE
VALUE = COUNTER.offset_of("value") // WORD_SIZE

_LINEAR = 1 << HISTOGRAM_BITS
_VALUE_MAX = (1 << layout.HISTOGRAM_VALUE_BITS) - 1


@State.register
class Counters(NamedTuple):
    """A block of named counters and histograms, as rows of words for kernels."""

    counters: np.ndarray  # int64[n, 8], COUNTER
    histograms: np.ndarray  # int64[m, 1168], HISTOGRAM


@kernel
def add(words, index, amount):
    """Add to a word that only we write. words: int64[n]."""
    store_relaxed(words, index, load_relaxed(words, index) + amount)


@kernel
def beat(words, base, now_ns, position, loops, work):
    """Say that this process is alive, after `loops` passes of its loop that did `work` in all.

    words: int64, PROCESS lines; base: subscript of our own line; position: our next position.
    """
    store_relaxed(words, base + PROCESS_HEARTBEAT, now_ns)
    store_relaxed(words, base + PROCESS_POSITION, position)
    store_relaxed(words, base + PROCESS_LOOPS, loops)
    store_relaxed(words, base + PROCESS_WORK, work)


@kernel
def bucket_of(value):
    """Number of the bucket that counts `value` (ns). Below 0 counts as 0, too large as largest."""
    value = min(max(value, 0), _VALUE_MAX)
    if value < _LINEAR:
        return value
    shift = 63 - HISTOGRAM_BITS - leading_zeros(value)
    return (shift << HISTOGRAM_BITS) + (value >> shift)


@kernel
def observe(histogram, value):
    """Count one latency (ns). histogram: int64[1168], owner only."""
    add(histogram, BUCKETS + bucket_of(value), 1)
    add(histogram, TOTAL, value)
    if value > load_relaxed(histogram, MAXIMUM):
        store_relaxed(histogram, MAXIMUM, value)
    add(histogram, COUNT, 1)


def bucket_limit(bucket: int) -> int:
    """Largest value that falls into `bucket`."""
    if bucket < _LINEAR:
        return bucket
    shift = (bucket >> HISTOGRAM_BITS) - 1
    return ((_LINEAR + (bucket & (_LINEAR - 1)) + 1) << shift) - 1


def percentiles(histogram: np.ndarray, percents: Sequence[float]) -> list[int]:
    """The values (ns) that so many percent of the observations do not exceed; 0 when empty."""
    buckets = histogram[BUCKETS : BUCKETS + HISTOGRAM_BUCKETS].copy()
    sums = np.cumsum(buckets)
    if not sums[-1]:
        return [0 for _ in percents]
    largest = int(histogram[MAXIMUM])
    found = []
    for percent in percents:
        rank = max(1, int(np.ceil(sums[-1] * percent / 100)))
        bucket = int(np.searchsorted(sums, rank))
        found.append(min(bucket_limit(bucket), largest) if largest else bucket_limit(bucket))
    return found


def mean(histogram: np.ndarray) -> float:
    """Mean of the observations in ns; 0 when empty."""
    count = int(histogram[COUNT])
    return int(histogram[TOTAL]) / count if count else 0.0


def counters_size(counter_count: int, histogram_count: int) -> int:
    """Bytes that a block of so many counters and histograms takes."""
    return counter_count * COUNTER.size + histogram_count * HISTOGRAM.size


def view_counters(data: np.ndarray, counter_count: int, histogram_count: int) -> Counters:
    """A block of counters over uint8[counters_size(...)], for example `Segment.bytes`."""
    if data.nbytes < counters_size(counter_count, histogram_count):
        raise UsageError(f"{data.nbytes} bytes are too few for these counters")
    middle = counter_count * COUNTER.size
    end = counters_size(counter_count, histogram_count)
    return Counters(
        counters=data[:middle].view(np.int64).reshape(counter_count, COUNTER_WORDS),
        histograms=data[middle:end].view(np.int64).reshape(histogram_count, HISTOGRAM_WORDS),
    )


def name_row(row: np.ndarray, label: str, owner: int) -> None:
    """Name a counter or a histogram (at most 48 ASCII characters). The creator, once."""
    record = COUNTER if len(row) == COUNTER_WORDS else HISTOGRAM
    encoded = label.encode("ascii")
    start = record.offset_of("label")
    size = next(each.size for each in record.fields if each.name == "label")
    if len(encoded) > size:
        raise UsageError(f"the label {label!r} is longer than {size} characters")
    row.view(np.uint8)[start : start + size] = np.frombuffer(encoded.ljust(size, b"\0"), np.uint8)
    row[record.offset_of("owner") // WORD_SIZE] = owner


def label_of(row: np.ndarray) -> str:
    """The name of a counter or a histogram."""
    record = COUNTER if len(row) == COUNTER_WORDS else HISTOGRAM
    start = record.offset_of("label")
    size = next(each.size for each in record.fields if each.name == "label")
    return row.view(np.uint8)[start : start + size].tobytes().rstrip(b"\0").decode("ascii")
