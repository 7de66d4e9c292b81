"""Shell: order books rebuilt from an ITCH feed, for Python clients."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from gateways.itch.typed_messages import (
    AddOrder,
    AddOrderAttributed,
    OrderCancel,
    OrderDelete,
    OrderExecuted,
    OrderExecutedWithPrice,
    OrderReplace,
    StockDirectory,
    TradingAction,
)
from gateways.typed import Message


class Level(NamedTuple):
    """A price of one side: what rests there, and in how many orders."""

    price: Decimal
    shares: int
    orders: int


@dataclass(slots=True)
class RestingOrder:
    """An order of the book."""

    reference: int
    stock: str
    side: str
    price: Decimal
    shares: int


class Book:
    """The displayed orders of every instrument of a feed.

    `orders` is in order of time: within one price an order that stands earlier has priority.
    """

    def __init__(self) -> None:
        self.orders: dict[int, RestingOrder] = {}
        self.states: dict[str, str] = {}  # by stock: `T` open, `Q` cancel-only, `H` halted
        self.stocks: dict[int, str] = {}  # by stock locate
        self.lots: dict[str, int] = {}
        self._levels: dict[tuple[str, str], dict[Decimal, list[int]]] = {}

    def apply(self, message: Message) -> None:
        """Change the book as `message` says. Raise KeyError for an order that is not there."""
        if isinstance(message, AddOrder | AddOrderAttributed):
            self._add(
                message.order_reference_number,
                message.stock,
                message.side,
                message.price,
                message.shares,
            )
        elif isinstance(message, OrderExecuted | OrderExecutedWithPrice | OrderCancel):
            self._take(message.order_reference_number, message.shares)
        elif isinstance(message, OrderDelete):
            reference = message.order_reference_number
            self._take(reference, self.orders[reference].shares)
        elif isinstance(message, OrderReplace):
            original = self.orders[message.original_reference_number]
            self._take(original.reference, original.shares)
            self._add(
                message.order_reference_number,
                original.stock,
                original.side,
                message.price,
                message.shares,
            )
        elif isinstance(message, StockDirectory):
            self.stocks[message.stock_locate] = message.stock
            self.lots[message.stock] = message.round_lot_size
        elif isinstance(message, TradingAction):
            self.states[message.stock] = message.trading_state

    def bids(self, stock: str) -> list[Level]:
        """The buying side, best price first."""
        return self._side(stock, "B", reverse=True)

    def asks(self, stock: str) -> list[Level]:
        """The selling side, best price first."""
        return self._side(stock, "S", reverse=False)

    def best(self, stock: str) -> tuple[Level | None, Level | None]:
        """The best bid and the best ask."""
        bids = self._levels.get((stock, "B"))
        asks = self._levels.get((stock, "S"))
        bid, ask = max(bids) if bids else None, min(asks) if asks else None
        return (
            Level(bid, *bids[bid]) if bids and bid is not None else None,
            Level(ask, *asks[ask]) if asks and ask is not None else None,
        )

    def _side(self, stock: str, side: str, *, reverse: bool) -> list[Level]:
        levels = self._levels.get((stock, side), {})
        return [Level(price, *levels[price]) for price in sorted(levels, reverse=reverse)]

    def _add(self, reference: int, stock: str, side: str, price: Decimal, shares: int) -> None:
        self.orders[reference] = RestingOrder(reference, stock, side, price, shares)
        level = self._levels.setdefault((stock, side), {}).setdefault(price, [0, 0])
        level[0] += shares
        level[1] += 1

    def _take(self, reference: int, shares: int) -> None:
        order = self.orders[reference]
        levels = self._levels[order.stock, order.side]
        level = levels[order.price]
        order.shares -= shares
        level[0] -= shares
        if order.shares == 0:
            del self.orders[reference]
            level[1] -= 1
            if level[1] == 0:
                del levels[order.price]
