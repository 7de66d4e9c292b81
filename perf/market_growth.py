"""Shell: what a command costs the matcher as the market grows, and the memory that orders take.

    python -m perf.market_growth instruments|resting

Prints a JSON object: of each size ns per command, of all rounds, and of rounds of the smallest size
between them; of resting orders resident bytes too, of the process and of each array of the
market. In a process of its own, so that the memory of one market is all that grows. Played are
enters and cancels, 64 to a publish, into a private ring that nobody reads; the best round counts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np

from perf.resident import by_array, resident_of_process
from ringbuf.broadcast import NO_GATE, RECORDED, Broadcast
from ringbuf.layout import BROADCAST_CURSORS, WORD_SIZE
from shm_exchange.instruments import Instrument, instrument_rows
from shm_exchange.market import create_market
from shm_exchange.messages import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    REASON_USER,
    SLOT_BITS,
    SLOT_INDEX_MASK,
    SOURCE_GATEWAY_FIRST,
    CommandKind,
)
from shm_exchange.tape import play

SOURCE = SOURCE_GATEWAY_FIRST
INSTRUMENTS = (1, 10, 100, 1_000, 10_000, 50_000, 100_000)
INSTRUMENTS_MAX = 50_000  # of one engine here: beyond are two, in turns on this core
RESTING = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
ROUNDS = 5
PROBES = 1 << 16  # enters and as many cancels, in one round
BLOCK = 1_024  # enters, and as many cancels, that are played together
LEVELS = 10_000  # prices that resting orders lie at
_FILL = 1 << 20  # orders that are entered together
_RING_RECORDS = 1 << 12
_PER_PUBLISH = 64
_BASE = 20_000  # ticks


class GrowingMarket:
    """A market of one session and so many instruments, and a ring that nobody reads."""

    def __init__(self, instruments: int) -> None:
        named = [Instrument(symbol=f"I{n}", tick=Decimal("0.01")) for n in range(instruments)]
        self.market = create_market(
            instrument_rows(named),
            1,
            gateway_count=SOURCE + 1,
            slots_per_gateway=SLOT_INDEX_MASK,
            page_limit=1 << 20,
        )
        self._ring = Broadcast(
            cursors=np.zeros(BROADCAST_CURSORS.size // WORD_SIZE, np.int64),
            records=np.zeros(_RING_RECORDS, EVENT_DTYPE),
        )
        self._ring.cursors[RECORDED] = NO_GATE
        self._next_ref = 1
        login = np.zeros(1, COMMAND_DTYPE)
        login["kind"] = CommandKind.LOGIN
        self.play(login)

    def refs(self, count: int) -> np.ndarray:
        """UserRefNums that were never used."""
        self._next_ref += count
        return np.arange(self._next_ref - count, self._next_ref, dtype=np.uint32)

    def play(self, commands: np.ndarray) -> float:
        """Match them all; seconds."""
        position = int(self.market.scalars[0]["position"])
        count = len(commands)
        start = time.perf_counter()
        done = play(self.market, commands, 0, count, SOURCE, self._ring, position, _PER_PUBLISH)
        seconds = time.perf_counter() - start
        assert done == count
        return seconds

    @property
    def resting(self) -> int:
        """Live orders."""
        return int(self.market.scalars[0]["orders"])


def enters(slots: np.ndarray, refs: np.ndarray, prices: np.ndarray | int) -> np.ndarray:
    """Buy orders: COMMAND[n]. slots: indices within the gateway's part."""
    commands = np.zeros(len(slots), COMMAND_DTYPE)
    commands["kind"] = CommandKind.ENTER
    commands["generation"] = 1
    commands["slot"] = (SOURCE << SLOT_BITS) + slots
    commands["user_ref"] = refs
    commands["price"] = prices
    commands["quantity"] = 100
    commands["side"] = ord("B")
    commands["time_in_force"] = ord("0")
    commands["display"] = ord("Y")
    commands["capacity"] = ord("P")
    commands["cross_type"] = ord("N")
    return commands


def cancels(slots: np.ndarray, refs: np.ndarray) -> np.ndarray:
    """The ends of these orders: COMMAND[n]."""
    commands = enters(slots, refs, 0)
    commands["kind"] = CommandKind.CANCEL
    commands["quantity"] = 0
    commands["reason"] = REASON_USER
    return commands


def together(*parts: np.ndarray) -> np.ndarray:
    """Commands behind commands. (np.concatenate would lay out anew what shares bytes.)"""
    return np.concatenate([each.view(np.uint8) for each in parts]).view(COMMAND_DTYPE)


