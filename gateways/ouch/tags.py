"""Declaration: the optional tags of OUCH 5.0, our private ones, and a decoded request.

A tag value is: length (1 + size of the value), tag number, value. Tags from 128 up are ours; a
client that does not know one skips it by its length.
"""

from enum import IntEnum
from typing import NamedTuple

from ringbuf.schema import Field, Record


class Tag(IntEnum):
    """Numbers of the specification's Appendix B, and private ones from 128 up."""

    SECONDARY_ORDER_REFERENCE = 1
    FIRM = 2
    MINIMUM_QUANTITY = 3
    CUSTOMER_TYPE = 4
    MAXIMUM_FLOOR = 5
    PRICE_TYPE = 6
    PEG_OFFSET = 7
    DISCRETION_PRICE = 9
    DISCRETION_PRICE_TYPE = 10
    DISCRETION_PEG_OFFSET = 11
    POST_ONLY = 12
    RANDOM_RESERVES = 13
    ROUTE = 14
    EXPIRE_TIME = 15
    TRADE_NOW = 16
    HANDLE_INSTRUCTION = 17
    BBO_WEIGHT = 18
    DISPLAY_QUANTITY = 22
    DISPLAY_PRICE = 23
    GROUP_ID = 24
    SHARES_LOCATED = 25
    LOCATE_BROKER = 26
    SIDE = 27
    USER_REF_INDEX = 28
    GOOD_TILL_CANCELLED = 128
    POST_ONLY_REJECT = 129
    STAY_ON_DISCONNECT = 130
    SELF_TRADE_MODE = 131
    SELF_TRADE_GROUP = 132
    CAUSE = 133
    RECEIVED = 140
    ENQUEUED = 141
    MATCHED = 142
    TIMES_ASKED = 143
    SHARES_AHEAD = 144
    SHARES_AHEAD_ASKED = 145
    CHAIN_DONE = 146


class TagFormat(NamedTuple):
    """How a tag's value is written: "a" is ASCII, "i" signed, "u" unsigned, big-endian."""

    tag: Tag
    kind: str
    size: int
    doc: str


TAG_FORMATS = (
    TagFormat(Tag.SECONDARY_ORDER_REFERENCE, "u", 8, "R: the new reference number"),
    TagFormat(Tag.FIRM, "a", 4, "blank: the port's default"),
    TagFormat(Tag.MINIMUM_QUANTITY, "u", 4, "0: none"),
    TagFormat(Tag.CUSTOMER_TYPE, "a", 1, "`R` retail, `N` not, space: the port's default"),
    TagFormat(Tag.MAXIMUM_FLOOR, "u", 4, "displayed part of a reserve order; 0: none"),
    TagFormat(Tag.PRICE_TYPE, "a", 1, "`L` limit; the others are pegs"),
    TagFormat(Tag.PEG_OFFSET, "i", 4, "price"),
    TagFormat(Tag.DISCRETION_PRICE, "u", 8, "price"),
    TagFormat(Tag.DISCRETION_PRICE_TYPE, "a", 1, "`L` `P` `M` `R`"),
    TagFormat(Tag.DISCRETION_PEG_OFFSET, "i", 4, "price"),
    TagFormat(Tag.POST_ONLY, "a", 1, "`P` post only, `N` no"),
    TagFormat(Tag.RANDOM_RESERVES, "u", 4, ""),
    TagFormat(Tag.ROUTE, "a", 4, ""),
    TagFormat(Tag.EXPIRE_TIME, "u", 4, "seconds to live, below 86,400"),
    TagFormat(Tag.TRADE_NOW, "a", 1, "`Y` `N` space"),
    TagFormat(Tag.HANDLE_INSTRUCTION, "a", 1, "`I` `O` `T` `Q` `B` `D` `R` space"),
    TagFormat(Tag.BBO_WEIGHT, "a", 1, "outbound"),
    TagFormat(Tag.DISPLAY_QUANTITY, "u", 4, "R"),
    TagFormat(Tag.DISPLAY_PRICE, "u", 8, "R, price"),
    TagFormat(Tag.GROUP_ID, "u", 2, "0: none"),
    TagFormat(Tag.SHARES_LOCATED, "a", 1, "`Y` `N`"),
    TagFormat(Tag.LOCATE_BROKER, "a", 4, ""),
    TagFormat(Tag.SIDE, "a", 1, "filter of a mass cancel"),
    TagFormat(Tag.USER_REF_INDEX, "u", 1, "order flow channel inside the port"),
    TagFormat(Tag.GOOD_TILL_CANCELLED, "a", 1, "private: `G`, with time in force `0`"),
    TagFormat(Tag.POST_ONLY_REJECT, "a", 1, "private: `R`, refuse instead of sliding; `N` no"),
    TagFormat(Tag.STAY_ON_DISCONNECT, "a", 1, "private: `Y`, not cancelled on disconnect"),
    TagFormat(Tag.SELF_TRADE_MODE, "a", 1, "private: `R` `I` `B` `D`, see self-trade prevention"),
    TagFormat(Tag.SELF_TRADE_GROUP, "u", 2, "private: whose it is, 0: of no group"),
    TagFormat(Tag.CAUSE, "u", 1, "private, outbound: why an order was cancelled unasked"),
    TagFormat(Tag.RECEIVED, "u", 8, "private, outbound: ns since midnight, read from the socket"),
    TagFormat(Tag.ENQUEUED, "u", 8, "private, outbound: ns, its command was written"),
    TagFormat(Tag.MATCHED, "u", 8, "private, outbound: ns, the matcher took it up"),
    TagFormat(Tag.TIMES_ASKED, "a", 1, "private: `Y`, say 140 to 142"),
    TagFormat(Tag.SHARES_AHEAD, "u", 4, "private, outbound: lots that trade before it"),
    TagFormat(Tag.SHARES_AHEAD_ASKED, "a", 1, "private: `Y`, say 144"),
    TagFormat(Tag.CHAIN_DONE, "u", 4, "private, outbound: lots of its chain that are gone already"),
)

