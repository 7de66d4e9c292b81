"""Kernel: EVENT -> the sequenced OUCH messages that it gives to a session.

How many there are is a function of the event alone, so every gateway numbers every stream alike.
An event gives a session at most two messages: both sides of a trade that a session does with
itself, the maker's first.
"""

from __future__ import annotations

import numpy as np

from gateways.ouch.messages import (
    ACCOUNT_QUERY_RESPONSE,
    APPENDAGE_LENGTH_SIZE,
    CAUSE_SIZE,
    ORDER_ACCEPTED,
    ORDER_CANCELED,
    ORDER_EXECUTED,
    ORDER_MODIFIED,
    ORDER_REPLACED,
    REJECTED,
    SYSTEM_EVENT,
)
from gateways.ouch.outbound_broken import encode_broken
from gateways.ouch.outbound_frame import appendage, begin, conditional_appendage
from gateways.ouch.outbound_mass import encode_mass, is_of_many
from gateways.ouch.outbound_protection import encode_protection, is_of_protection
from gateways.ouch.outbound_quotes import encode_quoted
from gateways.ouch.outbound_self_match import encode_self_matched
from gateways.ouch.restated import restated
from gateways.ouch.tag_echo import ACCEPTED_ECHO, REPLACED_ECHO, echo_tags, put_4
from gateways.ouch.tags import Tag
from gateways.packets import HEADER_SIZE
from gateways.wire import copy_client_order_id
from ringbuf.bits import at, store_big_2, store_big_4, store_big_8, store_raw_8
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import COMMAND_NEXT_BITS, EventFlag, EventKind
from shm_exchange.streams import is_two_sided

# Which message of an event: a trade has one for each side, everything else has only the first.
MAKER = 0
TAKER = 1

_ACCEPTED = int(EventKind.ACCEPTED)
_CARRIED = int(EventKind.CARRIED)
_REPLACED = int(EventKind.REPLACED)
_EXECUTED = int(EventKind.EXECUTED)
_CANCELLED = int(EventKind.CANCELLED)
_RESTATED = int(EventKind.RESTATED)
_MODIFIED = int(EventKind.MODIFIED)
_REJECTED = int(EventKind.REJECTED)
_ACCOUNT = int(EventKind.ACCOUNT)
_SYSTEM = int(EventKind.SYSTEM)
_QUOTED = int(EventKind.QUOTED)
_BROKEN = int(EventKind.BROKEN)
_SELF_MATCHED = int(EventKind.SELF_MATCHED)
_SESSIONS = int(EventKind.SESSIONS)
_SWEEP = int(EventFlag.SWEEP)
_LONG_FORM = int(EventFlag.LONG_FORM)
_MARKED = int(EventFlag.STAYS | EventFlag.GTC)

_YES, _NO = ord("Y"), ord("N")
_CONTINUOUS = ord("N")  # cross type: there are no crosses
_LIVE = ord("L")  # order state: a dead order is accepted live and then cancelled
START_OF_DAY = ord("S")
END_OF_DAY = ord("E")

_TYPE_S, _TYPE_A, _TYPE_U, _TYPE_C = ord("S"), ord("A"), ord("U"), ord("C")
_TYPE_E, _TYPE_J, _TYPE_M, _TYPE_Q = ord("E"), ord("J"), ord("M"), ord("Q")

_TAG_CHANNEL = int(Tag.USER_REF_INDEX)
_TAG_CAUSE = int(Tag.CAUSE)
_TAG_CHAIN_DONE = int(Tag.CHAIN_DONE)

_USER_REF = ORDER_ACCEPTED.offset_of("user_ref_num")  # the same in every message but `U`

_SYSTEM_SIZE = SYSTEM_EVENT.size
_SYSTEM_CODE = SYSTEM_EVENT.offset_of("event_code")

_ACCEPTED_SIDE = ORDER_ACCEPTED.offset_of("side")
_ACCEPTED_APPENDAGE = ORDER_ACCEPTED.offset_of("appendage_length")

_REPLACED_ORIGINAL = ORDER_REPLACED.offset_of("original_user_ref_num")
_REPLACED_USER_REF = ORDER_REPLACED.offset_of("user_ref_num")
_REPLACED_SIDE = ORDER_REPLACED.offset_of("side")
_REPLACED_APPENDAGE = ORDER_REPLACED.offset_of("appendage_length")

