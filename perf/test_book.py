"""The book alone: an order rests, an order is taken out, the best price moves; beside sorted lists.

Included: the queue of the level, the tree of prices, the session's list of orders, the state hash.
Not included: commands, checks, matching, events, rings. 20,000 orders at 1,000 prices rest, then
are taken out in random order; for the best price an order better than all comes and goes. The
baseline is what one writes first in Python: a sorted list of prices (`bisect`) with a dictionary of
the orders at each. It does the same in the same order, in turns; the best round of each counts.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest

from perf.results_file import in_turns
from ringbuf.bits import at
from ringbuf.jit import kernel
from shm_exchange.book import best_price, remove, rest
from shm_exchange.instruments import Instrument, instrument_rows
from shm_exchange.market import BUY, Market, create_market
from shm_exchange.messages import SLOT_BITS, SOURCE_GATEWAY_FIRST

ROUNDS = 7
ORDERS = 20_000
PRICES = 1_000
BASE = 20_000  # ticks
BETTER = BASE + PRICES  # than all others
FIRST_SLOT = SOURCE_GATEWAY_FIRST << SLOT_BITS


@kernel
def _rest_all(market, slots):
    for number in range(len(slots)):
        rest(market, slots[at(number)])
    return best_price(market, BUY)


@kernel
def _remove_all(market, slots):
    total = 0
    for number in range(len(slots)):
        remove(market, slots[at(number)])
        total += best_price(market, BUY)
    return total


@kernel
def _move_best(market, slot, count):
    total = 0
    for _ in range(count):
        rest(market, slot)
        total += best_price(market, BUY)
        remove(market, slot)
        total += best_price(market, BUY)
    return total


class SortedListBook:
    """Bids only."""

    def __init__(self) -> None:
        self._prices: list[int] = []
        self._orders: dict[int, dict[int, int]] = {}

    def rest(self, order: int, price: int) -> None:
        """At the back of its price."""
        level = self._orders.get(price)
        if level is None:
            level = self._orders[price] = {}
            insort(self._prices, price)
        level[order] = 100

    def remove(self, order: int, price: int) -> None:
        """Wherever it stands."""
        level = self._orders[price]
        del level[order]
        if not level:
            del self._orders[price]
            del self._prices[bisect_left(self._prices, price)]

    def best(self) -> int:
        """-1 when empty."""
        return self._prices[-1] if self._prices else -1


class Run(NamedTuple):
    """One round: seconds of each part, and what the parts said of best prices."""

    seconds: dict[str, float]
    said: tuple[int, int, int]


def _timed(parts: dict[str, Callable[[], int]]) -> Run:
    seconds, said = {}, []
    for name, part in parts.items():
        began = time.perf_counter()
        said.append(int(part()))
        seconds[name] = time.perf_counter() - began
    return Run(seconds, (said[0], said[1], said[2]))


def _market(prices: np.ndarray) -> Market:
    """With orders that are ready to rest: that at prices[i] in slot FIRST_SLOT + i, one more."""
    rows = instrument_rows([Instrument(symbol="AAPL", tick=Decimal("0.01"))])
    market = create_market(rows, 1, gateway_count=SOURCE_GATEWAY_FIRST + 1, page_limit=1 << 12)
    orders = market.orders[FIRST_SLOT : FIRST_SLOT + len(prices) + 1]
    orders["price"] = np.append(prices, BETTER)
    orders["leaves"] = orders["displayed"] = 100
    orders["side"], orders["display"] = ord("B"), ord("Y")
    orders["reference"] = orders["user_ref"] = np.arange(len(orders))
    return market


def _ours(prices: np.ndarray, leaving: np.ndarray) -> Run:
    market = _market(prices)
    slots = FIRST_SLOT + np.arange(len(prices))
    better = FIRST_SLOT + len(prices)
    return _timed(
        {
            "rest": lambda: _rest_all(market, slots),
            "best": lambda: _move_best(market, better, len(prices)),
            "remove": lambda: _remove_all(market, slots[leaving]),
        }
    )


def _naive(prices: np.ndarray, leaving: np.ndarray) -> Run:
    book, price_of, better = SortedListBook(), prices.tolist(), len(prices)

    def rest_all() -> int:
        for order, price in enumerate(price_of):
            book.rest(order, price)
        return book.best()

    def move_best() -> int:
        total = 0
        for _ in range(better):
            book.rest(better, BETTER)
            total += book.best()
            book.remove(better, BETTER)
            total += book.best()
        return total

    def remove_all() -> int:
        total = 0
        for order in leaving.tolist():
            book.remove(order, price_of[order])
            total += book.best()
        return total

    return _timed({"rest": rest_all, "best": move_best, "remove": remove_all})


@pytest.mark.parametrize("operation", ["rest", "remove", "best"])
def test_book(benchmark: Any, operation: str) -> None:
    """ns of one operation; `best`: of an order that comes and goes, and both best prices."""
    random = np.random.default_rng(1)
    prices, leaving = BASE + random.integers(0, PRICES, ORDERS), random.permutation(ORDERS)
    _ours(prices[:10], np.arange(10))
    ours: list[Run] = []
    naive: list[Run] = []

    def measure() -> None:
        for _ in range(ROUNDS):
            ours.append(_ours(prices, leaving))
            naive.append(_naive(prices, leaving))

    benchmark.pedantic(measure, rounds=1)
    times = [[each.seconds[operation] / ORDERS * 1e9 for each in side] for side in (ours, naive)]
    best, naive_best = min(times[0]), min(times[1])
    benchmark.extra_info.update(
        ns=round(best, 1),
        sorted_list_ns=round(naive_best, 1),
        times_as_fast=round(naive_best / best, 1),
        rounds=in_turns(*times),
    )
    assert {each.said for each in ours} == {each.said for each in naive}
