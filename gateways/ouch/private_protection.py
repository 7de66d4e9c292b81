"""Declaration: our messages about market-maker protection (docs/protocols.md)."""

from ringbuf.schema import Field, Record

_TYPE = Field("type", "a")
_TIME = Field("timestamp", "u8", doc="ns since midnight UTC")
_GROUP = Field("group_id", "u2", doc="tag 24 of the orders")
_SYMBOL = Field("symbol", "a", repeat=8, doc="spaces: every symbol")
_UNTIL = Field("frozen_until", "u8", doc="ns since midnight UTC; 0: not frozen, all ones: a reset")
UNTIL_RESET = (1 << 64) - 1
_LIMITS = (
    Field("window", "u4", doc="microseconds"),
    Field("executions", "u2", doc="limit; 0: none, as in the two that follow"),
    Field("quantity", "u4", doc="limit, lots"),
    Field("net_quantity", "u4", doc="limit, lots bought less sold or the other way round"),
    Field("frozen_for", "u4", doc="microseconds; 0: until a reset"),
)


def _wire(name: str, size: int, *fields: Field, doc: str = "") -> Record:
    return Record(name=name, size=size, fields=fields, doc=doc, wire=True)


PROTECTION_REQUEST = _wire(
    "ouch_protection_request",
    35,
    _TYPE,
    Field("user_ref_num", "u4"),
    Field("user_ref_index", "u1", doc="order flow channel"),
    Field("action", "a", doc="`S` set, `R` reset, `D` delete"),
    _GROUP,
    _SYMBOL,
    *_LIMITS,
    doc="`p`",
)
PROTECTION_ANSWER = _wire(
    "ouch_protection_answer",
    51,
    _TYPE,
    _TIME,
    Field("user_ref_num", "u4"),
    Field("user_ref_index", "u1", doc="order flow channel"),
    Field("action", "a", doc="as asked"),
    _GROUP,
    _SYMBOL,
    *_LIMITS,
    _UNTIL,
    doc="`p`, sequenced",
)
PROTECTION_FIRED = _wire(
    "ouch_protection_fired",
    42,
    _TYPE,
    _TIME,
    _GROUP,
    _SYMBOL,
    Field("reached", "u1", doc="1 executions, 2 quantity, 3 net quantity"),
    Field("executions", "u2", doc="in the window, as all that follows"),
    Field("quantity", "u4"),
    Field("net_quantity", "i4", doc="sold: negative"),
    Field("frozen_for", "u4", doc="microseconds; 0: until a reset"),
    _UNTIL,
    doc="`f`, sequenced: its group's orders are cancelled",
)
RECORDS = (PROTECTION_REQUEST, PROTECTION_ANSWER, PROTECTION_FIRED)