# `A` and `U` are alike from the side on: these are relative to it.
_ORDER_QUANTITY = ORDER_ACCEPTED.offset_of("quantity") - _ACCEPTED_SIDE
_ORDER_SYMBOL = ORDER_ACCEPTED.offset_of("symbol") - _ACCEPTED_SIDE
_ORDER_PRICE = ORDER_ACCEPTED.offset_of("price") - _ACCEPTED_SIDE
_ORDER_TIME_IN_FORCE = ORDER_ACCEPTED.offset_of("time_in_force") - _ACCEPTED_SIDE
_ORDER_DISPLAY = ORDER_ACCEPTED.offset_of("display") - _ACCEPTED_SIDE
_ORDER_REFERENCE = ORDER_ACCEPTED.offset_of("order_reference_number") - _ACCEPTED_SIDE
_ORDER_CAPACITY = ORDER_ACCEPTED.offset_of("capacity") - _ACCEPTED_SIDE
_ORDER_SWEEP = ORDER_ACCEPTED.offset_of("sweep") - _ACCEPTED_SIDE
_ORDER_CROSS_TYPE = ORDER_ACCEPTED.offset_of("cross_type") - _ACCEPTED_SIDE
_ORDER_STATE = ORDER_ACCEPTED.offset_of("order_state") - _ACCEPTED_SIDE
_ORDER_CLIENT_ORDER_ID = ORDER_ACCEPTED.offset_of("client_order_id") - _ACCEPTED_SIDE

_CLIENT_ORDER_ID_SIZE, _BLANK = 14, ord(" ")

_CANCELED_SIZE = ORDER_CANCELED.size
_CANCELED_QUANTITY = ORDER_CANCELED.offset_of("quantity")
_CANCELED_REASON = ORDER_CANCELED.offset_of("reason")

_EXECUTED_QUANTITY = ORDER_EXECUTED.offset_of("quantity")
_EXECUTED_PRICE = ORDER_EXECUTED.offset_of("price")
_EXECUTED_LIQUIDITY = ORDER_EXECUTED.offset_of("liquidity_flag")
_EXECUTED_MATCH = ORDER_EXECUTED.offset_of("match_number")
_EXECUTED_APPENDAGE = ORDER_EXECUTED.offset_of("appendage_length")

_REJECTED_SIZE = REJECTED.size
_REJECTED_REASON = REJECTED.offset_of("reason")
_REJECTED_CLIENT_ORDER_ID = REJECTED.offset_of("client_order_id")

_MODIFIED_SIZE = ORDER_MODIFIED.size
_MODIFIED_SIDE = ORDER_MODIFIED.offset_of("side")
_MODIFIED_QUANTITY = ORDER_MODIFIED.offset_of("quantity")

_ACCOUNT_SIZE = ACCOUNT_QUERY_RESPONSE.size
_ACCOUNT_NEXT = ACCOUNT_QUERY_RESPONSE.offset_of("next_user_ref_num")


@kernel
def public_number(engine, position):
    """The order reference or match number of the event at `position`: unique for ever.

    A number that has its engine already stays as it is.
    """
    return (engine << COMMAND_NEXT_BITS) | position


@kernel
def message_count(event, session):
    """How many sequenced messages `event` gives to `session`: 0, 1 or 2."""
    kind = int(event["kind"])
    if is_two_sided(np.int64(kind)):
        return int(event["session"] == session) + int(event["taker_session"] == session)
    if kind == _ACCEPTED or kind == _CANCELLED or kind == _REPLACED or kind == _REJECTED:
        return int(event["session"] == session)
    if kind == _MODIFIED or kind == _ACCOUNT or kind == _CARRIED or kind == _RESTATED:
        return int(event["session"] == session)
    if is_of_many(kind):
        return int(event["session"] == session)
    if kind == _SESSIONS:
        first = int(event["session"])
        return int(first <= session and session < first + int(event["quantity"]))
    if kind == _SYSTEM:
        return int((int(event["reason"]) & 0xFF) == END_OF_DAY)
    return 0


@kernel
def message_which(event, session, number):
    """Which message of `event` is the `number`-th (0 or 1) that `session` gets: MAKER or TAKER.

    `number` is below `message_count(event, session)`.
    """
    if not is_two_sided(np.int64(event["kind"])) or number > 0:
        return number
    return int(event["session"] != session)


@kernel
def _order_appendage(buffer, start, size, event, tags, echoed):
    """The same for `A` and `U`, which repeat the tags of their request. echoed: which may."""
    total = appendage(buffer, start, size, int(event["user_ref_index"]))
    if int(event["flags"]) & _MARKED == 0 and event["continuations"] == 0:
        return total
    end = echo_tags(buffer, start + total, event, tags, echoed)
    store_big_2(buffer, start + size, end - start - size - APPENDAGE_LENGTH_SIZE)
    return end - start


