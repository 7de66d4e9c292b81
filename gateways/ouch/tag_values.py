"""Kernel: one tag value of an appendage -> its field of an OUCH_REQUEST.

The sizes are those of `TAG_FORMATS`; a test holds the two together.
"""

from __future__ import annotations

from gateways.ouch.tags import Tag
from gateways.wire import signed_4
from ringbuf.bits import at, load_big_2, load_big_4, load_big_8, load_raw_4
from ringbuf.jit import kernel

FIRM = int(Tag.FIRM)
MINIMUM_QUANTITY = int(Tag.MINIMUM_QUANTITY)
CUSTOMER_TYPE = int(Tag.CUSTOMER_TYPE)
MAXIMUM_FLOOR = int(Tag.MAXIMUM_FLOOR)
PRICE_TYPE = int(Tag.PRICE_TYPE)
PEG_OFFSET = int(Tag.PEG_OFFSET)
DISCRETION_PRICE = int(Tag.DISCRETION_PRICE)
DISCRETION_PRICE_TYPE = int(Tag.DISCRETION_PRICE_TYPE)
DISCRETION_PEG_OFFSET = int(Tag.DISCRETION_PEG_OFFSET)
POST_ONLY = int(Tag.POST_ONLY)
RANDOM_RESERVES = int(Tag.RANDOM_RESERVES)
ROUTE = int(Tag.ROUTE)
EXPIRE_TIME = int(Tag.EXPIRE_TIME)
TRADE_NOW = int(Tag.TRADE_NOW)
HANDLE_INSTRUCTION = int(Tag.HANDLE_INSTRUCTION)
GROUP_ID = int(Tag.GROUP_ID)
SHARES_LOCATED = int(Tag.SHARES_LOCATED)
LOCATE_BROKER = int(Tag.LOCATE_BROKER)
SIDE = int(Tag.SIDE)
USER_REF_INDEX = int(Tag.USER_REF_INDEX)
GOOD_TILL_CANCELLED = int(Tag.GOOD_TILL_CANCELLED)
POST_ONLY_REJECT = int(Tag.POST_ONLY_REJECT)
STAY_ON_DISCONNECT = int(Tag.STAY_ON_DISCONNECT)
SELF_TRADE_MODE = int(Tag.SELF_TRADE_MODE)
SELF_TRADE_GROUP = int(Tag.SELF_TRADE_GROUP)
TIMES_ASKED = int(Tag.TIMES_ASKED)
SHARES_AHEAD_ASKED = int(Tag.SHARES_AHEAD_ASKED)


@kernel
def _store_1(tag, value, request):
    """A value of one byte. Return 1, or 0 when the tag's size is not one byte."""
    if tag == USER_REF_INDEX:
        request["user_ref_index"] = value
    elif tag == GOOD_TILL_CANCELLED:
        request["good_till_cancelled"] = value
    elif tag == POST_ONLY:
        request["post_only"] = value
    elif tag == POST_ONLY_REJECT:
        request["post_only_reject"] = value
    elif tag == STAY_ON_DISCONNECT:
        request["stay_on_disconnect"] = value
    elif tag == SELF_TRADE_MODE:
        request["self_trade_mode"] = value
    elif tag == TIMES_ASKED:
        request["times_asked"] = value
    elif tag == SHARES_AHEAD_ASKED:
        request["shares_ahead_asked"] = value
    elif tag == CUSTOMER_TYPE:
        request["customer_type"] = value
    elif tag == PRICE_TYPE:
        request["price_type"] = value
    elif tag == DISCRETION_PRICE_TYPE:
        request["discretion_price_type"] = value
    elif tag == TRADE_NOW:
        request["trade_now"] = value
    elif tag == HANDLE_INSTRUCTION:
        request["handle_instruction"] = value
    elif tag == SHARES_LOCATED:
        request["shares_located"] = value
    elif tag == SIDE:
        request["side_filter"] = value
    else:
        return 0
    return 1


@kernel
def _store_4(data, offset, tag, request):
    """A value of four bytes. Return 1, or 0 when the tag's size is not four bytes."""
    value = load_big_4(data, offset)
    if tag == MINIMUM_QUANTITY:
        request["minimum_quantity"] = value
    elif tag == MAXIMUM_FLOOR:
        request["maximum_floor"] = value
    elif tag == EXPIRE_TIME:
        request["expire_seconds"] = value
    elif tag == RANDOM_RESERVES:
        request["random_reserves"] = value
    elif tag == PEG_OFFSET:
        request["peg_offset"] = signed_4(value)
    elif tag == DISCRETION_PEG_OFFSET:
        request["discretion_peg_offset"] = signed_4(value)
    elif tag == FIRM:
        request["firm"] = signed_4(load_raw_4(data, offset))
    elif tag == ROUTE:
        request["route"] = signed_4(load_raw_4(data, offset))
    elif tag == LOCATE_BROKER:
        request["locate_broker"] = signed_4(load_raw_4(data, offset))
    else:
        return 0
    return 1


@kernel
def store_tag(data, offset, tag, size, request):
    """Keep the value of `tag` that lies in [offset, offset + size). Return 0: wrong size."""
    if size == 1:
        return _store_1(tag, data[at(offset)], request)
    if size == 4:
        return _store_4(data, offset, tag, request)
    if size == 2 and tag == GROUP_ID:
        request["group_id"] = load_big_2(data, offset)
        return 1
    if size == 2 and tag == SELF_TRADE_GROUP:
        request["self_trade_group"] = load_big_2(data, offset)
        return 1
    if size == 8 and tag == DISCRETION_PRICE:
        request["discretion_price"] = load_big_8(data, offset)
        return 1
    return 0
