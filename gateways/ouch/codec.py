"""Kernel: one inbound OUCH message -> an OUCH_REQUEST.

Strict about lengths: a message is exactly its fixed part and the appendage that it announces. `X`,
`M` and `Q` may leave the appendage length away. Values are not judged here (`checks.py` does), but
a tag value that does not have the size of its tag is not a value.
"""

from __future__ import annotations

import numpy as np

from gateways.ouch.messages import (
    ACCOUNT_QUERY_REQUEST,
    APPENDAGE_LENGTH_SIZE,
    CANCEL_REQUEST,
    DISABLE_REQUEST,
    ENTER_ORDER,
    MASS_CANCEL_REQUEST,
    MODIFY_REQUEST,
    REPLACE_REQUEST,
    TAG_HEADER_SIZE,
)
from gateways.ouch.private_messages import (
    LIMITS_QUERY as LIMITS_QUERY_RECORD,
)
from gateways.ouch.private_messages import (
    OPEN_ORDERS_QUERY as OPEN_ORDERS_QUERY_RECORD,
)
from gateways.ouch.private_messages import (
    SHARES_AHEAD_QUERY as SHARES_AHEAD_QUERY_RECORD,
)
from gateways.ouch.private_protection import PROTECTION_REQUEST
from gateways.ouch.private_quotes import MASS_QUOTE as MASS_QUOTE_RECORD
from gateways.ouch.private_quotes import QUOTE
from gateways.ouch.tag_values import USER_REF_INDEX, store_tag
from gateways.ouch.tags import (
    CANCEL_TAGS,
    ENTER_TAGS,
    MASS_CANCEL_TAGS,
    ORDER_PRIVATE_TAGS,
    PRIVATE_TAG_FIRST,
    PRIVATE_TAG_LIMIT,
    REPLACE_TAGS,
)
from gateways.wire import keep_client_order_id, signed_4
from ringbuf.bits import at, load_big_2, load_big_4, load_big_8, load_raw_4, load_raw_8
from ringbuf.jit import cold_kernel, kernel

# Results of `decode`.
OK = 0
WRONG_LENGTH = 1
UNKNOWN_TYPE = 2
BAD_APPENDAGE = 3  # `bad_tag` names the first such tag; the fixed part and the channel are good

ENTER = ord("O")
REPLACE = ord("U")
CANCEL = ord("X")
MODIFY = ord("M")
MASS_CANCEL = ord("C")
DISABLE = ord("D")
ENABLE = ord("E")
ACCOUNT_QUERY = ord("Q")
# Ours: questions.
LIMITS_QUERY = ord("l")
OPEN_ORDERS_QUERY = ord("o")
SHARES_AHEAD_QUERY = ord("a")
MASS_QUOTE = ord("q")
PROTECTION = ord("p")  # a request like those of the specification
PRIVATE_FIRST = ord("a")  # every letter from here on is ours

_LIMITS_QUERY_SIZE = LIMITS_QUERY_RECORD.size
_LIMITS_QUERY_SYMBOL = LIMITS_QUERY_RECORD.offset_of("symbol")
_OPEN_ORDERS_SIZE = OPEN_ORDERS_QUERY_RECORD.size
_SHARES_AHEAD_SIZE = SHARES_AHEAD_QUERY_RECORD.size
_SHARES_AHEAD_USER_REF = SHARES_AHEAD_QUERY_RECORD.offset_of("user_ref_num")
_SHARES_AHEAD_CHANNEL = SHARES_AHEAD_QUERY_RECORD.offset_of("user_ref_index")

_MASS_QUOTE_SIZE = MASS_QUOTE_RECORD.size
_MASS_QUOTE_USER_REF = MASS_QUOTE_RECORD.offset_of("user_ref_num")
_MASS_QUOTE_CHANNEL = MASS_QUOTE_RECORD.offset_of("user_ref_index")
_MASS_QUOTE_GROUP = MASS_QUOTE_RECORD.offset_of("group_id")
_MASS_QUOTE_COUNT = MASS_QUOTE_RECORD.offset_of("count")
_QUOTE_SIZE = QUOTE.size

