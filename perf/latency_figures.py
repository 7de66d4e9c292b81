"""Shell: what is said of latencies everywhere, from an HDR histogram: percentiles and counts.

A percentile is said where the samples can give it: at least one of them has to lie above it, so
99.99 % takes 10,000 samples and 99.9 % takes 1,000.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from gateways.load.percentiles import histogram, percentiles
from perf.results_file import DISTRIBUTIONS

_BUCKETS_PER_DOUBLING = 4
BUCKET_WIDTH = 2 ** (1 / _BUCKETS_PER_DOUBLING)  # times its least value: what a picture can show


def figures(samples: Any) -> dict[str, int]:
    """ns by percent, 50 to 100, which is the largest: of all samples, whatever their shape."""
    return figures_of(histogram_of(samples))


def histogram_of(samples: Any) -> HdrHistogram:
    """Of all samples, ns, whatever their shape."""
    return histogram(np.asarray(samples).reshape(-1))


def figures_of(made: HdrHistogram) -> dict[str, int]:
    """The same of samples that were counted before."""
    return {
        f"{percent:g}": value
        for percent, value in percentiles(made).items()
        if percent == 100 or made.total_count >= samples_for(percent)
    }


def samples_for(percent: float) -> int:
    """How many samples a percentile takes."""
    return round(100 / (100 - percent))


def counts(made: HdrHistogram) -> list[list[int]]:
    """How many samples lie from each ns on, to the next bucket's; those without any are left out.

    Buckets are of equal width on a logarithmic axis.
    """
    found: Counter[int] = Counter()
    for each in made.get_recorded_iterator():
        place = math.floor(math.log(each.value_iterated_to, BUCKET_WIDTH))
        found[round(BUCKET_WIDTH**place)] += each.count_added_in_this_iter_step
    return [[value, count] for value, count in sorted(found.items())]


def distributions(pictures: Mapping[str, Mapping[str, HdrHistogram]]) -> dict[str, Any]:
    """For `extra_info`: counts of samples by ns. pictures: by title, then by the label of each."""
    made = {
        title: {label: counts(each) for label, each in histograms.items()}
        for title, histograms in pictures.items()
    }
    return {DISTRIBUTIONS: made}
