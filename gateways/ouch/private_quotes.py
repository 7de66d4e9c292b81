"""Declaration: our mass quotes (docs/protocols.md)."""

from ringbuf.schema import Field, Record

QUOTES_MAX = 16  # of one message

_TYPE = Field("type", "a")
_USER_REF = Field("user_ref_num", "u4")
_CHANNEL = Field("user_ref_index", "u1", doc="order flow channel")
_GROUP = Field("group_id", "u2", doc="tag 24 of its orders; 0: none")
_COUNT = Field("count", "u1", doc="quotes, 1 to 16")


def _wire(name: str, size: int, *fields: Field, doc: str = "") -> Record:
    return Record(name=name, size=size, fields=fields, doc=doc, wire=True)


MASS_QUOTE = _wire(
    "ouch_mass_quote", 9, _TYPE, _USER_REF, _CHANNEL, _GROUP, _COUNT, doc="`q`, then its quotes"
)
QUOTE = _wire(
    "ouch_quote",
    34,
    Field("quote_id", "u2", doc="1 to 256"),
    Field("symbol", "a", repeat=8),
    Field("bid_price", "u8"),
    Field("bid_quantity", "u4", doc="0: no bid"),
    Field("ask_price", "u8"),
    Field("ask_quantity", "u4", doc="0: no offer"),
    doc="both sides of one quote",
)
MASS_QUOTE_ANSWER = _wire(
    "ouch_mass_quote_answer",
    17,
    _TYPE,
    Field("timestamp", "u8", doc="ns since midnight UTC"),
    _USER_REF,
    _CHANNEL,
    _GROUP,
    _COUNT,
    doc="`q`, sequenced: what its quotes do follows",
)
RECORDS = (MASS_QUOTE, QUOTE, MASS_QUOTE_ANSWER)
