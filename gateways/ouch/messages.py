"""Declaration: the messages of OUCH 5.0, in the order of the specification, and our private tags.

Every record is the fixed part of a message; what follows `appendage_length` is a concatenation of
tag values: one byte length (of what follows), one byte tag, the value. Fields of a price have four
implied decimals. Letters are used in both directions with different layouts.
"""

from ringbuf.schema import Field, Record

TAG_HEADER_SIZE = 2  # length and tag number, before a value
APPENDAGE_LENGTH_SIZE = 2
APPENDAGE_SIZE_MAX = 512  # longer than all tags together; a longer one is refused
MARKET_PRICE_MIN = 2_000_000_000  # 200,000.0000: prices from here up mean "at the market"
NANOSECONDS_PER_DAY = 86_400_000_000_000

_TYPE = Field("type", "a")
_TIME = Field("timestamp", "u8", doc="ns since midnight UTC")
_USER_REF = Field("user_ref_num", "u4")
_APPENDAGE = Field("appendage_length", "u2", doc="bytes of tag values that follow")
_CLIENT_ORDER_ID = Field("client_order_id", "a", repeat=14, doc="echoed, never checked")
_SYMBOL = Field("symbol", "a", repeat=8)
_FIRM = Field("firm", "a", repeat=4)


def _wire(name: str, size: int, *fields: Field, doc: str = "") -> Record:
    return Record(name=name, size=size, fields=fields, doc=doc, wire=True)


# ---------------------------------------------------------------- client -> exchange

ENTER_ORDER = _wire(
    "ouch_enter_order",
    47,
    _TYPE,
    _USER_REF,
    Field("side", "a", doc="`B` `S` `T` `E`"),
    Field("quantity", "u4", doc="1 to 999,999"),
    _SYMBOL,
    Field("price", "u8"),
    Field("time_in_force", "a", doc="`0` `3` `5` `6` `E`"),
    Field("display", "a", doc="`Y` `N` `A`"),
    Field("capacity", "a", doc="`A` `P` `R` `O`"),
    Field("sweep", "a", doc="inter-market sweep eligibility, `Y` `N`"),
    Field("cross_type", "a", doc="`N` and the crosses"),
    _CLIENT_ORDER_ID,
    _APPENDAGE,
    doc="`O` Enter Order",
)
REPLACE_REQUEST = _wire(
    "ouch_replace_request",
    40,
    _TYPE,
    Field("original_user_ref_num", "u4"),
    _USER_REF,
    Field("quantity", "u4", doc="total of the whole chain"),
    Field("price", "u8"),
    Field("time_in_force", "a"),
    Field("display", "a"),
    Field("sweep", "a"),
    _CLIENT_ORDER_ID,
    _APPENDAGE,
    doc="`U` Replace Order Request",
)
CANCEL_REQUEST = _wire(
    "ouch_cancel_request",
    9,
    _TYPE,
    _USER_REF,
    Field("quantity", "u4", doc="intended total of the chain; 0 = cancel all"),
    doc="`X` Cancel Order Request; an appendage length may follow",
)
MODIFY_REQUEST = _wire(
    "ouch_modify_request",
    10,
    _TYPE,
    _USER_REF,
    Field("side", "a"),
    Field("quantity", "u4", doc="intended total of the chain"),
    doc="`M` Modify Order Request; an appendage length may follow",
)
MASS_CANCEL_REQUEST = _wire(
    "ouch_mass_cancel_request",
    19,
    _TYPE,
    _USER_REF,
    _FIRM,
    Field("symbol", "a", repeat=8, doc="spaces: all"),
    _APPENDAGE,
    doc="`C` Mass Cancel Request",
)
DISABLE_REQUEST = _wire(
    "ouch_disable_request",
    11,
    _TYPE,
    _USER_REF,
    _FIRM,
    _APPENDAGE,
    doc="`D` Disable Order Entry Request",
)
ENABLE_REQUEST = _wire(
    "ouch_enable_request",
    11,
    _TYPE,
    _USER_REF,
    _FIRM,
    _APPENDAGE,
    doc="`E` Enable Order Entry Request",
)
ACCOUNT_QUERY_REQUEST = _wire(
    "ouch_account_query_request",
    1,
    _TYPE,
    doc="`Q` Account Query Request; an appendage length may follow",
)

