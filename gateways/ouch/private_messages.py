"""Declaration: our own messages beside OUCH 5.0, in lower-case letters so that none of it is taken.

Questions of a client, answered at once by its gateway in SoupBinTCP unsequenced packets: an answer
says the sequence number up to which it is exact.
"""

from ringbuf.schema import Field, Record

_TYPE = Field("type", "a")
_TIME = Field("timestamp", "u8", doc="ns since midnight UTC: of the last command in it")
_USER_REF = Field("user_ref_num", "u4")
_CHANNEL = Field("user_ref_index", "u1", doc="order flow channel")
_SYMBOL = Field("symbol", "a", repeat=8)
_NEXT = Field("next_sequence", "u8", doc="everything below this number of the stream is in it")


def _wire(name: str, size: int, *fields: Field, doc: str = "") -> Record:
    return Record(name=name, size=size, fields=fields, doc=doc, wire=True)


# ---------------------------------------------------------------- client -> exchange

LIMITS_QUERY = _wire(
    "ouch_limits_query", 9, _TYPE, _SYMBOL, doc="`l` my limits, and what I hold in a symbol"
)
OPEN_ORDERS_QUERY = _wire("ouch_open_orders_query", 1, _TYPE, doc="`o` all my open orders")
SHARES_AHEAD_QUERY = _wire(
    "ouch_shares_ahead_query", 6, _TYPE, _USER_REF, _CHANNEL, doc="`a` who trades before my order?"
)

# ---------------------------------------------------------------- exchange -> client, unsequenced

LIMITS_ANSWER = _wire(
    "ouch_limits_answer",
    117,
    _TYPE,
    _TIME,
    _SYMBOL,
    _NEXT,
    Field("order_quantity", "u8", doc="lots; 0: no limit, as in all that follow"),
    Field("order_notional", "u8", doc="price x lots, four decimals"),
    Field("price_deviation", "u8", doc="basis points"),
    Field("open_orders_max", "u8"),
    Field("position_max", "u8", doc="lots, long or short, open orders included"),
    Field("messages_per_second", "u8"),
    Field("symbol_messages_per_second", "u8"),
    Field("open_orders", "u4", doc="now, of all symbols"),
    Field("position", "i8", doc="lots bought less lots sold, of the symbol"),
    Field("open_buys", "u8", doc="lots of the symbol that open orders may still buy"),
    Field("open_sells", "u8", doc="or sell"),
    Field("reference_price", "u8", doc="of the symbol's fat-finger check, or 0"),
    doc="`l`",
)
OPEN_ORDERS_ANSWER = _wire(
    "ouch_open_orders_answer",
    22,
    _TYPE,
    _TIME,
    _NEXT,
    Field("count", "u4", doc="open orders; so many `r` follow"),
    Field("complete", "a", doc="`N`: there is no room for them now, none follow"),
    doc="`o`",
)
OPEN_ORDER = _wire(
    "ouch_open_order",
    41,
    _TYPE,
    _USER_REF,
    _CHANNEL,
    Field("side", "a"),
    Field("quantity", "u4", doc="still open"),
    Field("executed", "u4", doc="of its chain, in earlier streams too"),
    _SYMBOL,
    Field("price", "u8"),
    Field("time_in_force", "a"),
    Field("display", "a"),
    Field("order_reference_number", "u8"),
    doc="`r` one open order",
)
SHARES_AHEAD_ANSWER = _wire(
    "ouch_shares_ahead_answer",
    31,
    _TYPE,
    _TIME,
    _NEXT,
    _USER_REF,
    _CHANNEL,
    Field("state", "a", doc="`Y` exact, `M` more than that, `N` the order is not open"),
    Field("shares", "u8", doc="lots of its price that trade before it"),
    doc="`a`",
)
ORDER_TIMES = _wire(
    "ouch_order_times",
    30,
    _TYPE,
    Field("sequence", "u8", doc="number of the `A` or `U` that it is about"),
    _USER_REF,
    _CHANNEL,
    Field("published", "u8", doc="ns since midnight UTC: the gateway had the event"),
    Field("sent", "u8", doc="ns since midnight UTC: the gateway had given the message to TCP"),
    doc="`t` what happened to the acknowledgement of an order that had asked (tag 143)",
)

RECORDS = (
    LIMITS_QUERY,
    OPEN_ORDERS_QUERY,
    SHARES_AHEAD_QUERY,
    LIMITS_ANSWER,
    OPEN_ORDERS_ANSWER,
    OPEN_ORDER,
    SHARES_AHEAD_ANSWER,
    ORDER_TIMES,
)
