"""A replica follows: events applied per second, beside a copy of the same events in memory.

Included: everything that a gateway, a standby or a researcher's program does to keep its own
market: every field of every event, the book, sessions, positions, the state hash. Not included: the
ring, its polls, the journal. The events of a generated flow lie in memory; the baseline copies them
(`memcpy`, by numpy): no replica can be faster than it reads. Both in turns; the best round of each
counts. Before each round a new market is made, and its pages are touched, which is not measured.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from perf.flow_events import events_of
from perf.results_file import in_turns
from shm_exchange.flow import generate
from shm_exchange.flow_commands import market_of, tape_of
from shm_exchange.replica import apply_all

MESSAGES = 500_000
ROUNDS = 7


def test_replica(benchmark: Any) -> None:
    """Events per second, and bytes per second of both."""
    tape = tape_of(generate(MESSAGES, 1))
    events = events_of(tape)
    data = events.view(np.uint8)
    target = np.zeros_like(data)
    hashes = set()
    ours, bare = [], []
    apply_all(market_of(tape), events, 0)

    def measure() -> None:
        for _ in range(ROUNDS):
            market = market_of(tape)
            began = time.perf_counter()
            apply_all(market, events, 0)
            ours.append(time.perf_counter() - began)
            hashes.add(int(market.scalars[0]["hash"]))
            began = time.perf_counter()
            np.copyto(target, data)
            bare.append(time.perf_counter() - began)

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(
        events=len(events),
        events_per_second=round(len(events) / min(ours)),
        memcpy_events_per_second=round(len(events) / min(bare)),
        ratio=round(min(ours) / min(bare), 1),
        rounds=in_turns(ours, bare),
    )
    assert len(hashes) == 1 and hashes != {0}
