"""Declaration: the messages of TotalView-ITCH 5.0, in the order of the specification.

Every message begins with the same eleven bytes; the timestamp is a 48-bit integer, kept here as
its upper 16 and lower 32 bits. Prices have four implied decimals, those of `V` eight.
"""

from ringbuf.schema import Field, Record

MESSAGE_SIZE_MAX = 50

_STOCK = Field("stock", "a", repeat=8)
_REFERENCE = Field("order_reference_number", "u8", doc="as OUCH `A` says")
_MATCH = Field("match_number", "u8", doc="as OUCH `E` says")
_SIDE = Field("side", "a", doc="`B` `S`")
_SHARES = Field("shares", "u4")
_PRICE = Field("price", "u4")
_HEADER = (
    Field("type", "a"),
    Field("stock_locate", "u2", doc="index of the instrument + 1; 0: none"),
    Field("tracking_number", "u2", doc="0"),
    Field("timestamp_high", "u2", doc="ns since midnight UTC, bits 32-47"),
    Field("timestamp_low", "u4", doc="bits 0-31"),
)


def _wire(name: str, size: int, *fields: Field, doc: str) -> Record:
    return Record(name=name, size=size, fields=(*_HEADER, *fields), doc=doc, wire=True)


SYSTEM_EVENT = _wire(
    "itch_system_event",
    12,
    Field("event_code", "a", doc="`O` `S` `Q` `M` `E` `C`"),
    doc="`S` System Event",
)
STOCK_DIRECTORY = _wire(
    "itch_stock_directory",
    39,
    _STOCK,
    Field("market_category", "a", doc="`Q`"),
    Field("financial_status", "a", doc="`N`"),
    Field("round_lot_size", "u4"),
    Field("round_lots_only", "a", doc="`N`"),
    Field("issue_classification", "a", doc="`C`"),
    Field("issue_sub_type", "a", repeat=2, doc="`Z `"),
    Field("authenticity", "a", doc="`P` live, `T` test"),
    Field("short_sale_threshold", "a", doc="`N`"),
    Field("ipo_flag", "a", doc="space"),
    Field("luld_tier", "a", doc="space"),
    Field("etp_flag", "a", doc="`N`"),
    Field("etp_leverage", "u4", doc="0"),
    Field("inverse", "a", doc="`N`"),
    doc="`R` Stock Directory",
)
TRADING_ACTION = _wire(
    "itch_trading_action",
    25,
    _STOCK,
    Field("trading_state", "a", doc="`T` open, `Q` cancel-only, `H` halted or closed"),
    Field("reserved", "a", doc="space"),
    Field("reason", "a", repeat=4),
    doc="`H` Stock Trading Action",
)
REG_SHO = _wire("itch_reg_sho", 20, _STOCK, Field("action", "a"), doc="`Y` Reg SHO Restriction")
PARTICIPANT_POSITION = _wire(
    "itch_participant_position",
    26,
    Field("participant", "a", repeat=4),
    _STOCK,
    Field("primary_market_maker", "a"),
    Field("market_maker_mode", "a"),
    Field("participant_state", "a"),
    doc="`L` Market Participant Position",
)
BREAKER_LEVELS = _wire(
    "itch_breaker_levels",
    35,
    Field("level_1", "u8", doc="eight decimals"),
    Field("level_2", "u8", doc="eight decimals"),
    Field("level_3", "u8", doc="eight decimals"),
    doc="`V` MWCB Decline Level",
)
BREAKER_STATUS = _wire(
    "itch_breaker_status", 12, Field("breached_level", "a"), doc="`W` MWCB Status"
)
QUOTING_PERIOD = _wire(
    "itch_quoting_period",
    28,
    _STOCK,
    Field("release_time", "u4", doc="seconds since midnight"),
    Field("release_qualifier", "a"),
    _PRICE,
    doc="`K` IPO Quoting Period Update",
)
AUCTION_COLLAR = _wire(
    "itch_auction_collar",
    35,
    _STOCK,
    Field("reference_price", "u4"),
    Field("upper_price", "u4"),
    Field("lower_price", "u4"),
    Field("extension", "u4"),
    doc="`J` LULD Auction Collar",
)
OPERATIONAL_HALT = _wire(
    "itch_operational_halt",
    21,
    _STOCK,
    Field("market_code", "a"),
    Field("halt_action", "a"),
    doc="`h` Operational Halt",
)
ADD_ORDER = _wire(
    "itch_add_order",
    36,
    _REFERENCE,
    _SIDE,
    _SHARES,
    _STOCK,
    _PRICE,
    doc="`A` Add Order",
)
ADD_ORDER_ATTRIBUTED = _wire(
    "itch_add_order_attributed",
    40,
    _REFERENCE,
    _SIDE,
    _SHARES,
    _STOCK,
    _PRICE,
    Field("attribution", "a", repeat=4),
    doc="`F` Add Order with Attribution",
)
ORDER_EXECUTED = _wire(
    "itch_order_executed", 31, _REFERENCE, _SHARES, _MATCH, doc="`E` Order Executed"
)
ORDER_EXECUTED_WITH_PRICE = _wire(
    "itch_order_executed_with_price",
    36,
    _REFERENCE,
    _SHARES,
    _MATCH,
    Field("printable", "a"),
    _PRICE,
    doc="`C` Order Executed with Price",
)
ORDER_CANCEL = _wire(
    "itch_order_cancel",
    23,
    _REFERENCE,
    Field("shares", "u4", doc="taken away"),
    doc="`X` Order Cancel",
)
ORDER_DELETE = _wire("itch_order_delete", 19, _REFERENCE, doc="`D` Order Delete")
ORDER_REPLACE = _wire(
    "itch_order_replace",
    35,
    Field("original_reference_number", "u8"),
    Field("order_reference_number", "u8", doc="new"),
    _SHARES,
    _PRICE,
    doc="`U` Order Replace",
)
TRADE = _wire(
    "itch_trade",
    44,
    Field("order_reference_number", "u8", doc="0"),
    Field("side", "a", doc="`B`"),
    _SHARES,
    _STOCK,
    _PRICE,
    _MATCH,
    doc="`P` Trade with a hidden order",
)
CROSS_TRADE = _wire(
    "itch_cross_trade",
    40,
    Field("shares", "u8"),
    _STOCK,
    _PRICE,
    _MATCH,
    Field("cross_type", "a"),
    doc="`Q` Cross Trade",
)
BROKEN_TRADE = _wire("itch_broken_trade", 19, _MATCH, doc="`B` Broken Trade")
IMBALANCE = _wire(
    "itch_imbalance",
    50,
    Field("paired_shares", "u8"),
    Field("imbalance_shares", "u8"),
    Field("direction", "a"),
    _STOCK,
    Field("far_price", "u4"),
    Field("near_price", "u4"),
    Field("reference_price", "u4"),
    Field("cross_type", "a"),
    Field("price_variation", "a"),
    doc="`I` Net Order Imbalance",
)
RETAIL_INTEREST = _wire(
    "itch_retail_interest",
    20,
    _STOCK,
    Field("interest", "a"),
    doc="`N` Retail Price Improvement",
)
PRICE_DISCOVERY = _wire(
    "itch_price_discovery",
    48,
    _STOCK,
    Field("open_eligibility", "a"),
    Field("minimum_price", "u4"),
    Field("maximum_price", "u4"),
    Field("near_price", "u4"),
    Field("near_time", "u8"),
    Field("lower_collar", "u4"),
    Field("upper_collar", "u4"),
    doc="`O` Direct Listing with Capital Raise Price Discovery",
)

