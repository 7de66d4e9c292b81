"""Shell: the messages of ITCH 5.0 as typed objects, for Python clients.

The bytes are those of `gateways/itch/messages.py`; a field that is a price is a `Decimal`, text has
lost its padding, times are ns since midnight UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

from gateways.itch.messages import (
    ADD_ORDER,
    ADD_ORDER_ATTRIBUTED,
    AUCTION_COLLAR,
    BREAKER_LEVELS,
    BREAKER_STATUS,
    BROKEN_TRADE,
    CROSS_TRADE,
    IMBALANCE,
    OPERATIONAL_HALT,
    ORDER_CANCEL,
    ORDER_DELETE,
    ORDER_EXECUTED,
    ORDER_EXECUTED_WITH_PRICE,
    ORDER_REPLACE,
    PARTICIPANT_POSITION,
    PRICE_DISCOVERY,
    QUOTING_PERIOD,
    REG_SHO,
    RETAIL_INTEREST,
    STOCK_DIRECTORY,
    SYSTEM_EVENT,
    TRADE,
    TRADING_ACTION,
)
from gateways.sessions import PeerError
from gateways.typed import Message
from ringbuf.schema import Record


@dataclass(slots=True)
class ItchMessage(Message):
    """What the feed says."""

    stock_locate: int
    tracking_number: int
    timestamp: int

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a whole message. Raise PeerError when it has another length."""
        if len(data) != cls.RECORD.size:
            raise PeerError(f"{cls.RECORD.name}: {len(data)} bytes, not {cls.RECORD.size}")
        return cls._decode_fixed(data)


@dataclass(slots=True)
class SystemEvent(ItchMessage):
    """`S` System Event."""

    RECORD: ClassVar[Record] = SYSTEM_EVENT

    event_code: str


@dataclass(slots=True)
class StockDirectory(ItchMessage):
    """`R` Stock Directory."""

    RECORD: ClassVar[Record] = STOCK_DIRECTORY

    stock: str
    market_category: str
    financial_status: str
    round_lot_size: int
    round_lots_only: str
    issue_classification: str
    issue_sub_type: str
    authenticity: str
    short_sale_threshold: str
    ipo_flag: str
    luld_tier: str
    etp_flag: str
    etp_leverage: int
    inverse: str


@dataclass(slots=True)
class TradingAction(ItchMessage):
    """`H` Stock Trading Action."""

    RECORD: ClassVar[Record] = TRADING_ACTION

    stock: str
    trading_state: str
    reserved: str
    reason: str


@dataclass(slots=True)
class RegSho(ItchMessage):
    """`Y` Reg SHO Restriction."""

    RECORD: ClassVar[Record] = REG_SHO

    stock: str
    action: str


@dataclass(slots=True)
class ParticipantPosition(ItchMessage):
    """`L` Market Participant Position."""

    RECORD: ClassVar[Record] = PARTICIPANT_POSITION

    participant: str
    stock: str
    primary_market_maker: str
    market_maker_mode: str
    participant_state: str


@dataclass(slots=True)
class BreakerLevels(ItchMessage):
    """`V` MWCB Decline Level."""

    RECORD: ClassVar[Record] = BREAKER_LEVELS

    level_1: int
    level_2: int
    level_3: int


@dataclass(slots=True)
class BreakerStatus(ItchMessage):
    """`W` MWCB Status."""

    RECORD: ClassVar[Record] = BREAKER_STATUS

    breached_level: str


@dataclass(slots=True)
class QuotingPeriod(ItchMessage):
    """`K` IPO Quoting Period Update."""

    RECORD: ClassVar[Record] = QUOTING_PERIOD

    stock: str
    release_time: int
    release_qualifier: str
    price: Decimal


@dataclass(slots=True)
class AuctionCollar(ItchMessage):
    """`J` LULD Auction Collar."""

    RECORD: ClassVar[Record] = AUCTION_COLLAR

    stock: str
    reference_price: Decimal
    upper_price: Decimal
    lower_price: Decimal
    extension: int


@dataclass(slots=True)
class OperationalHalt(ItchMessage):
    """`h` Operational Halt."""

    RECORD: ClassVar[Record] = OPERATIONAL_HALT

    stock: str
    market_code: str
    halt_action: str


