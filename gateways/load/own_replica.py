"""Shell: a replica of one engine for a process that only looks, and its book as the feed says it.

Built from the exchange's own journal and ring, which are mapped read-only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from gateways.load.rebuilt_book import USED, RebuiltBook
from gateways.startup import stream_name
from shm_exchange import wiring
from shm_exchange.config import Configuration
from shm_exchange.history import History
from shm_exchange.journal_segment import Owner
from shm_exchange.lent import lend_ring
from shm_exchange.market import RESTING, Market
from shm_exchange.messages import COMMAND_NEXT_BITS, SLOT_BITS
from shm_exchange.recovery import catch_up, empty_market, recover

_HIDDEN = ord("N")
_BUY, _SELL = ord("B"), ord("S")
BOOK_ROW = np.dtype(
    [("side", "u1"), ("price", "i8"), ("rank", "i8"), ("reference", "i8"), ("shares", "i8")]
)


class OwnReplica:
    """A market as of some position, and the means to move it on. Use as a context manager."""

    def __init__(
        self, configuration: Configuration, name: str, engine: int, state_directory: Path
    ) -> None:
        """Up to what is published now. Raises SegmentError, LayoutError or JournalError."""
        self.engine = engine
        self._wiring = wiring.attach(name, engine, read_only=True)
        ring = lend_ring(self._wiring.ring)
        identity = int(self._wiring.segments[0].header[0]["identity"])
        owner = Owner.of(identity, engine)
        self.market = empty_market(configuration, engine)
        self.position = recover(self.market, state_directory, owner, ring).position
        self._history = History(ring, state_directory, owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._history.close()
        self._wiring.close()

    @property
    def stream(self) -> str:
        """Name of the engine's streams."""
        return stream_name(self.market)

    @property
    def feed_messages(self) -> int:
        """How many messages the feed has at this position."""
        return int(self.market.scalars[0]["feed_messages"])

    def follow(self) -> None:
        """Move on to what is published now."""
        self.position = catch_up(self.market, self._history, self.position)

    def resting(self, instrument: int) -> int:
        """How many orders rest in an instrument's book."""
        return sum(len(part) for part in _resting_parts(self.market, instrument))


def market_book(market: Market, engine: int, instrument: int) -> np.ndarray:
    """The displayed orders of an instrument, BOOK_ROW[n] in order of side, price and queue."""
    orders = _resting_orders(market, instrument)
    rows = np.zeros(len(orders), BOOK_ROW)
    rows["side"] = np.where(orders["side"] == _BUY, _BUY, _SELL)
    rows["price"] = orders["price"].astype(np.int64) * int(market.instruments[instrument]["tick"])
    rows["rank"] = _ranks(market, orders)
    rows["reference"] = orders["reference"] | (engine << COMMAND_NEXT_BITS)
    rows["shares"] = orders["displayed"]
    return _in_order(rows)


def _resting_orders(market: Market, instrument: int) -> np.ndarray:
    """A copy of every displayed order of the instrument."""
    parts = _resting_parts(market, instrument)
    return np.concatenate([part[part["display"] != _HIDDEN] for part in parts])


def _resting_parts(market: Market, instrument: int) -> Iterator[np.ndarray]:
    """A copy of every resting order of the instrument, an array for each gateway's part."""
    for source, gateway in enumerate(market.gateways):
        first = source << SLOT_BITS
        rows = market.orders[first : first + int(gateway["slots_high_water"])]
        yield rows[(rows["state"] == RESTING) & (rows["instrument"] == instrument)]


def _ranks(market: Market, orders: np.ndarray) -> np.ndarray:
    """Place of each order in its level's queue: all levels are walked at once."""
    slots = market.levels[np.unique(orders["level"])]["first"].astype(np.int64)
    rank_of: dict[int, int] = {}
    rank = 0
    while len(slots):
        rank_of.update(dict.fromkeys(market.orders[slots]["reference"].tolist(), rank))
        slots = market.orders[slots]["next"].astype(np.int64)
        slots = slots[slots != 0]
        rank += 1
    return np.array([rank_of[each] for each in orders["reference"].tolist()], np.int64)


def feed_book(book: RebuiltBook) -> np.ndarray:
    """The orders of a rebuilt book, likewise."""
    orders = book.orders[: int(book.words[USED])]
    orders = orders[orders["shares"] > 0]
    rows = np.zeros(len(orders), BOOK_ROW)
    for name in ("side", "price", "reference", "shares"):
        rows[name] = orders[name]
    rows["rank"] = orders["added"]
    rows = _in_order(rows)
    rows["rank"] = _places(rows)
    return rows


def _in_order(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort((rows["rank"], rows["price"], rows["side"]))]


def _places(rows: np.ndarray) -> np.ndarray:
    """0, 1, 2 ... within each price of each side, of rows that are in order."""
    index = np.arange(len(rows))
    begins = np.ones(len(rows), np.bool_)
    for name in ("side", "price"):
        begins[1:] &= rows[name][1:] == rows[name][:-1]
    begins[1:] = ~begins[1:]
    return index - np.maximum.accumulate(np.where(begins, index, 0))