_PROTECTION_SIZE = PROTECTION_REQUEST.size
_PROTECTION_USER_REF = PROTECTION_REQUEST.offset_of("user_ref_num")
_PROTECTION_CHANNEL = PROTECTION_REQUEST.offset_of("user_ref_index")
_PROTECTION_ACTION = PROTECTION_REQUEST.offset_of("action")
_PROTECTION_GROUP = PROTECTION_REQUEST.offset_of("group_id")
_PROTECTION_SYMBOL = PROTECTION_REQUEST.offset_of("symbol")
_PROTECTION_WINDOW = PROTECTION_REQUEST.offset_of("window")
_PROTECTION_EXECUTIONS = PROTECTION_REQUEST.offset_of("executions")
_PROTECTION_QUANTITY = PROTECTION_REQUEST.offset_of("quantity")
_PROTECTION_NET = PROTECTION_REQUEST.offset_of("net_quantity")
_PROTECTION_FROZEN = PROTECTION_REQUEST.offset_of("frozen_for")

_ENTER_SIZE = ENTER_ORDER.size
_ENTER_USER_REF = ENTER_ORDER.offset_of("user_ref_num")
_ENTER_SIDE = ENTER_ORDER.offset_of("side")
_ENTER_QUANTITY = ENTER_ORDER.offset_of("quantity")
_ENTER_SYMBOL = ENTER_ORDER.offset_of("symbol")
_ENTER_PRICE = ENTER_ORDER.offset_of("price")
_ENTER_TIME_IN_FORCE = ENTER_ORDER.offset_of("time_in_force")
_ENTER_DISPLAY = ENTER_ORDER.offset_of("display")
_ENTER_CAPACITY = ENTER_ORDER.offset_of("capacity")
_ENTER_SWEEP = ENTER_ORDER.offset_of("sweep")
_ENTER_CROSS_TYPE = ENTER_ORDER.offset_of("cross_type")
_ENTER_CLIENT_ORDER_ID = ENTER_ORDER.offset_of("client_order_id")

_REPLACE_SIZE = REPLACE_REQUEST.size
_REPLACE_ORIGINAL = REPLACE_REQUEST.offset_of("original_user_ref_num")
_REPLACE_USER_REF = REPLACE_REQUEST.offset_of("user_ref_num")
_REPLACE_QUANTITY = REPLACE_REQUEST.offset_of("quantity")
_REPLACE_PRICE = REPLACE_REQUEST.offset_of("price")
_REPLACE_TIME_IN_FORCE = REPLACE_REQUEST.offset_of("time_in_force")
_REPLACE_DISPLAY = REPLACE_REQUEST.offset_of("display")
_REPLACE_SWEEP = REPLACE_REQUEST.offset_of("sweep")
_REPLACE_CLIENT_ORDER_ID = REPLACE_REQUEST.offset_of("client_order_id")

_CANCEL_SIZE = CANCEL_REQUEST.size
_CANCEL_USER_REF = CANCEL_REQUEST.offset_of("user_ref_num")
_CANCEL_QUANTITY = CANCEL_REQUEST.offset_of("quantity")

_MODIFY_SIZE = MODIFY_REQUEST.size
_MODIFY_USER_REF = MODIFY_REQUEST.offset_of("user_ref_num")
_MODIFY_SIDE = MODIFY_REQUEST.offset_of("side")
_MODIFY_QUANTITY = MODIFY_REQUEST.offset_of("quantity")

_MASS_CANCEL_SIZE = MASS_CANCEL_REQUEST.size
_MASS_CANCEL_USER_REF = MASS_CANCEL_REQUEST.offset_of("user_ref_num")
_MASS_CANCEL_FIRM = MASS_CANCEL_REQUEST.offset_of("firm")
_MASS_CANCEL_SYMBOL = MASS_CANCEL_REQUEST.offset_of("symbol")

