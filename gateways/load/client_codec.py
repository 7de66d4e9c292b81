"""Kernel: OUCH as a client speaks it: requests into bytes, and the fields of the answers.

Writers write a whole SoupBinTCP `U` packet and return its size. Answers are read where they lie.
"""

from gateways.ouch.messages import (
    ACCOUNT_QUERY_REQUEST,
    ACCOUNT_QUERY_RESPONSE,
    CANCEL_REQUEST,
    ENTER_ORDER,
    ORDER_ACCEPTED,
    ORDER_CANCELED,
    ORDER_EXECUTED,
    ORDER_REPLACED,
    REJECTED,
    REPLACE_REQUEST,
)
from gateways.packets import HEADER_SIZE
from gateways.soupbintcp import write_unsequenced_header
from ringbuf.bits import (
    at,
    load_big_4,
    load_big_8,
    store_big_2,
    store_big_4,
    store_big_8,
    store_raw_4,
    store_raw_8,
)
from ringbuf.jit import kernel

TYPE_ACCEPTED, TYPE_REPLACED, TYPE_CANCELED = ord("A"), ord("U"), ord("C")
TYPE_EXECUTED, TYPE_REJECTED, TYPE_ACCOUNT = ord("E"), ord("J"), ord("Q")
_ENTER, _REPLACE, _CANCEL, _QUERY = ord("O"), ord("U"), ord("X"), ord("Q")
_YES, _NO, _PRINCIPAL, _CONTINUOUS = ord("Y"), ord("N"), ord("P"), ord("N")
_REMOVED = ord("R")  # liquidity flag of a taker
_REMAINDER = ord("I")  # cancel reason of what an immediate order leaves

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
_ENTER_APPENDAGE = ENTER_ORDER.offset_of("appendage_length")

_REPLACE_SIZE = REPLACE_REQUEST.size
_REPLACE_ORIGINAL = REPLACE_REQUEST.offset_of("original_user_ref_num")
_REPLACE_USER_REF = REPLACE_REQUEST.offset_of("user_ref_num")
_REPLACE_QUANTITY = REPLACE_REQUEST.offset_of("quantity")
_REPLACE_PRICE = REPLACE_REQUEST.offset_of("price")
_REPLACE_TIME_IN_FORCE = REPLACE_REQUEST.offset_of("time_in_force")
_REPLACE_DISPLAY = REPLACE_REQUEST.offset_of("display")
_REPLACE_SWEEP = REPLACE_REQUEST.offset_of("sweep")
_REPLACE_CLIENT_ORDER_ID = REPLACE_REQUEST.offset_of("client_order_id")
_REPLACE_APPENDAGE = REPLACE_REQUEST.offset_of("appendage_length")

_CANCEL_SIZE = CANCEL_REQUEST.size
_CANCEL_USER_REF = CANCEL_REQUEST.offset_of("user_ref_num")
_CANCEL_QUANTITY = CANCEL_REQUEST.offset_of("quantity")
_QUERY_SIZE = ACCOUNT_QUERY_REQUEST.size
REQUEST_SIZE_MAX = HEADER_SIZE + ENTER_ORDER.size

_PREFIX = int.from_bytes(b"FLOW", "little")
_DIGITS = 10  # of a ClOrdID's 14 characters
_ZEROS_8 = int.from_bytes(b"00000000", "little")

_USER_REF = ORDER_ACCEPTED.offset_of("user_ref_num")  # the same in `A`, `C`, `E` and `J`
_ANSWER_REPLACED_USER_REF = ORDER_REPLACED.offset_of("user_ref_num")
_ANSWER_ACCEPTED_QUANTITY = ORDER_ACCEPTED.offset_of("quantity")
_ANSWER_REPLACED_QUANTITY = ORDER_REPLACED.offset_of("quantity")
_ANSWER_CANCELED_QUANTITY = ORDER_CANCELED.offset_of("quantity")
_ANSWER_EXECUTED_QUANTITY = ORDER_EXECUTED.offset_of("quantity")
_ANSWER_REASON = ORDER_CANCELED.offset_of("reason")
_ANSWER_LIQUIDITY = ORDER_EXECUTED.offset_of("liquidity_flag")
_ANSWER_MATCH = ORDER_EXECUTED.offset_of("match_number")
_ANSWER_NEXT_REF = ACCOUNT_QUERY_RESPONSE.offset_of("next_user_ref_num")

_ACCEPTED_SIZE = ORDER_ACCEPTED.size
_REPLACED_SIZE = ORDER_REPLACED.size
_CANCELED_SIZE = ORDER_CANCELED.size
_EXECUTED_SIZE = ORDER_EXECUTED.size
_REJECTED_SIZE = REJECTED.size
_ACCOUNT_SIZE = ACCOUNT_QUERY_RESPONSE.size


@kernel
def _write_client_order_id(data, offset, order_id):
    """FLOW and ten digits."""
    store_raw_4(data, offset, _PREFIX)
    store_raw_8(data, offset + 4, _ZEROS_8)
    place = offset + 4 + _DIGITS
    for _ in range(_DIGITS):
        place -= 1
        data[at(place)] = 48 + order_id % 10
        order_id //= 10


