"""Loads, stores, compare-exchange and fence of `ringbuf.atomics`, beside the same in bare C.

Included: the operation and the loop around it, on a word that lies in the first cache; with the
fence a plain store before it. Not included: what it costs when another core has the word, which is
`test_ring.py`. The C program does as many of the same operation, in turns with ours; the best round
of each counts. A load that the compiler may not leave out costs next to nothing: there the loop is
what is measured.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perf import baseline
from perf.results_file import in_turns
from ringbuf.atomics import compare_exchange, fence_full, load_acquire, store_release
from ringbuf.jit import kernel

ROUNDS = 9
OPERATIONS = 2_000_000  # of a round


@kernel
def _load(words, count):
    total = 0
    for _ in range(count):
        total += load_acquire(words, 0)
    return total


@kernel
def _store(words, count):
    for number in range(count):
        store_release(words, 0, number)
    return count


@kernel
def _exchange(words, count):
    done = 0
    for number in range(count):
        done += compare_exchange(words, 0, number, number + 1) == number
    return done


@kernel
def _fence(words, count):
    for number in range(count):
        words[0] = number
        fence_full()  # of several without an access between them the compiler leaves one
    return count


# Of each what its loop returns, of a word that begins with 0.
KERNELS = {
    "load": (_load, 0),
    "store": (_store, OPERATIONS),
    "exchange": (_exchange, OPERATIONS),
    "fence": (_fence, OPERATIONS),
}


@pytest.mark.parametrize("kind", KERNELS)
def test_atomics(benchmark: Any, kind: str, tmp_path: Path) -> None:
    """ns of one operation, and of the same one in C."""
    program = baseline.build("atomics_baseline", tmp_path)
    loop, wanted = KERNELS[kind]
    loop(np.zeros(8, np.int64), 1)
    ours, bare = [], []

    def measure() -> None:
        for _ in range(ROUNDS):
            words = np.zeros(8, np.int64)
            began = time.perf_counter()
            assert loop(words, OPERATIONS) == wanted
            ours.append((time.perf_counter() - began) / OPERATIONS * 1e9)
            bare.append(baseline.run(program, kind, OPERATIONS)["ns"])

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(
        ns=round(min(ours), 3),
        c_ns=round(min(bare), 3),
        ratio=round(min(ours) / min(bare), 2),
        rounds=in_turns(ours, bare),
    )