# Disable and Enable have one layout.
_DISABLE_SIZE = DISABLE_REQUEST.size
_DISABLE_USER_REF = DISABLE_REQUEST.offset_of("user_ref_num")
_DISABLE_FIRM = DISABLE_REQUEST.offset_of("firm")

_QUERY_SIZE = ACCOUNT_QUERY_REQUEST.size


@kernel
def _enter(data, offset, request):
    """The fixed part of `O`."""
    request["user_ref"] = load_big_4(data, offset + _ENTER_USER_REF)
    request["side"] = data[at(offset + _ENTER_SIDE)]
    request["quantity"] = load_big_4(data, offset + _ENTER_QUANTITY)
    request["symbol"] = load_raw_8(data, offset + _ENTER_SYMBOL)
    request["price"] = load_big_8(data, offset + _ENTER_PRICE)
    request["time_in_force"] = data[at(offset + _ENTER_TIME_IN_FORCE)]
    request["display"] = data[at(offset + _ENTER_DISPLAY)]
    request["capacity"] = data[at(offset + _ENTER_CAPACITY)]
    request["sweep"] = data[at(offset + _ENTER_SWEEP)]
    request["cross_type"] = data[at(offset + _ENTER_CROSS_TYPE)]
    keep_client_order_id(request, data, offset + _ENTER_CLIENT_ORDER_ID)


@kernel
def _replace(data, offset, request):
    """The fixed part of `U`."""
    request["original_user_ref"] = load_big_4(data, offset + _REPLACE_ORIGINAL)
    request["user_ref"] = load_big_4(data, offset + _REPLACE_USER_REF)
    request["quantity"] = load_big_4(data, offset + _REPLACE_QUANTITY)
    request["price"] = load_big_8(data, offset + _REPLACE_PRICE)
    request["time_in_force"] = data[at(offset + _REPLACE_TIME_IN_FORCE)]
    request["display"] = data[at(offset + _REPLACE_DISPLAY)]
    request["sweep"] = data[at(offset + _REPLACE_SWEEP)]
    keep_client_order_id(request, data, offset + _REPLACE_CLIENT_ORDER_ID)


@kernel
def _cancel(data, offset, request):
    """The fixed part of `X`."""
    request["user_ref"] = load_big_4(data, offset + _CANCEL_USER_REF)
    request["quantity"] = load_big_4(data, offset + _CANCEL_QUANTITY)


@kernel
def _modify(data, offset, request):
    """The fixed part of `M`."""
    request["user_ref"] = load_big_4(data, offset + _MODIFY_USER_REF)
    request["side"] = data[at(offset + _MODIFY_SIDE)]
    request["quantity"] = load_big_4(data, offset + _MODIFY_QUANTITY)


@kernel
def _mass_cancel(data, offset, request):
    """The fixed part of `C`."""
    request["user_ref"] = load_big_4(data, offset + _MASS_CANCEL_USER_REF)
    request["firm"] = signed_4(load_raw_4(data, offset + _MASS_CANCEL_FIRM))
    request["symbol"] = load_raw_8(data, offset + _MASS_CANCEL_SYMBOL)


@kernel
def _disable_or_enable(data, offset, request):
    """The fixed part of `D` and `E`."""
    request["user_ref"] = load_big_4(data, offset + _DISABLE_USER_REF)
    request["firm"] = signed_4(load_raw_4(data, offset + _DISABLE_FIRM))


