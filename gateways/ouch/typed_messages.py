"""Shell: the outbound messages of OUCH 5.0 as typed objects, for Python clients.

The bytes are those of `gateways/ouch/messages.py`; a field that is a price is a `Decimal`, text has
lost its padding, times are ns since midnight UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, Self

from gateways.ouch.messages import (
    ACCOUNT_QUERY_RESPONSE,
    AIQ_CANCELED,
    APPENDAGE_LENGTH_SIZE,
    BROKEN_TRADE,
    CANCEL_PENDING,
    CANCEL_REJECT,
    DISABLE_RESPONSE,
    ENABLE_RESPONSE,
    MASS_CANCEL_RESPONSE,
    ORDER_ACCEPTED,
    ORDER_CANCELED,
    ORDER_EXECUTED,
    ORDER_MODIFIED,
    ORDER_REPLACED,
    ORDER_RESTATED,
    PRIORITY_UPDATE,
    REJECTED,
    SYSTEM_EVENT,
)
from gateways.ouch.tag_text import TagValue, unpack_tags
from gateways.sessions import PeerError
from gateways.typed import Message
from ringbuf.schema import Record


@dataclass(slots=True)
class OuchMessage(Message):
    """What the exchange says to a session, with the tags of its appendage."""

    tags: dict[int, TagValue] = field(default_factory=dict, kw_only=True)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a whole message. Raise PeerError when its length is not what it announces."""
        message = cls._decode_fixed(data)
        end = cls.RECORD.size
        if cls.RECORD.fields[-1].name != "appendage_length":
            if len(data) == end:
                return message
            end += APPENDAGE_LENGTH_SIZE
        announced = int.from_bytes(data[end - APPENDAGE_LENGTH_SIZE : end], "big")
        if len(data) != end + announced:
            raise PeerError(f"{cls.RECORD.name}: {len(data)} bytes, {end + announced} announced")
        if announced:
            message.tags = unpack_tags(data[end:])
        return message


@dataclass(slots=True)
class SystemEvent(OuchMessage):
    """`S` System Event."""

    RECORD: ClassVar[Record] = SYSTEM_EVENT

    timestamp: int
    event_code: str


@dataclass(slots=True)
class OrderAccepted(OuchMessage):
    """`A` Order Accepted."""

    RECORD: ClassVar[Record] = ORDER_ACCEPTED

    timestamp: int
    user_ref_num: int
    side: str
    quantity: int
    symbol: str
    price: Decimal
    time_in_force: str
    display: str
    order_reference_number: int
    capacity: str
    sweep: str
    cross_type: str
    order_state: str
    client_order_id: str


@dataclass(slots=True)
class OrderReplaced(OuchMessage):
    """`U` Order Replaced."""

    RECORD: ClassVar[Record] = ORDER_REPLACED

    timestamp: int
    original_user_ref_num: int
    user_ref_num: int
    side: str
    quantity: int
    symbol: str
    price: Decimal
    time_in_force: str
    display: str
    order_reference_number: int
    capacity: str
    sweep: str
    cross_type: str
    order_state: str
    client_order_id: str


@dataclass(slots=True)
class OrderCanceled(OuchMessage):
    """`C` Order Canceled."""

    RECORD: ClassVar[Record] = ORDER_CANCELED

    timestamp: int
    user_ref_num: int
    quantity: int
    reason: str


@dataclass(slots=True)
class AiqCanceled(OuchMessage):
    """`D` AIQ (self-match) Canceled."""

    RECORD: ClassVar[Record] = AIQ_CANCELED

    timestamp: int
    user_ref_num: int
    decrement_shares: int
    reason: str
    quantity_prevented: int
    execution_price: Decimal
    liquidity_flag: str
    aiq_strategy: str


@dataclass(slots=True)
class OrderExecuted(OuchMessage):
    """`E` Order Executed."""

    RECORD: ClassVar[Record] = ORDER_EXECUTED

    timestamp: int
    user_ref_num: int
    quantity: int
    price: Decimal
    liquidity_flag: str
    match_number: int


@dataclass(slots=True)
class BrokenTrade(OuchMessage):
    """`B` Broken Trade."""

    RECORD: ClassVar[Record] = BROKEN_TRADE

    timestamp: int
    user_ref_num: int
    match_number: int
    reason: str
    client_order_id: str


@dataclass(slots=True)
class Rejected(OuchMessage):
    """`J` Rejected."""

    RECORD: ClassVar[Record] = REJECTED

    timestamp: int
    user_ref_num: int
    reason: int
    client_order_id: str


@dataclass(slots=True)
class CancelPending(OuchMessage):
    """`P` Cancel Pending."""

    RECORD: ClassVar[Record] = CANCEL_PENDING

    timestamp: int
    user_ref_num: int


@dataclass(slots=True)
class CancelReject(OuchMessage):
    """`I` Cancel Reject."""

    RECORD: ClassVar[Record] = CANCEL_REJECT

    timestamp: int
    user_ref_num: int


@dataclass(slots=True)
class PriorityUpdate(OuchMessage):
    """`T` Order Priority Update."""

    RECORD: ClassVar[Record] = PRIORITY_UPDATE

    timestamp: int
    user_ref_num: int
    price: Decimal
    display: str
    order_reference_number: int


@dataclass(slots=True)
class OrderModified(OuchMessage):
    """`M` Order Modified."""

    RECORD: ClassVar[Record] = ORDER_MODIFIED

    timestamp: int
    user_ref_num: int
    side: str
    quantity: int


@dataclass(slots=True)
class OrderRestated(OuchMessage):
    """`R` Order Restated."""

    RECORD: ClassVar[Record] = ORDER_RESTATED

    timestamp: int
    user_ref_num: int
    reason: str


@dataclass(slots=True)
class MassCancelResponse(OuchMessage):
    """`X` Mass Cancel Response."""

    RECORD: ClassVar[Record] = MASS_CANCEL_RESPONSE

    timestamp: int
    user_ref_num: int
    firm: str
    symbol: str


@dataclass(slots=True)
class DisableResponse(OuchMessage):
    """`G` Disable Order Entry Response."""

    RECORD: ClassVar[Record] = DISABLE_RESPONSE

    timestamp: int
    user_ref_num: int
    firm: str


@dataclass(slots=True)
class EnableResponse(OuchMessage):
    """`K` Enable Order Entry Response."""

    RECORD: ClassVar[Record] = ENABLE_RESPONSE

    timestamp: int
    user_ref_num: int
    firm: str


@dataclass(slots=True)
class AccountQueryResponse(OuchMessage):
    """`Q` Account Query Response."""

    RECORD: ClassVar[Record] = ACCOUNT_QUERY_RESPONSE

    timestamp: int
    next_user_ref_num: int


MESSAGES: dict[str, type[OuchMessage]] = {
    "S": SystemEvent,
    "A": OrderAccepted,
    "U": OrderReplaced,
    "C": OrderCanceled,
    "D": AiqCanceled,
    "E": OrderExecuted,
    "B": BrokenTrade,
    "J": Rejected,
    "P": CancelPending,
    "I": CancelReject,
    "T": PriorityUpdate,
    "M": OrderModified,
    "R": OrderRestated,
    "X": MassCancelResponse,
    "G": DisableResponse,
    "K": EnableResponse,
    "Q": AccountQueryResponse,
}
