"""Shell: the market as a process that only looks rebuilds it: live orders and books as tables."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringbuf.broadcast import Broadcast
from shm_exchange.config import Configuration
from shm_exchange.errors import ExchangeError
from shm_exchange.history import History
from shm_exchange.instruments import PRICE_UNIT
from shm_exchange.journal_segment import Owner
from shm_exchange.market import ORDER, RESTING
from shm_exchange.messages import COMMAND_NEXT_BITS, SLOT_BITS, CommandFlag
from shm_exchange.recovery import catch_up, empty_market, recover

ORDER_ROW = np.dtype(
    [
        ("reference", "i8"),  # as on the feed
        ("symbol", "U8"),
        ("session", "U6"),
        ("user_ref", "i8"),
        ("side", "U1"),  # as entered: `B` `S` `T` `E`
        ("price_ticks", "i8"),
        ("price", "f8"),  # for drawing; exact is ticks
        ("leaves", "i8"),  # lots still open
        ("displayed", "i8"),  # of these, what the feed shows
        ("executed", "i8"),
    ]
)
LEVEL_ROW = np.dtype([("price_ticks", "i8"), ("price", "f8"), ("quantity", "i8"), ("orders", "i8")])


class Book(NamedTuple):
    """The levels of both sides, LEVEL_ROW[n], the best first."""

    bids: np.ndarray
    asks: np.ndarray


class Replica:
    """The market of one engine at `position`. It stands still until `follow` is called.

    `market` is all of it, as the matcher has it (shm_exchange/market.py), in memory of our own.
    """

    def __init__(
        self,
        configuration: Configuration,
        engine: int,
        directory: Path,
        owner: Owner,
        ring: Broadcast,
    ) -> None:
        """Up to what is published now. ring: as lent to kernels. Raises JournalError."""
        self.engine = engine
        self.market = empty_market(configuration, engine)
        self.symbols = [each.symbol for each in configuration.instruments_of(engine)]
        self._symbols = np.array(self.symbols, "U8")
        self._sessions = np.array([each.username for each in configuration.sessions], "U6")
        self.position = recover(self.market, directory, owner, ring).position
        self._history = History(ring, directory, owner)
        self._check()

    def follow(self) -> int:
        """Move on to what is published now; how many events that was.

        What the ring no longer has comes from the journal. Raises JournalError without one.
        """
        before = self.position
        self.position = catch_up(self.market, self._history, before)
        self._check()
        return self.position - before

    def orders(self, symbol: str | None = None) -> np.ndarray:
        """The resting orders, of one instrument or of all, ORDER_ROW[n] by reference."""
        found = self._resting(None if symbol is None else self._number(symbol))
        rows = np.zeros(len(found), ORDER_ROW)
        for name in ("price_ticks", "leaves", "executed", "user_ref", "reference"):
            rows[name] = found["price" if name == "price_ticks" else name]
        rows["reference"] |= self.engine << COMMAND_NEXT_BITS
        rows["symbol"] = self._symbols[found["instrument"]]
        rows["session"] = self._sessions[found["session"]]
        rows["side"] = found["side"].astype(np.uint8).view("S1").astype("U1")
        rows["price"] = rows["price_ticks"] * self._ticks(found["instrument"])
        rows["displayed"] = _displayed(found)
        return np.sort(rows, order="reference")

    def book(self, symbol: str, depth: int | None = None, *, hidden: bool = False) -> Book:
        """The best `depth` levels (None: all) of both sides, as the feed shows them.

        hidden: count everything that is open, also what the feed does not show.
        """
        number = self._number(symbol)
        found = self._resting(number)
        quantity = found["leaves"].astype(np.int64) if hidden else _displayed(found)
        found, quantity = found[quantity > 0], quantity[quantity > 0]
        is_bid = found["side"] == ord("B")
        tick = float(self._ticks(np.array([number]))[0])
        bids = _levels(found["price"][is_bid], quantity[is_bid], tick)[::-1]
        asks = _levels(found["price"][~is_bid], quantity[~is_bid], tick)
        return Book(bids[:depth], asks[:depth])

    def close(self) -> None:
        """Close the journal's files."""
        self._history.close()

    def _number(self, symbol: str) -> int:
        if symbol not in self.symbols:
            known = ", ".join(self.symbols[:20])
            raise ExchangeError(f"engine {self.engine} has no instrument {symbol}; it has {known}")
        return self.symbols.index(symbol)

    def _resting(self, instrument: int | None) -> np.ndarray:
        """A copy of the resting orders, ORDER[n]."""
        self._check()
        parts = [np.empty(0, ORDER.dtype)]
        for source, gateway in enumerate(self.market.gateways):
            first = source << SLOT_BITS
            rows = self.market.orders[first : first + int(gateway["slots_high_water"])]
            wanted = rows["state"] == RESTING
            if instrument is not None:
                wanted &= rows["instrument"] == instrument
            parts.append(rows[wanted])
        return np.concatenate(parts)

    def _ticks(self, instruments: np.ndarray) -> np.ndarray:
        return self.market.instruments["tick"][instruments] * float(PRICE_UNIT)

    def _check(self) -> None:
        """Never show what is not so: the matcher publishes the hash of its state."""
        differs = int(self.market.scalars[0]["differs"])
        if differs:
            raise ExchangeError(
                f"this replica differs from the matcher's market at position {differs}; make"
                " another, and see `shmx status` for whether others differ too"
            )


def _displayed(orders: np.ndarray) -> np.ndarray:
    """Lots of each order that the feed shows."""
    hidden = (orders["flags"] & CommandFlag.HIDDEN) != 0
    return np.where(hidden, 0, orders["displayed"]).astype(np.int64)


def _levels(prices: np.ndarray, quantities: np.ndarray, tick: float) -> np.ndarray:
    """LEVEL_ROW[n] by rising price."""
    distinct, places, counts = np.unique(prices, return_inverse=True, return_counts=True)
    rows = np.zeros(len(distinct), LEVEL_ROW)
    rows["price_ticks"] = distinct
    rows["price"] = distinct * tick
    rows["orders"] = counts
    np.add.at(rows["quantity"], places, quantities)
    return rows
