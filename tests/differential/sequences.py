"""Random sequences of commands: matcher, naive exchange and replica side by side.

A market lives for SEQUENCES_PER_MARKET sequences; everything about it follows from the seed and its
number, so a difference is found again by that number alone.
"""

from __future__ import annotations

import random

import numpy as np

from shm_exchange.messages import EventKind
from shm_exchange.replica import apply_all
from tests.differential.market_equality import differences
from tests.differential.meetings import Meetings
from tests.differential.test_matcher_against_oracle import compare_books
from tests.differential.translation import Bench, market_like
from tests.oracle import dense
from tests.oracle.streams import new_exchange

SEQUENCES_PER_MARKET = 25
COMMANDS_MAX = SEQUENCES_PER_MARKET * (dense.COMMANDS + 8) * 4
RINGS = (64, 128, 64, 128, 64, 1 << 12)  # in a small one many commands are done in parts


class Difference(AssertionError):
    """The two sides do not say the same. The text names seed, market and request."""


def play_market(seed: int, number: int, count: int, meetings: Meetings) -> int:
    """Play `count` sequences in market `number`; return how many commands that were."""
    rng = random.Random(f"{seed} {number}")
    exchange = new_exchange()
    bench = Bench(exchange, RINGS[number % len(RINGS)], COMMANDS_MAX)
    replica = market_like(exchange)
    commands = 0
    meetings.forget()
    for _ in range(count):
        for request in dense.sequence(rng, exchange):
            place = f"seed {seed}, market {number}, command {commands}: {request}"
            before = len(bench.events)
            said, expected = bench.execute(request), exchange.execute(request)
            if said != expected:
                raise Difference(f"{place}: {said} is not {expected}")
            events = bench.events[before:].copy()
            apply_all(replica, events, before)
            if int(replica.scalars[0]["hash"]) != int(bench.market.scalars[0]["hash"]):
                raise Difference(f"{place}: the replica has another hash")
            parts = bool(np.any(events["kind"] == EventKind.CONTINUED))
            meetings.saw(request, said, exchange, parts)
            commands += 1
        meetings.end_sequence()
    compare_books(exchange, bench)
    if lines := differences(bench.market, replica):
        raise Difference(f"seed {seed}, market {number}: {lines}")
    return commands


def play(seed: int, first: int, markets: int) -> tuple[int, int, Meetings]:
    """Play markets from number `first` on: sequences, commands, and what met."""
    meetings = Meetings()
    commands = 0
    for number in range(first, first + markets):
        commands += play_market(seed, number, SEQUENCES_PER_MARKET, meetings)
    return markets * SEQUENCES_PER_MARKET, commands, meetings
