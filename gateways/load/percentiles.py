"""Shell: HDR histograms of latencies, and where an order's time went.

Values up to a minute, to three digits. Histograms of several runs add up without losing a value,
which percentiles do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from gateways.ouch.messages import NANOSECONDS_PER_DAY

PERCENTS = (50.0, 90.0, 99.0, 99.9, 99.99, 100.0)
_NS_MAX = 60_000_000_000
_DIGITS = 3
# Of each stage its name, and the two marks of an order between which it lies.
STAGES = (
    ("network and client, in", "due", "received"),
    ("gateway: read, checked, into the ring", "received", "enqueued"),
    ("command ring", "enqueued", "matched"),
    ("matched, published, out of the ring", "matched", "published"),
    ("gateway: encoded, sent", "published", "left"),
    ("network and client, out", "left", "answered"),
)
WHOLE = "whole"
MIDDLE, ALL, SLOWEST = "middle_tenth", "all", "slowest_hundredth"


def histogram(values: np.ndarray) -> HdrHistogram:
    """Of int64[n], ns."""
    made = HdrHistogram(1, _NS_MAX, _DIGITS)
    for value, count in zip(*np.unique(values, return_counts=True), strict=True):
        made.record_value(min(max(1, int(value)), _NS_MAX), int(count))
    return made


def percentiles(made: HdrHistogram) -> dict[float, int]:
    """ns by percent; 100 is the largest."""
    return {percent: int(made.get_value_at_percentile(percent)) for percent in PERCENTS}


def latencies(marks: np.ndarray) -> np.ndarray:
    """ns from the moment that each order was due. marks: MARK_DTYPE[n], all answered."""
    return np.asarray(marks["answered_ns"] - marks["due_ns"])


def stages(marks: np.ndarray) -> list[dict[str, Any]]:
    """Mean ns of each stage, and of the whole, which is their sum.

    Three times: of the orders in the middle tenth by latency, of all, and of the slowest hundredth.
    marks: MARK_DTYPE[n], of orders with tag 143; those that were not told everything are left out.
    """
    told = marks[(marks["left"] != 0) & (marks["answered_ns"] != 0)]
    if not len(told):
        return []
    times = _on_one_clock(told)
    whole = times["answered"] - times["due"]
    low, high, slow = np.percentile(whole, (45, 55, 99))
    groups = {
        MIDDLE: (whole >= low) & (whole <= high),
        ALL: np.ones(len(told), bool),
        SLOWEST: whole >= slow,
    }
    parts = {name: times[end] - times[start] for name, start, end in STAGES} | {WHOLE: whole}
    return [
        {"stage": name}
        | {group: round(float(part[chosen].mean())) for group, chosen in groups.items()}
        for name, part in parts.items()
    ]


def _on_one_clock(marks: np.ndarray) -> Mapping[str, np.ndarray]:
    """Every mark in ns of the monotonic clock."""
    due, apart = marks["due_ns"], marks["clocks_apart"]
    times = {"due": due, "answered": marks["answered_ns"]}
    half = NANOSECONDS_PER_DAY // 2
    for name in ("received", "enqueued", "matched", "published", "left"):
        # Midnight may lie between the order and its stage.
        since = (marks[name] - (due + apart) + half) % NANOSECONDS_PER_DAY - half
        times[name] = due + since
    return times