def _go_round(markets: list[GrowingMarket], count: int, random: np.random.Generator) -> float:
    """Seconds of a round of enters and cancels in any of `count` instruments."""
    seconds = 0.0
    for block in range(PROBES // BLOCK):
        market = markets[block % len(markets)]
        order = random.permutation(BLOCK)
        entered = enters(np.arange(BLOCK), market.refs(BLOCK), _BASE + order % 64)
        entered["instrument"] = random.integers(0, count // len(markets), BLOCK)
        ended = cancels(order, entered["user_ref"][order])
        ended["instrument"] = entered["instrument"][order]
        seconds += market.play(together(entered, ended))
    assert not any(market.resting for market in markets)
    return seconds


def by_instruments(
    count: int, smallest: GrowingMarket, random: np.random.Generator
) -> dict[str, Any]:
    """ns per command when each order goes to any of `count` instruments, and to one, in turns."""
    engines = -(-count // INSTRUMENTS_MAX)
    markets = [GrowingMarket(count // engines) for _ in range(engines)]
    rounds: list[float] = []
    beside: list[float] = []
    _go_round(markets, count, random)  # touches the memory
    for _ in range(ROUNDS):
        rounds.append(_go_round(markets, count, random))
        beside.append(_go_round([smallest], 1, random))
    return _figures(rounds, beside, 2 * PROBES)


def _figures(rounds: list[float], beside: list[float], commands: int) -> dict[str, Any]:
    """ns per command: best, of all rounds, and of the smallest size between them."""
    ours, bare = ([each / commands * 1e9 for each in side] for side in (rounds, beside))
    return {"ns_per_command": min(ours), "rounds": ours, "smallest": bare}


def _fill(market: GrowingMarket, refs: np.ndarray, upto: int, random: np.random.Generator) -> None:
    """Enter orders until `upto` rest; refs: uint32[slots], filled here."""
    for first in range(market.resting, upto, _FILL):
        slots = np.arange(first, min(upto, first + _FILL))
        refs[slots] = market.refs(len(slots))
        market.play(enters(slots, refs[slots], _BASE + random.integers(0, LEVELS, len(slots))))
    assert market.resting == upto


def _probe(market: GrowingMarket, refs: np.ndarray, random: np.random.Generator) -> float:
    """Seconds of a cancel of any resting order and of another in its slot."""
    count = market.resting
    seconds, done = 0.0, 0
    while done < PROBES:
        parts = []
        for _ in range(-(-BLOCK // count)):  # a call for a few commands would cost more than they
            slots = random.choice(count, min(count, BLOCK), replace=False)
            ended = cancels(slots, refs[slots])
            refs[slots] = market.refs(len(slots))
            prices = _BASE + random.integers(0, LEVELS, len(slots))
            parts += [ended, enters(slots, refs[slots], prices)]
        commands = together(*parts)
        seconds += market.play(commands)
        done += len(commands) // 2
    assert market.resting == count
    return seconds / done


def by_resting(random: np.random.Generator) -> Iterator[tuple[int, dict[str, Any]]]:
    """Of each size ns per command, and resident bytes per order beyond a nearly empty market."""
    market, smallest = GrowingMarket(1), GrowingMarket(1)
    refs, few = np.ones(max(RESTING), np.uint32), np.ones(RESTING[0], np.uint32)
    _fill(smallest, few, RESTING[0], random)
    _probe(smallest, few, random)
    # What the commands themselves take is there before and after.
    _fill(market, refs, RESTING[0], random)
    _probe(market, refs, random)
    enters(np.zeros(_FILL, np.int64), np.ones(_FILL, np.uint32), np.ones(_FILL, np.int64))
    arrays_before = by_array(market.market)
    before = resident_of_process()
    for count in RESTING:
        _fill(market, refs, count, random)
        rounds: list[float] = []
        beside: list[float] = []
        for _ in range(ROUNDS):
            rounds.append(_probe(market, refs, random))
            beside.append(_probe(smallest, few, random))
        grown = resident_of_process() - before
        arrays = by_array(market.market)
        orders = count - RESTING[0] or 1
        yield (
            count,
            {
                **_figures(rounds, beside, 2),
                "bytes_per_order": grown / orders,
                "bytes_by_array": {
                    name: (arrays[name] - arrays_before[name]) / orders for name in arrays
                },
            },
        )


def main(kind: str) -> None:
    """Print one curve."""
    random = np.random.default_rng(1)
    found: dict[str, dict[str, Any]] = {}
    if kind == "instruments":
        smallest = GrowingMarket(1)
        _go_round([smallest], 1, random)
        for count in INSTRUMENTS:
            found[str(count)] = by_instruments(count, smallest, random)
    else:
        found = {str(count): figures for count, figures in by_resting(random)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
