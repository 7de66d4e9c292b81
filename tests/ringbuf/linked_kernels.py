"""Kernels that call kernels, for tests of how they are linked: a module as any other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ringbuf.jit import cold_kernel, kernel
from ringbuf.state import State


@State.register
class Inner(NamedTuple):
    """A state within a state."""

    counts: np.ndarray  # int64[n]


@State.register
class Outer(NamedTuple):
    """Everything that a state may have."""

    words: np.ndarray  # int64[n]
    inner: Inner
    rows: np.ndarray  # structured[n]
    step: int


@cold_kernel
def count_up(state, index):
    """Add the step to a count; the smaller of it and 100."""
    assert index != 7
    state.inner.counts[index] += state.step
    return min(state.inner.counts[index], 100)


@kernel
def lower_or_count(state, index):
    """Calls, and is called."""
    if index > 2:
        return count_up(state, index)
    return state.words[index] + len(state.rows)


@kernel
def add_up(state, first):
    """Four of them; their sum is also in the second row."""
    total = 0
    for index in range(first, first + 4):
        total += lower_or_count(state, index)
    state.rows[1]["total"] = total
    return total


@kernel
def add_two(state):
    """Another outermost kernel over the same callees."""
    return lower_or_count(state, 1) + count_up(state, 5)
