"""Goal: no percentile is said that the samples cannot give; counts lose no sample.

Method: sets of every size around what a percentile takes; buckets against the samples themselves.
"""

from __future__ import annotations

import numpy as np
import pytest

from perf.latency_figures import BUCKET_WIDTH, counts, distributions, figures, histogram_of
from perf.results_file import DISTRIBUTIONS


@pytest.mark.parametrize(
    ("samples", "last"),
    [
        (1, "100"),
        (9, "50"),
        (10, "90"),
        (99, "90"),
        (100, "99"),
        (999, "99"),
        (1_000, "99.9"),
        (9_999, "99.9"),
        (10_000, "99.99"),
    ],
)
def test_percentiles_that_the_samples_can_give(samples: int, last: str) -> None:
    """At least one sample lies above the highest; the largest is always said."""
    names = ["50", "90", "99", "99.9", "99.99"]
    said = names[: names.index(last) + 1] if last in names else []
    assert list(figures(np.arange(1, samples + 1))) == [*said, "100"]


def test_any_shape() -> None:
    """Rounds of trips are one set."""
    values = np.arange(1, 2_001).reshape(4, 500)
    assert figures(values) == figures(values.reshape(-1))


def test_counts_are_of_all_samples() -> None:
    """Each bucket holds what lies in it, none is empty, and all together are the samples."""
    values = np.random.default_rng(1).lognormal(10, 2, 20_000).astype(np.int64) + 1
    found = counts(histogram_of(values))
    assert sum(count for _, count in found) == len(values)
    assert all(count > 0 for _, count in found)
    assert found == sorted(found) and len({value for value, _ in found}) == len(found)
    least, most = values.min(), values.max()
    assert found[0][0] <= least and found[-1][0] <= most <= found[-1][0] * BUCKET_WIDTH * 1.001
    middle = 2.0 ** (np.arange(40, 80, 4) / 4 + 1 / 8)  # well within a bucket each
    assert counts(histogram_of(middle.astype(np.int64))) == [[1 << k, 1] for k in range(10, 20)]


def test_what_is_noted() -> None:
    """Numbers that JSON has, by picture and by set."""
    noted = distributions({"orders by ns": {"ours": histogram_of([1_100, 1_100, 5_000])}})
    assert noted == {DISTRIBUTIONS: {"orders by ns": {"ours": [[1_024, 2], [4_871, 1]]}}}
