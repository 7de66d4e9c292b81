"""Goal: what one process counts is what another reads, and two looks say what was between them.

Method: a real segment; the test is the gateway that counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from ringbuf.counters import observe
from shm_exchange import latencies
from shm_exchange.latencies import LIMITS_NS, STAGES

SOURCES, SOURCE = 4, 2
TIMES = (900, 1_500, 40_000, 3_000_000_000)  # ns


@pytest.fixture
def name() -> Iterator[str]:
    """Of an engine with histograms."""
    name = f"lat{os.getpid()}"
    made = latencies.create(name, 1, 5, SOURCES)
    yield name
    made.unlink()
    made.close()


def row_of(rows: list[dict[str, Any]], stage: str) -> dict[str, Any]:
    """The one line of a stage."""
    (found,) = [each for each in rows if each["stage"] == stage]
    return found


def test_what_is_counted_is_read(name: str) -> None:
    """By stage and by source, to a bucket; who counted nothing has no line."""
    own = latencies.attach(name, 1, SOURCE)
    for number, histogram in enumerate(own):
        for each in TIMES:
            observe(histogram, each + number)
    rows = latencies.rows(1, latencies.read(name, 1))
    assert [(row["engine"], row["source"], row["stage"]) for row in rows] == [
        (1, SOURCE, stage) for stage in STAGES
    ]
    found = row_of(rows, "total")
    assert (found["count"], found["sum_ns"]) == (4, sum(TIMES) + 4 * 3)
    assert found["p50_ns"] == pytest.approx(1_500, rel=0.04)
    assert found["p90_ns"] == found["max_ns"] == TIMES[-1] + 3
    assert dict(zip(LIMITS_NS, found["not_above"], strict=True)) == {
        each: 1 if each < 2_000 else 2 if each < 64_000 else 3 for each in LIMITS_NS
    }


def test_what_happened_between_two_looks(name: str) -> None:
    """Old values are in neither count nor percentile; a stage without new ones has no line."""
    own = latencies.attach(name, 1, SOURCE)
    for histogram in own:
        observe(histogram, 1_000_000)
    before = latencies.read(name, 1)
    observe(own[3], 2_000)
    after = latencies.read(name, 1)
    (row,) = latencies.rows(1, latencies.since(after, before))
    assert (row["stage"], row["count"], row["sum_ns"]) == ("total", 1, 2_000)
    assert row["p50_ns"] == row["max_ns"] == pytest.approx(2_000, rel=0.04)
    assert latencies.since(after, {}) == after
    assert latencies.since(after, after) == {}


def test_without_a_segment_nothing_is_read() -> None:
    """A writer counts for itself then."""
    nobody = f"nolat{os.getpid()}"
    own = latencies.attach(nobody, 1, SOURCE)
    observe(own[0], 5)
    assert latencies.read(nobody, 1) == {}