@cold_kernel
def _appendage(data, offset, end, allowed, allowed_private, request):
    """Read the tag values of [offset, end). Return OK, BAD_APPENDAGE or WRONG_LENGTH.

    A fault does not end it: the channel may stand behind, and the request must not be answered, let
    alone carried out, in another one.
    """
    result = OK
    while offset < end:
        size = int(data[at(offset)]) - 1
        if size < 0 or end - offset < TAG_HEADER_SIZE + size:
            return BAD_APPENDAGE if request["present"] & CANCEL_TAGS != 0 else WRONG_LENGTH
        tag = np.int64(data[at(offset + 1)])
        if tag == 0:  # no such tag, and `foreign_tag` could not name it
            result = BAD_APPENDAGE
            offset += TAG_HEADER_SIZE + size
            continue
        if tag < PRIVATE_TAG_FIRST:
            known = tag < 64 and (allowed >> (tag & 63)) & 1 != 0
            seen = tag < 64 and (request["present"] >> (tag & 63)) & 1 != 0
        else:
            known = tag < PRIVATE_TAG_LIMIT and (allowed_private >> (tag & 63)) & 1 != 0
            seen = tag < PRIVATE_TAG_LIMIT and (request["present_private"] >> (tag & 63)) & 1 != 0
        if not known:
            if request["foreign_tag"] == 0:
                request["foreign_tag"] = tag
        elif seen or store_tag(data, offset + TAG_HEADER_SIZE, tag, size, request) == 0:
            if not seen and tag == USER_REF_INDEX:
                return WRONG_LENGTH  # nobody knows in which channel it is
            if request["bad_tag"] == 0:
                request["bad_tag"] = tag
            result = BAD_APPENDAGE
        elif tag < PRIVATE_TAG_FIRST:
            request["present"] |= 1 << (tag & 63)
        else:
            request["present_private"] |= 1 << (tag & 63)
        offset += TAG_HEADER_SIZE + size
    return result


@kernel
def _measure(data, offset, length, fixed, short, request):
    """Does the message end where it says? `fixed`: size up to and with the appendage length.

    short: 1 when the appendage length may be left away.
    """
    if length == fixed - APPENDAGE_LENGTH_SIZE and short != 0:
        return OK
    if length < fixed:
        return WRONG_LENGTH
    announced = load_big_2(data, offset + fixed - APPENDAGE_LENGTH_SIZE)
    if length != fixed + announced:
        return WRONG_LENGTH
    request["long_form"] = 1
    return OK


@kernel
def _finish(data, offset, length, fixed, allowed, allowed_private, request):
    """Read the appendage, if there is one."""
    if length <= fixed:
        return OK
    return _appendage(data, offset + fixed, offset + length, allowed, allowed_private, request)


@cold_kernel
def _protection(data, offset, request):
    """`p`. What no other message has lies in fields of tags that it does not have."""
    request["user_ref"] = load_big_4(data, offset + _PROTECTION_USER_REF)
    request["user_ref_index"] = data[at(offset + _PROTECTION_CHANNEL)]
    request["side"] = data[at(offset + _PROTECTION_ACTION)]
    request["group_id"] = load_big_2(data, offset + _PROTECTION_GROUP)
    request["symbol"] = load_raw_8(data, offset + _PROTECTION_SYMBOL)
    request["expire_seconds"] = load_big_4(data, offset + _PROTECTION_WINDOW)
    request["minimum_quantity"] = load_big_2(data, offset + _PROTECTION_EXECUTIONS)
    request["quantity"] = load_big_4(data, offset + _PROTECTION_QUANTITY)
    request["maximum_floor"] = load_big_4(data, offset + _PROTECTION_NET)
    request["random_reserves"] = load_big_4(data, offset + _PROTECTION_FROZEN)


@cold_kernel
def _mass_quote(data, offset, length, request):
    """`q`: what is in front of its quotes, of which it has as many as it says."""
    if length < _MASS_QUOTE_SIZE:
        return WRONG_LENGTH
    if length != _MASS_QUOTE_SIZE + _QUOTE_SIZE * np.int64(data[at(offset + _MASS_QUOTE_COUNT)]):
        return WRONG_LENGTH
    request["user_ref"] = load_big_4(data, offset + _MASS_QUOTE_USER_REF)
    request["user_ref_index"] = data[at(offset + _MASS_QUOTE_CHANNEL)]
    request["group_id"] = load_big_2(data, offset + _MASS_QUOTE_GROUP)
    return OK