@kernel
def _order(buffer, start, event, reference, instruments):
    """What `A` and `U` have in common; `start`: offset of the side."""
    instrument = instruments[at(int(event["instrument"]))]
    buffer[at(start)] = event["side"]
    store_big_4(buffer, start + _ORDER_QUANTITY, int(event["quantity"]))
    store_raw_8(buffer, start + _ORDER_SYMBOL, instrument["symbol"])
    store_big_8(buffer, start + _ORDER_PRICE, int(event["price"]) * instrument["tick"])
    buffer[at(start + _ORDER_TIME_IN_FORCE)] = event["time_in_force"]
    buffer[at(start + _ORDER_DISPLAY)] = event["display"]
    store_big_8(buffer, start + _ORDER_REFERENCE, reference)
    buffer[at(start + _ORDER_CAPACITY)] = event["capacity"]
    buffer[at(start + _ORDER_SWEEP)] = _YES if int(event["flags"]) & _SWEEP else _NO
    buffer[at(start + _ORDER_CROSS_TYPE)] = _CONTINUOUS
    buffer[at(start + _ORDER_STATE)] = _LIVE
    copy_client_order_id(buffer, start + _ORDER_CLIENT_ORDER_ID, event)


@kernel
def _accepted(event, tags, reference, instruments, buffer, offset):
    """`A`."""
    size = _order_appendage(
        buffer, offset + HEADER_SIZE, _ACCEPTED_APPENDAGE, event, tags, ACCEPTED_ECHO
    )
    start = begin(buffer, offset, _TYPE_A, size, event)
    store_big_4(buffer, start + _USER_REF, int(event["user_ref"]))
    _order(buffer, start + _ACCEPTED_SIDE, event, reference, instruments)
    return size


@cold_kernel
def _carried(event, tags, reference, instruments, buffer, offset):
    """`A` of an order that was accepted in a stream before this one; its ClOrdID is not kept.

    A total of its chain means what it meant there: tag 146 says what of it is done.
    """
    size = _accepted(event, tags, reference, instruments, buffer, offset)
    start = offset + HEADER_SIZE
    name = start + _ACCEPTED_SIDE + _ORDER_CLIENT_ORDER_ID
    for place in range(_CLIENT_ORDER_ID_SIZE):
        buffer[at(name + place)] = _BLANK
    if event["done"] == 0:
        return size
    size = put_4(buffer, start + size, _TAG_CHAIN_DONE, np.int64(event["done"])) - start
    announced = size - _ACCEPTED_APPENDAGE - APPENDAGE_LENGTH_SIZE
    store_big_2(buffer, start + _ACCEPTED_APPENDAGE, announced)
    begin(buffer, offset, _TYPE_A, size, event)  # it is longer than was said
    return size


@kernel
def _replaced(event, tags, reference, instruments, buffer, offset):
    """`U`."""
    size = _order_appendage(
        buffer, offset + HEADER_SIZE, _REPLACED_APPENDAGE, event, tags, REPLACED_ECHO
    )
    start = begin(buffer, offset, _TYPE_U, size, event)
    store_big_4(buffer, start + _REPLACED_ORIGINAL, int(event["original_user_ref"]))
    store_big_4(buffer, start + _REPLACED_USER_REF, int(event["user_ref"]))
    _order(buffer, start + _REPLACED_SIDE, event, reference, instruments)
    return size


@kernel
def _executed(event, match_number, which, instruments, buffer, offset):
    """`E` of one side."""
    instrument = instruments[at(int(event["instrument"]))]
    user_ref, liquidity = int(event["user_ref"]), int(event["liquidity"])
    channel = int(event["user_ref_index"])
    if which == TAKER:
        user_ref, liquidity = int(event["taker_user_ref"]), int(event["taker_liquidity"])
        channel = int(event["taker_user_ref_index"])
    size = appendage(buffer, offset + HEADER_SIZE, _EXECUTED_APPENDAGE, channel)
    start = begin(buffer, offset, _TYPE_E, size, event)
    store_big_4(buffer, start + _USER_REF, user_ref)
    store_big_4(buffer, start + _EXECUTED_QUANTITY, int(event["quantity"]))
    store_big_8(buffer, start + _EXECUTED_PRICE, int(event["price"]) * instrument["tick"])
    buffer[at(start + _EXECUTED_LIQUIDITY)] = liquidity
    store_big_8(buffer, start + _EXECUTED_MATCH, match_number)
    return size


@cold_kernel
def _cause_appendage(buffer, start, size, event):
    """End a `C` that its client did not ask for: channel and cause (private tag 133)."""
    total = appendage(buffer, start, size, int(event["user_ref_index"]))
    end = start + total
    buffer[at(end)] = CAUSE_SIZE - 1
    buffer[at(end + 1)] = _TAG_CAUSE
    buffer[at(end + 2)] = event["cause"]
    store_big_2(buffer, start + size, total + CAUSE_SIZE - size - APPENDAGE_LENGTH_SIZE)
    return total + CAUSE_SIZE