@kernel
def write_enter(data, offset, user_ref, quantity, symbol, message):
    """`O` of a FLOW_MESSAGE row."""
    start = write_unsequenced_header(data, offset, _ENTER_SIZE)
    data[at(start)] = _ENTER
    store_big_4(data, start + _ENTER_USER_REF, user_ref)
    data[at(start + _ENTER_SIDE)] = message["side"]
    store_big_4(data, start + _ENTER_QUANTITY, quantity)
    store_raw_8(data, start + _ENTER_SYMBOL, symbol)
    store_big_8(data, start + _ENTER_PRICE, message["price"])
    data[at(start + _ENTER_TIME_IN_FORCE)] = message["time_in_force"]
    data[at(start + _ENTER_DISPLAY)] = _YES
    data[at(start + _ENTER_CAPACITY)] = _PRINCIPAL
    data[at(start + _ENTER_SWEEP)] = _NO
    data[at(start + _ENTER_CROSS_TYPE)] = _CONTINUOUS
    _write_client_order_id(data, start + _ENTER_CLIENT_ORDER_ID, message["order_id"])
    store_big_2(data, start + _ENTER_APPENDAGE, 0)
    return HEADER_SIZE + _ENTER_SIZE


@kernel
def write_replace(data, offset, original, user_ref, total, message):
    """`U` of a FLOW_MESSAGE row; total: of the chain."""
    start = write_unsequenced_header(data, offset, _REPLACE_SIZE)
    data[at(start)] = _REPLACE
    store_big_4(data, start + _REPLACE_ORIGINAL, original)
    store_big_4(data, start + _REPLACE_USER_REF, user_ref)
    store_big_4(data, start + _REPLACE_QUANTITY, total)
    store_big_8(data, start + _REPLACE_PRICE, message["price"])
    data[at(start + _REPLACE_TIME_IN_FORCE)] = message["time_in_force"]
    data[at(start + _REPLACE_DISPLAY)] = _YES
    data[at(start + _REPLACE_SWEEP)] = _NO
    _write_client_order_id(data, start + _REPLACE_CLIENT_ORDER_ID, message["order_id"])
    store_big_2(data, start + _REPLACE_APPENDAGE, 0)
    return HEADER_SIZE + _REPLACE_SIZE


@kernel
def write_cancel(data, offset, user_ref, total):
    """`X`; total: intended size of the chain, 0 = cancel what is open."""
    start = write_unsequenced_header(data, offset, _CANCEL_SIZE)
    data[at(start)] = _CANCEL
    store_big_4(data, start + _CANCEL_USER_REF, user_ref)
    store_big_4(data, start + _CANCEL_QUANTITY, total)
    return HEADER_SIZE + _CANCEL_SIZE


@kernel
def write_query(data, offset):
    """`Q`."""
    start = write_unsequenced_header(data, offset, _QUERY_SIZE)
    data[at(start)] = _QUERY
    return HEADER_SIZE + _QUERY_SIZE


@kernel
def is_whole(data, offset, length):
    """1 when an answer has all the bytes that its type needs; other types need one."""
    if length < 1:
        return 0
    kind = data[at(offset)]
    if kind == TYPE_ACCEPTED:
        return 1 if length >= _ACCEPTED_SIZE else 0
    if kind == TYPE_EXECUTED:
        return 1 if length >= _EXECUTED_SIZE else 0
    if kind == TYPE_CANCELED:
        return 1 if length >= _CANCELED_SIZE else 0
    if kind == TYPE_REPLACED:
        return 1 if length >= _REPLACED_SIZE else 0
    if kind == TYPE_REJECTED:
        return 1 if length >= _REJECTED_SIZE else 0
    if kind == TYPE_ACCOUNT:
        return 1 if length >= _ACCOUNT_SIZE else 0
    return 1


@kernel
def answer_user_ref(data, offset):
    """UserRefNum of an answer; of `U` the new one."""
    if data[at(offset)] == TYPE_REPLACED:
        return load_big_4(data, offset + _ANSWER_REPLACED_USER_REF)
    return load_big_4(data, offset + _USER_REF)


@kernel
def answer_quantity(data, offset):
    """Quantity of `A` `U` (open now), `C` (taken away) or `E` (traded)."""
    kind = data[at(offset)]
    if kind == TYPE_ACCEPTED:
        return load_big_4(data, offset + _ANSWER_ACCEPTED_QUANTITY)
    if kind == TYPE_REPLACED:
        return load_big_4(data, offset + _ANSWER_REPLACED_QUANTITY)
    if kind == TYPE_CANCELED:
        return load_big_4(data, offset + _ANSWER_CANCELED_QUANTITY)
    return load_big_4(data, offset + _ANSWER_EXECUTED_QUANTITY)


@kernel
def is_remainder(data, offset):
    """1 for the `C` that an immediate order ends with: nobody asked for it."""
    return 1 if data[at(offset + _ANSWER_REASON)] == _REMAINDER else 0


@kernel
def is_taker(data, offset):
    """1 for the `E` of the side that took."""
    return 1 if data[at(offset + _ANSWER_LIQUIDITY)] == _REMOVED else 0


@kernel
def answer_match_number(data, offset):
    """Match number of `E`."""
    return load_big_8(data, offset + _ANSWER_MATCH)


@kernel
def answer_next_ref(data, offset):
    """The next usable UserRefNum that `Q` tells; 0 = there is none."""
    return load_big_4(data, offset + _ANSWER_NEXT_REF)