MESSAGES = {
    "S": SYSTEM_EVENT,
    "R": STOCK_DIRECTORY,
    "H": TRADING_ACTION,
    "Y": REG_SHO,
    "L": PARTICIPANT_POSITION,
    "V": BREAKER_LEVELS,
    "W": BREAKER_STATUS,
    "K": QUOTING_PERIOD,
    "J": AUCTION_COLLAR,
    "h": OPERATIONAL_HALT,
    "A": ADD_ORDER,
    "F": ADD_ORDER_ATTRIBUTED,
    "E": ORDER_EXECUTED,
    "C": ORDER_EXECUTED_WITH_PRICE,
    "X": ORDER_CANCEL,
    "D": ORDER_DELETE,
    "U": ORDER_REPLACE,
    "P": TRADE,
    "Q": CROSS_TRADE,
    "B": BROKEN_TRADE,
    "I": IMBALANCE,
    "N": RETAIL_INTEREST,
    "O": PRICE_DISCOVERY,
}

ITCH_MESSAGE = Record(
    name="itch_message",
    size=64,
    doc="A message of the feed, decoded. Fields that its kind does not have are 0.",
    fields=(
        Field("type", "a"),
        Field("side", "a"),
        Field("code", "a", doc="S: event code; H: trading state; C: printable"),
        Field("reserved_0", "u1"),
        Field("stock_locate", "u2"),
        Field("tracking_number", "u2"),
        Field("timestamp", "i8", doc="ns since midnight UTC"),
        Field("reference", "i8", doc="order reference number; U: the new one"),
        Field("original_reference", "i8", doc="U"),
        Field("match_number", "i8"),
        Field("symbol", "i8", doc="raw"),
        Field("shares", "u4", doc="R: round lot size"),
        Field("price", "u4", doc="0.0001"),
        Field("reserved_1", "i8"),
    ),
)
ITCH_MESSAGE_DTYPE = ITCH_MESSAGE.dtype

RECORDS = tuple(MESSAGES.values())