@kernel
def is_question(kind):
    """1 for our own letters whose message the gateway answers by itself."""
    return 1 if kind >= PRIVATE_FIRST and kind != PROTECTION and kind != MASS_QUOTE else 0


@cold_kernel
def _question(data, offset, length, kind, request):
    """Our own messages: of one size each."""
    if kind == LIMITS_QUERY and length == _LIMITS_QUERY_SIZE:
        request["symbol"] = load_raw_8(data, offset + _LIMITS_QUERY_SYMBOL)
    elif kind == SHARES_AHEAD_QUERY and length == _SHARES_AHEAD_SIZE:
        request["user_ref"] = load_big_4(data, offset + _SHARES_AHEAD_USER_REF)
        request["user_ref_index"] = data[at(offset + _SHARES_AHEAD_CHANNEL)]
    elif kind == PROTECTION and length == _PROTECTION_SIZE:
        _protection(data, offset, request)
    elif kind == MASS_QUOTE:
        return _mass_quote(data, offset, length, request)
    elif kind != OPEN_ORDERS_QUERY or length != _OPEN_ORDERS_SIZE:
        known = kind == LIMITS_QUERY or kind == SHARES_AHEAD_QUERY or kind == OPEN_ORDERS_QUERY
        return WRONG_LENGTH if known or kind == PROTECTION else UNKNOWN_TYPE
    return OK


@kernel
def decode(data, offset, length, request):
    """Decode the message in [offset, offset + length) of uint8 `data` into an OUCH_REQUEST row.

    Return OK, WRONG_LENGTH, UNKNOWN_TYPE (then only `type` is good) or BAD_APPENDAGE.
    """
    request["long_form"] = 0
    request["present"] = 0
    request["present_private"] = 0
    request["bad_tag"] = 0
    request["foreign_tag"] = 0
    request["user_ref_index"] = 0
    if length < 1:
        return WRONG_LENGTH
    kind = int(data[at(offset)])
    request["type"] = kind
    if kind == ENTER:
        fixed, short = _ENTER_SIZE, 0
    elif kind == CANCEL:
        fixed, short = _CANCEL_SIZE + APPENDAGE_LENGTH_SIZE, 1
    elif kind == REPLACE:
        fixed, short = _REPLACE_SIZE, 0
    elif kind == MODIFY:
        fixed, short = _MODIFY_SIZE + APPENDAGE_LENGTH_SIZE, 1
    elif kind == ACCOUNT_QUERY:
        fixed, short = _QUERY_SIZE + APPENDAGE_LENGTH_SIZE, 1
    elif kind == MASS_CANCEL:
        fixed, short = _MASS_CANCEL_SIZE, 0
    elif kind == DISABLE or kind == ENABLE:
        fixed, short = _DISABLE_SIZE, 0
    else:
        return _question(data, offset, length, kind, request)
    if _measure(data, offset, length, fixed, short, request) != OK:
        return WRONG_LENGTH
    allowed, allowed_private = CANCEL_TAGS, 0
    if kind == ENTER:
        _enter(data, offset, request)
        allowed, allowed_private = ENTER_TAGS, ORDER_PRIVATE_TAGS
    elif kind == CANCEL:
        _cancel(data, offset, request)
    elif kind == REPLACE:
        _replace(data, offset, request)
        allowed, allowed_private = REPLACE_TAGS, ORDER_PRIVATE_TAGS
    elif kind == MODIFY:
        _modify(data, offset, request)
    elif kind == MASS_CANCEL:
        _mass_cancel(data, offset, request)
        allowed = MASS_CANCEL_TAGS
    elif kind != ACCOUNT_QUERY:
        _disable_or_enable(data, offset, request)
    return _finish(data, offset, length, fixed, allowed, allowed_private, request)