PRIVATE_TAG_FIRST = 128
PRIVATE_TAG_LIMIT = 192  # tags 128 to 191 have a bit in `present_private`


def _mask(*tags: int) -> int:
    """Bit n: tag n may stand in the message. Private tags are counted from 128."""
    return sum(1 << (tag % PRIVATE_TAG_FIRST) for tag in tags)


ENTER_TAGS = _mask(2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 25, 28)
REPLACE_TAGS = _mask(3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 24, 25, 26, 28)
CANCEL_TAGS = _mask(28)
MASS_CANCEL_TAGS = _mask(24, 27, 28)
_ORDER_PRIVATE = (128, 129, 130, 131, 132, 143, 145)
ORDER_PRIVATE_TAGS = _mask(*_ORDER_PRIVATE)  # of Enter Order and Replace Order Request

OUCH_REQUEST = Record(
    name="ouch_request",
    size=136,
    doc="An inbound message, decoded. Fields that its kind does not have are unspecified; a tag's "
    "field is unspecified unless `present` says so. `raw` fields are bytes as on the wire.",
    fields=(
        Field("type", "a"),
        Field("side", "a"),
        Field("time_in_force", "a"),
        Field("display", "a"),
        Field("capacity", "a"),
        Field("sweep", "a"),
        Field("cross_type", "a"),
        Field("long_form", "u1", doc="1: the message carried an appendage length"),
        Field("price", "i8", doc="0.0001; negative: above 2**63"),
        Field("symbol", "i8", doc="raw"),
        Field("user_ref", "u4"),
        Field("original_user_ref", "u4"),
        Field("quantity", "u4"),
        Field("firm", "i4", doc="raw: of C, D and E; otherwise tag 2"),
        Field("client_order_id_0", "i8", doc="raw, bytes 0-7"),
        Field("client_order_id_1", "i4", doc="raw, bytes 8-11"),
        Field("client_order_id_2", "i2", doc="raw, bytes 12-13"),
        Field("bad_tag", "u1", doc="BAD_APPENDAGE: the tag with a wrong size, or twice"),
        Field("foreign_tag", "u1", doc="first tag that this message may not carry, or 0"),
        Field("present", "i8", doc="bit n: tag n was there"),
        Field("present_private", "i8", doc="bit n: tag 128 + n was there"),
        Field("minimum_quantity", "u4", doc="tag 3"),
        Field("maximum_floor", "u4", doc="tag 5"),
        Field("peg_offset", "i4", doc="tag 7"),
        Field("discretion_peg_offset", "i4", doc="tag 11"),
        Field("discretion_price", "i8", doc="tag 9"),
        Field("random_reserves", "u4", doc="tag 13"),
        Field("route", "i4", doc="tag 14, raw"),
        Field("expire_seconds", "u4", doc="tag 15"),
        Field("locate_broker", "i4", doc="tag 26, raw"),
        Field("group_id", "u2", doc="tag 24"),
        Field("user_ref_index", "u1", doc="tag 28; 0 when it is absent"),
        Field("customer_type", "a", doc="tag 4"),
        Field("price_type", "a", doc="tag 6"),
        Field("discretion_price_type", "a", doc="tag 10"),
        Field("post_only", "a", doc="tag 12"),
        Field("trade_now", "a", doc="tag 16"),
        Field("handle_instruction", "a", doc="tag 17"),
        Field("shares_located", "a", doc="tag 25"),
        Field("side_filter", "a", doc="tag 27"),
        Field("good_till_cancelled", "a", doc="tag 128"),
        Field("post_only_reject", "a", doc="tag 129"),
        Field("stay_on_disconnect", "a", doc="tag 130"),
        Field("times_asked", "a", doc="tag 143"),
        Field("shares_ahead_asked", "a", doc="tag 145"),
        Field("self_trade_group", "u2", doc="tag 132"),
        Field("self_trade_mode", "a", doc="tag 131"),
        Field("reserved_0", "u1", repeat=5),
    ),
)
OUCH_REQUEST_DTYPE = OUCH_REQUEST.dtype