# ---------------------------------------------------------------- exchange -> client

SYSTEM_EVENT = _wire(
    "ouch_system_event",
    10,
    _TYPE,
    _TIME,
    Field("event_code", "a", doc="`S` start of day, `E` end of day"),
    doc="`S` System Event",
)
ORDER_ACCEPTED = _wire(
    "ouch_order_accepted",
    64,
    _TYPE,
    _TIME,
    _USER_REF,
    Field("side", "a"),
    Field("quantity", "u4"),
    _SYMBOL,
    Field("price", "u8"),
    Field("time_in_force", "a"),
    Field("display", "a"),
    Field("order_reference_number", "u8", doc="engine << 48 | position of the accepting event"),
    Field("capacity", "a"),
    Field("sweep", "a"),
    Field("cross_type", "a"),
    Field("order_state", "a", doc="`L` live; `D` is never sent"),
    _CLIENT_ORDER_ID,
    _APPENDAGE,
    doc="`A` Order Accepted",
)
ORDER_REPLACED = _wire(
    "ouch_order_replaced",
    68,
    _TYPE,
    _TIME,
    Field("original_user_ref_num", "u4"),
    _USER_REF,
    Field("side", "a"),
    Field("quantity", "u4", doc="shares now outstanding"),
    _SYMBOL,
    Field("price", "u8"),
    Field("time_in_force", "a"),
    Field("display", "a"),
    Field("order_reference_number", "u8"),
    Field("capacity", "a"),
    Field("sweep", "a"),
    Field("cross_type", "a"),
    Field("order_state", "a"),
    _CLIENT_ORDER_ID,
    _APPENDAGE,
    doc="`U` Order Replaced",
)
ORDER_CANCELED = _wire(
    "ouch_order_canceled",
    18,
    _TYPE,
    _TIME,
    _USER_REF,
    Field("quantity", "u4", doc="taken away by this message"),
    Field("reason", "a"),
    doc="`C` Order Canceled; an appendage length follows if the request had one",
)
AIQ_CANCELED = _wire(
    "ouch_aiq_canceled",
    32,
    _TYPE,
    _TIME,
    _USER_REF,
    Field("decrement_shares", "u4"),
    Field("reason", "a", doc="`Q`"),
    Field("quantity_prevented", "u4"),
    Field("execution_price", "u8"),
    Field("liquidity_flag", "a"),
    Field("aiq_strategy", "a"),
    doc="`D` AIQ (self-match) Canceled; conditional appendage length",
)
ORDER_EXECUTED = _wire(
    "ouch_order_executed",
    36,
    _TYPE,
    _TIME,
    _USER_REF,
    Field("quantity", "u4"),
    Field("price", "u8"),
    Field("liquidity_flag", "a"),
    Field("match_number", "u8", doc="engine << 48 | position of the trade's event"),
    _APPENDAGE,
    doc="`E` Order Executed",
)
BROKEN_TRADE = _wire(
    "ouch_broken_trade",
    36,
    _TYPE,
    _TIME,
    _USER_REF,
    Field("match_number", "u8"),
    Field("reason", "a"),
    _CLIENT_ORDER_ID,
    doc="`B` Broken Trade; conditional appendage length",
)
REJECTED = _wire(
    "ouch_rejected",
    29,
    _TYPE,
    _TIME,
    _USER_REF,
    Field("reason", "u2"),
    _CLIENT_ORDER_ID,
    doc="`J` Rejected; an appendage length follows if the request had one",
)
CANCEL_PENDING = _wire(
    "ouch_cancel_pending",
    13,
    _TYPE,
    _TIME,
    _USER_REF,
    doc="`P` Cancel Pending; conditional appendage length",
)
CANCEL_REJECT = _wire(
    "ouch_cancel_reject",
    13,
    _TYPE,
    _TIME,
    _USER_REF,
    doc="`I` Cancel Reject; conditional appendage length",
)
PRIORITY_UPDATE = _wire(
    "ouch_priority_update",
    30,
    _TYPE,
    _TIME,
    _USER_REF,
    Field("price", "u8"),
    Field("display", "a"),
    Field("order_reference_number", "u8"),
    doc="`T` Order Priority Update; conditional appendage length",
)
ORDER_MODIFIED = _wire(
    "ouch_order_modified",
    18,
    _TYPE,
    _TIME,
    _USER_REF,
    Field("side", "a"),
    Field("quantity", "u4", doc="shares now outstanding"),
    doc="`M` Order Modified; an appendage length follows if the request had one",
)
ORDER_RESTATED = _wire(
    "ouch_order_restated",
    16,
    _TYPE,
    _TIME,
    _USER_REF,
    Field("reason", "a", doc="`R` reserve refresh, `P` displayed price update"),
    _APPENDAGE,
    doc="`R` Order Restated",
)
MASS_CANCEL_RESPONSE = _wire(
    "ouch_mass_cancel_response",
    27,
    _TYPE,
    _TIME,
    _USER_REF,
    _FIRM,
    _SYMBOL,
    _APPENDAGE,
    doc="`X` Mass Cancel Response",
)
DISABLE_RESPONSE = _wire(
    "ouch_disable_response",
    19,
    _TYPE,
    _TIME,
    _USER_REF,
    _FIRM,
    _APPENDAGE,
    doc="`G` Disable Order Entry Response",
)
ENABLE_RESPONSE = _wire(
    "ouch_enable_response",
    19,
    _TYPE,
    _TIME,
    _USER_REF,
    _FIRM,
    _APPENDAGE,
    doc="`K` Enable Order Entry Response",
)
ACCOUNT_QUERY_RESPONSE = _wire(
    "ouch_account_query_response",
    13,
    _TYPE,
    _TIME,
    Field("next_user_ref_num", "u4"),
    doc="`Q` Account Query Response; an appendage length follows if the request had one",
)

