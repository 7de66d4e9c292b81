"""Shell: what a session has: its live orders, its fills, its position, from its stream alone.

The stream is everything: it has no gap and no repeat, over reconnects, takeovers and changes of
gateway, and it can be read again from number 1. So a ledger never asks, and after a restart it is
as it was.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from gateways.client import Sequenced
from gateways.ouch.tags import Tag
from gateways.ouch.typed_messages import (
    AiqCanceled,
    OrderAccepted,
    OrderCanceled,
    OrderExecuted,
    OrderModified,
    OrderReplaced,
)


class StreamError(Exception):
    """A message is missing, or came twice: nothing that follows can be trusted."""


@dataclass(slots=True)
class LiveOrder:
    """An order that may still trade."""

    user_ref: int
    reference: int  # its number in the feed
    symbol: str
    side: str
    price: Decimal
    leaves: int
    executed: int = 0  # shares of the whole chain that are done: what a replace counts as well


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of ours. The match number is that of the feed, and of the other side."""

    match_number: int
    symbol: str
    side: str
    quantity: int
    price: Decimal

    @property
    def signed_quantity(self) -> int:
        """What it does to the position."""
        return self.quantity if self.side == "B" else -self.quantity


@dataclass
class Ledger:
    """Orders by UserRefNum, fills, positions and cash by symbol."""

    orders: dict[int, LiveOrder] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    positions: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    cash: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    last_sequence: int = 0

    def apply(self, item: Sequenced) -> None:
        """Take note of the next message. Raise StreamError when it is not the next."""
        if item.sequence == 0:  # not part of the stream
            return
        if item.sequence != self.last_sequence + 1:
            raise StreamError(f"message {item.sequence} follows {self.last_sequence}")
        self.last_sequence = item.sequence
        message = item.message
        if isinstance(message, OrderAccepted):
            done = message.tags.get(Tag.CHAIN_DONE, 0)  # of one that an earlier stream began
            assert isinstance(done, int)
            self._open(message, done)
        elif isinstance(message, OrderReplaced):
            original = self.orders.pop(message.original_user_ref_num)
            self._open(message, original.executed)
        elif isinstance(message, OrderExecuted):
            self._fill(message)
        elif isinstance(message, OrderCanceled):
            self._take(message.user_ref_num, message.quantity)
        elif isinstance(message, AiqCanceled):
            self.orders[message.user_ref_num].executed += message.decrement_shares
            self._take(message.user_ref_num, message.decrement_shares)
        elif isinstance(message, OrderModified):
            self.orders[message.user_ref_num].leaves = message.quantity
            self.orders[message.user_ref_num].side = message.side

    def _open(self, message: OrderAccepted | OrderReplaced, executed: int = 0) -> None:
        self.orders[message.user_ref_num] = LiveOrder(
            message.user_ref_num,
            message.order_reference_number,
            message.symbol,
            message.side,
            message.price,
            message.quantity,
            executed,
        )

    def _fill(self, message: OrderExecuted) -> None:
        order = self.orders[message.user_ref_num]
        fill = Fill(message.match_number, order.symbol, order.side, message.quantity, message.price)
        self.fills.append(fill)
        self.positions[order.symbol] += fill.signed_quantity
        self.cash[order.symbol] -= fill.signed_quantity * fill.price
        order.executed += message.quantity
        self._take(message.user_ref_num, message.quantity)

    def _take(self, user_ref: int, quantity: int) -> None:
        order = self.orders[user_ref]
        order.leaves -= quantity
        if order.leaves == 0:
            del self.orders[user_ref]