@kernel
def _cancelled(event, buffer, offset):
    """`C`."""
    start = offset + HEADER_SIZE
    if event["cause"] != 0:
        size = _cause_appendage(buffer, start, _CANCELED_SIZE, event)
    else:
        size = conditional_appendage(buffer, start, _CANCELED_SIZE, event)
    begin(buffer, offset, _TYPE_C, size, event)
    store_big_4(buffer, start + _USER_REF, int(event["user_ref"]))
    store_big_4(buffer, start + _CANCELED_QUANTITY, int(event["quantity"]))
    buffer[at(start + _CANCELED_REASON)] = int(event["reason"]) & 0xFF
    return size


@kernel
def _rejected(event, buffer, offset):
    """`J`."""
    start = offset + HEADER_SIZE
    size = conditional_appendage(buffer, start, _REJECTED_SIZE, event)
    begin(buffer, offset, _TYPE_J, size, event)
    store_big_4(buffer, start + _USER_REF, int(event["user_ref"]))
    store_big_2(buffer, start + _REJECTED_REASON, int(event["reason"]))
    copy_client_order_id(buffer, start + _REJECTED_CLIENT_ORDER_ID, event)
    return size


@kernel
def _modified(event, buffer, offset):
    """`M`."""
    start = offset + HEADER_SIZE
    size = conditional_appendage(buffer, start, _MODIFIED_SIZE, event)
    begin(buffer, offset, _TYPE_M, size, event)
    store_big_4(buffer, start + _USER_REF, int(event["user_ref"]))
    buffer[at(start + _MODIFIED_SIDE)] = event["side"]
    store_big_4(buffer, start + _MODIFIED_QUANTITY, int(event["leaves"]))
    return size


@kernel
def _account(event, buffer, offset):
    """`Q`."""
    start = offset + HEADER_SIZE
    size = conditional_appendage(buffer, start, _ACCOUNT_SIZE, event)
    begin(buffer, offset, _TYPE_Q, size, event)
    store_big_4(buffer, start + _ACCOUNT_NEXT, int(event["user_ref"]))
    return size


@kernel
def _system(event, code, buffer, offset):
    """`S`."""
    start = begin(buffer, offset, _TYPE_S, _SYSTEM_SIZE, event)
    buffer[at(start + _SYSTEM_CODE)] = code
    return _SYSTEM_SIZE


@kernel
def encode(event, tags, position, which, instruments, engine, buffer, offset):
    """Write one message of `event` as a SoupBinTCP `S` packet; return the bytes written.

    event: EVENT row, read at `position` of `engine`'s ring; tags: ORDER_TAGS[1], its continuation
    if it has one (`order_tags.tags_of`); which: MAKER or TAKER (`message_which`); instruments:
    INSTRUMENT[n]; buffer: uint8, at least HEADER_SIZE + OUTBOUND_SIZE_MAX bytes free at `offset`.
    An event without a message writes 0.
    """
    kind = int(event["kind"])
    if kind == _EXECUTED:
        number = public_number(engine, position)
        size = _executed(event, number, which, instruments, buffer, offset)
    elif kind == _ACCEPTED:
        number = public_number(engine, position)
        size = _accepted(event, tags, number, instruments, buffer, offset)
    elif kind == _CANCELLED:
        size = _cancelled(event, buffer, offset)
    elif kind == _REPLACED:
        number = public_number(engine, position)
        size = _replaced(event, tags, number, instruments, buffer, offset)
    elif kind == _REJECTED:
        size = _rejected(event, buffer, offset)
    elif kind == _MODIFIED:
        size = _modified(event, buffer, offset)
    elif kind == _RESTATED:
        number = public_number(engine, position)
        size = restated(event, number, instruments, buffer, offset)
    elif kind == _ACCOUNT:
        size = _account(event, buffer, offset)
    elif kind == _CARRIED:
        reference = public_number(engine, event["reference"])
        size = _carried(event, tags, reference, instruments, buffer, offset)
    elif kind == _BROKEN:
        size = encode_broken(event, which, engine, buffer, offset)
    elif kind == _SELF_MATCHED:
        size = encode_self_matched(event, which, instruments, buffer, offset)
    elif is_of_many(kind):
        size = encode_mass(event, kind, instruments, buffer, offset)
    elif kind == _QUOTED:
        size = encode_quoted(event, buffer, offset)
    elif is_of_protection(kind):
        size = encode_protection(event, kind, instruments, buffer, offset)
    elif kind == _SESSIONS:
        size = _system(event, START_OF_DAY, buffer, offset)
    elif kind == _SYSTEM and (int(event["reason"]) & 0xFF) == END_OF_DAY:
        size = _system(event, END_OF_DAY, buffer, offset)
    else:
        return 0
    return HEADER_SIZE + size