# ---------------------------------------------------------------- by letter

INBOUND = {
    "O": ENTER_ORDER,
    "U": REPLACE_REQUEST,
    "X": CANCEL_REQUEST,
    "M": MODIFY_REQUEST,
    "C": MASS_CANCEL_REQUEST,
    "D": DISABLE_REQUEST,
    "E": ENABLE_REQUEST,
    "Q": ACCOUNT_QUERY_REQUEST,
}
OUTBOUND = {
    "S": SYSTEM_EVENT,
    "A": ORDER_ACCEPTED,
    "U": ORDER_REPLACED,
    "C": ORDER_CANCELED,
    "D": AIQ_CANCELED,
    "E": ORDER_EXECUTED,
    "B": BROKEN_TRADE,
    "J": REJECTED,
    "P": CANCEL_PENDING,
    "I": CANCEL_REJECT,
    "T": PRIORITY_UPDATE,
    "M": ORDER_MODIFIED,
    "R": ORDER_RESTATED,
    "X": MASS_CANCEL_RESPONSE,
    "G": DISABLE_RESPONSE,
    "K": ENABLE_RESPONSE,
    "Q": ACCOUNT_QUERY_RESPONSE,
}
# Messages whose fixed part has no appendage length: it may follow, or may be absent.
INBOUND_SHORT = frozenset("XMQ")
OUTBOUND_SHORT = frozenset("CDBJPITMQ")
CHANNEL_SIZE = TAG_HEADER_SIZE + 1  # tag 28
CAUSE_SIZE = TAG_HEADER_SIZE + 1  # tag 133
TAGS_SIZE_MAX = 192  # of the other tags that our messages carry, together
OUTBOUND_SIZE_MAX = (
    max(record.size for record in OUTBOUND.values())
    + APPENDAGE_LENGTH_SIZE
    + CHANNEL_SIZE
    + TAGS_SIZE_MAX
)

COPY_SIZE = 7  # `c` and the session's name, in front of a copied message

RECORDS = tuple(INBOUND.values()) + tuple(OUTBOUND.values())