@dataclass(slots=True)
class AddOrder(ItchMessage):
    """`A` Add Order."""

    RECORD: ClassVar[Record] = ADD_ORDER

    order_reference_number: int
    side: str
    shares: int
    stock: str
    price: Decimal


@dataclass(slots=True)
class AddOrderAttributed(ItchMessage):
    """`F` Add Order with Attribution."""

    RECORD: ClassVar[Record] = ADD_ORDER_ATTRIBUTED

    order_reference_number: int
    side: str
    shares: int
    stock: str
    price: Decimal
    attribution: str


@dataclass(slots=True)
class OrderExecuted(ItchMessage):
    """`E` Order Executed."""

    RECORD: ClassVar[Record] = ORDER_EXECUTED

    order_reference_number: int
    shares: int
    match_number: int


@dataclass(slots=True)
class OrderExecutedWithPrice(ItchMessage):
    """`C` Order Executed with Price."""

    RECORD: ClassVar[Record] = ORDER_EXECUTED_WITH_PRICE

    order_reference_number: int
    shares: int
    match_number: int
    printable: str
    price: Decimal


@dataclass(slots=True)
class OrderCancel(ItchMessage):
    """`X` Order Cancel."""

    RECORD: ClassVar[Record] = ORDER_CANCEL

    order_reference_number: int
    shares: int


@dataclass(slots=True)
class OrderDelete(ItchMessage):
    """`D` Order Delete."""

    RECORD: ClassVar[Record] = ORDER_DELETE

    order_reference_number: int


@dataclass(slots=True)
class OrderReplace(ItchMessage):
    """`U` Order Replace."""

    RECORD: ClassVar[Record] = ORDER_REPLACE

    original_reference_number: int
    order_reference_number: int
    shares: int
    price: Decimal


@dataclass(slots=True)
class Trade(ItchMessage):
    """`P` Trade with a hidden order."""

    RECORD: ClassVar[Record] = TRADE

    order_reference_number: int
    side: str
    shares: int
    stock: str
    price: Decimal
    match_number: int


@dataclass(slots=True)
class CrossTrade(ItchMessage):
    """`Q` Cross Trade."""

    RECORD: ClassVar[Record] = CROSS_TRADE

    shares: int
    stock: str
    price: Decimal
    match_number: int
    cross_type: str


@dataclass(slots=True)
class BrokenTrade(ItchMessage):
    """`B` Broken Trade."""

    RECORD: ClassVar[Record] = BROKEN_TRADE

    match_number: int


@dataclass(slots=True)
class Imbalance(ItchMessage):
    """`I` Net Order Imbalance."""

    RECORD: ClassVar[Record] = IMBALANCE

    paired_shares: int
    imbalance_shares: int
    direction: str
    stock: str
    far_price: Decimal
    near_price: Decimal
    reference_price: Decimal
    cross_type: str
    price_variation: str


@dataclass(slots=True)
class RetailInterest(ItchMessage):
    """`N` Retail Price Improvement."""

    RECORD: ClassVar[Record] = RETAIL_INTEREST

    stock: str
    interest: str


@dataclass(slots=True)
class PriceDiscovery(ItchMessage):
    """`O` Direct Listing with Capital Raise Price Discovery."""

    RECORD: ClassVar[Record] = PRICE_DISCOVERY

    stock: str
    open_eligibility: str
    minimum_price: Decimal
    maximum_price: Decimal
    near_price: Decimal
    near_time: int
    lower_collar: Decimal
    upper_collar: Decimal


MESSAGES: dict[str, type[ItchMessage]] = {
    "S": SystemEvent,
    "R": StockDirectory,
    "H": TradingAction,
    "Y": RegSho,
    "L": ParticipantPosition,
    "V": BreakerLevels,
    "W": BreakerStatus,
    "K": QuotingPeriod,
    "J": AuctionCollar,
    "h": OperationalHalt,
    "A": AddOrder,
    "F": AddOrderAttributed,
    "E": OrderExecuted,
    "C": OrderExecutedWithPrice,
    "X": OrderCancel,
    "D": OrderDelete,
    "U": OrderReplace,
    "P": Trade,
    "Q": CrossTrade,
    "B": BrokenTrade,
    "I": Imbalance,
    "N": RetailInterest,
    "O": PriceDiscovery,
}
