"""Shell: our own messages beside OUCH as typed objects, for Python clients (docs/protocols.md)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

from gateways.ouch.messages import COPY_SIZE
from gateways.ouch.private_messages import (
    LIMITS_ANSWER,
    OPEN_ORDER,
    OPEN_ORDERS_ANSWER,
    ORDER_TIMES,
    SHARES_AHEAD_ANSWER,
)
from gateways.ouch.typed_messages import MESSAGES as OUCH_MESSAGES
from gateways.ouch.typed_protection import ProtectionAnswer, ProtectionFired
from gateways.ouch.typed_quotes import MassQuoteAnswer
from gateways.sessions import PeerError
from gateways.typed import Message, decode
from ringbuf.schema import Record


@dataclass(slots=True)
class DropCopy(Message):
    """`c`: what another session of the firm was told."""

    session: str
    message: Message

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the copy and the message in it. Raise PeerError when one of them is too short."""
        if len(data) <= COPY_SIZE:
            raise PeerError(f"a copy of {len(data)} bytes")
        name = data[1:COPY_SIZE].decode("latin-1").rstrip(" ")
        return cls(name, decode({**OUCH_MESSAGES, **MESSAGES}, data[COPY_SIZE:]))


@dataclass(slots=True)
class LimitsAnswer(Message):
    """`l`: limits (0: none), and what the session holds."""

    RECORD: ClassVar[Record] = LIMITS_ANSWER

    timestamp: int
    symbol: str
    next_sequence: int
    order_quantity: int
    order_notional: Decimal
    price_deviation: int
    open_orders_max: int
    position_max: int
    messages_per_second: int
    symbol_messages_per_second: int
    open_orders: int
    position: int
    open_buys: int
    open_sells: int
    reference_price: Decimal


@dataclass(slots=True)
class OpenOrdersAnswer(Message):
    """`o`: so many OpenOrder follow, if `complete` is `Y`."""

    RECORD: ClassVar[Record] = OPEN_ORDERS_ANSWER

    timestamp: int
    next_sequence: int
    count: int
    complete: str


@dataclass(slots=True)
class OpenOrder(Message):
    """`r`: an open order."""

    RECORD: ClassVar[Record] = OPEN_ORDER

    user_ref_num: int
    user_ref_index: int
    side: str
    quantity: int
    executed: int
    symbol: str
    price: Decimal
    time_in_force: str
    display: str
    order_reference_number: int


@dataclass(slots=True)
class SharesAheadAnswer(Message):
    """`a`: lots that trade before an order; `state` is `Y`, `M` (at least) or `N` (not open)."""

    RECORD: ClassVar[Record] = SHARES_AHEAD_ANSWER

    timestamp: int
    next_sequence: int
    user_ref_num: int
    user_ref_index: int
    state: str
    shares: int


@dataclass(slots=True)
class OrderTimes(Message):
    """`t`: when the acknowledgement of an order was published and sent: message `sequence`."""

    RECORD: ClassVar[Record] = ORDER_TIMES

    sequence: int
    user_ref_num: int
    user_ref_index: int
    published: int
    sent: int


MESSAGES: dict[str, type[Message]] = {
    "c": DropCopy,
    "l": LimitsAnswer,
    "o": OpenOrdersAnswer,
    "r": OpenOrder,
    "a": SharesAheadAnswer,
    "t": OrderTimes,
    "p": ProtectionAnswer,
    "q": MassQuoteAnswer,
    "f": ProtectionFired,
}
