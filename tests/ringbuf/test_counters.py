"""Goal: counts are exact, and a percentile is at most one bucket off.

Method: against numpy's sorted values, at the edges of all buckets and under hypothesis.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.counters import (
    COUNT,
    MAXIMUM,
    TOTAL,
    VALUE,
    add,
    beat,
    bucket_limit,
    bucket_of,
    counters_size,
    label_of,
    mean,
    name_row,
    observe,
    percentiles,
    view_counters,
)
from ringbuf.errors import UsageError
from ringbuf.layout import (
    HISTOGRAM_BUCKETS,
    HISTOGRAM_VALUE_BITS,
    HISTOGRAM_WORDS,
    PROCESS,
)

LARGEST = (1 << HISTOGRAM_VALUE_BITS) - 1


def test_buckets_follow_each_other_without_a_gap() -> None:
    limits = [bucket_limit(bucket) for bucket in range(HISTOGRAM_BUCKETS)]
    assert limits == sorted(set(limits)) and limits[-1] == LARGEST
    for bucket, limit in enumerate(limits):
        assert bucket_of(limit) == bucket
        assert bucket_of(limit + 1) == min(bucket + 1, HISTOGRAM_BUCKETS - 1)


def test_values_outside_count_at_the_ends() -> None:
    assert bucket_of(-5) == 0
    assert bucket_of(1 << 62) == HISTOGRAM_BUCKETS - 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, LARGEST), min_size=1, max_size=60))
def test_percentiles_are_within_a_bucket(values: list[int]) -> None:
    histogram = np.zeros(HISTOGRAM_WORDS, np.int64)
    for value in values:
        observe(histogram, value)
    assert histogram[COUNT] == len(values) and histogram[MAXIMUM] == max(values)
    assert histogram[TOTAL] == sum(values) and mean(histogram) == sum(values) / len(values)
    ordered = sorted(values)
    percents = (1, 50, 99, 100)
    for percent, found in zip(percents, percentiles(histogram, percents), strict=True):
        exact = ordered[max(1, int(np.ceil(len(values) * percent / 100))) - 1]
        assert exact <= found <= exact * 1.0323 + 1


def test_an_empty_histogram_says_zero() -> None:
    histogram = np.zeros(HISTOGRAM_WORDS, np.int64)
    assert percentiles(histogram, (50, 99)) == [0, 0] and mean(histogram) == 0


def test_a_heartbeat_is_one_line() -> None:
    row = np.zeros(1, PROCESS.dtype)
    line = row.view(np.int64)
    beat(line, 0, 1000, 7, 1, 0)
    beat(line, 0, 2000, 9, 2, 2)
    assert row["heartbeat_ns"] == 2000 and row["position"] == 9
    assert row["loops"] == 2 and row["work"] == 2


def test_a_block_has_names_and_rows_of_its_own() -> None:
    block = view_counters(np.zeros(counters_size(3, 2) + 8, np.uint8), 3, 2)
    for number, row in enumerate([*block.counters, *block.histograms]):
        name_row(row, f"counter {number}", number)
    add(block.counters[1], VALUE, 5)
    observe(block.histograms[0], 100)
    assert block.counters[:, VALUE].tolist() == [0, 5, 0]
    assert block.histograms[:, COUNT].tolist() == [1, 0]
    labels = [label_of(row) for row in [*block.counters, *block.histograms]]
    assert labels == [f"counter {number}" for number in range(5)]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError):
        view_counters(np.zeros(63, np.uint8), 1, 0)
    block = view_counters(np.zeros(counters_size(1, 0), np.uint8), 1, 0)
    with pytest.raises(UsageError):
        name_row(block.counters[0], "x" * 49, 0)
