"""Shell: how long orders take at each gateway, stage by stage: histograms in shared memory.

A segment of each engine, with a row of histograms for each source of commands. A gateway counts
into its own (gateways/ouch/latency.py), and anybody reads; a count is never taken back, so the
difference of two looks is what happened between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ringbuf import segment
from ringbuf.counters import BUCKETS, COUNT, MAXIMUM, TOTAL, bucket_limit, percentiles
from ringbuf.errors import SegmentError
from ringbuf.layout import HISTOGRAM, HISTOGRAM_BUCKETS, HISTOGRAM_WORDS
from ringbuf.schema import combined_digest
from ringbuf.segment import Segment
from shm_exchange.wiring import prefix

# From the stage before to this one, the first since it was read from its socket; and all of it.
TOTAL_STAGE = "total"
STAGES = ("matched", "published", "sent", TOTAL_STAGE)
PERCENTS = {"p50_ns": 50.0, "p90_ns": 90.0, "p99_ns": 99.0, "p99_9_ns": 99.9, "max_ns": 100.0}
LIMITS_NS = [1_000 * 2**each for each in range(21)]  # 1 µs to 1 s: for buckets of our own choice
ROW_SIZE = len(STAGES) * HISTOGRAM.size
DIGEST = combined_digest(HISTOGRAM)
BUCKET_LIMITS = np.array([bucket_limit(each) for each in range(HISTOGRAM_BUCKETS)])


Histograms = Mapping[tuple[int, str], np.ndarray]  # (source, stage) -> int64[1168]


def segment_name(name: str, engine: int) -> str:
    """What an engine's histograms are called."""
    return f"{prefix(name)}e{engine}.latencies"


def create(name: str, engine: int, identity: int, sources: int) -> Segment:
    """Histograms for so many sources, empty. Raises SegmentError."""
    return segment.create_segment(
        segment_name(name, engine),
        sources * ROW_SIZE,
        DIGEST,
        identity,
        capacity=sources,
        record_size=ROW_SIZE,
    )


def attach(name: str, engine: int, source: int) -> list[np.ndarray]:
    """The histograms of a source, for itself. Without a segment: some that nobody reads."""
    try:
        found = segment.attach_segment(segment_name(name, engine), DIGEST)
    except SegmentError:  # an engine that was put together by hand, for a test or a measurement
        return list(np.zeros((len(STAGES), HISTOGRAM_WORDS), np.int64))
    row = found.bytes[source * ROW_SIZE :][:ROW_SIZE]
    found.close()  # the arrays keep the mapping
    return list(row.view(np.int64).reshape(len(STAGES), HISTOGRAM_WORDS))


def read(name: str, engine: int) -> Histograms:
    """A copy of those in which something was counted; nothing when there is no such segment."""
    try:
        found = segment.attach_segment(segment_name(name, engine), DIGEST, read_only=True)
    except SegmentError:
        return {}
    words = found.bytes.view(np.int64).reshape(-1, len(STAGES), HISTOGRAM_WORDS)
    counted = np.flatnonzero(words[:, 0, COUNT])
    copies = {
        (int(source), stage): words[source, number].copy()
        for source in counted
        for number, stage in enumerate(STAGES)
    }
    del words
    found.close()
    return copies


def since(now: Histograms, before: Histograms) -> Histograms:
    """What was counted between two looks; its maximum is known to a bucket."""
    grown = {}
    for key, words in now.items():
        earlier = before.get(key)
        if earlier is None:
            grown[key] = words
        elif words[COUNT] != earlier[COUNT]:
            grown[key] = words - earlier
            grown[key][MAXIMUM] = 0
    return grown


def rows(engine: int, histograms: Histograms) -> list[dict[str, Any]]:
    """A line for each stage of each source, times in ns."""
    return [
        {
            "engine": engine,
            "source": source,
            "stage": stage,
            "count": int(words[COUNT]),
            **dict(zip(PERCENTS, percentiles(words, list(PERCENTS.values())), strict=True)),
            "sum_ns": int(words[TOTAL]),
            "not_above": not_above(words),
        }
        for (source, stage), words in histograms.items()
    ]


def not_above(words: np.ndarray) -> list[int]:
    """How many of the values are not above each of LIMITS_NS, to a bucket."""
    sums = np.concatenate(([0], np.cumsum(words[BUCKETS : BUCKETS + HISTOGRAM_BUCKETS])))
    return [int(sums[each]) for each in np.searchsorted(BUCKET_LIMITS, LIMITS_NS, side="right")]
