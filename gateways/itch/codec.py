"""Kernel: ITCH messages as bytes, and back.

Encoders write a whole SoupBinTCP `S` packet at `offset` of a uint8 buffer and return its size;
`decode` reads a message without its packet. Prices are in units of 0.0001, symbols are raw.
"""

from __future__ import annotations

from gateways.itch.messages import (
    ADD_ORDER,
    ADD_ORDER_ATTRIBUTED,
    BROKEN_TRADE,
    ORDER_CANCEL,
    ORDER_DELETE,
    ORDER_EXECUTED,
    ORDER_EXECUTED_WITH_PRICE,
    ORDER_REPLACE,
    PARTICIPANT_POSITION,
    STOCK_DIRECTORY,
    SYSTEM_EVENT,
    TRADE,
    TRADING_ACTION,
)
from gateways.packets import HEADER_SIZE
from gateways.soupbintcp import write_sequenced_header
from gateways.wire import SPACE, load_big_6, store_big_6, time_of_day
from ringbuf.bits import (
    at,
    load_big_2,
    load_big_4,
    load_big_8,
    load_raw_8,
    store_big_2,
    store_big_4,
    store_big_8,
    store_raw_4,
    store_raw_8,
)
from ringbuf.jit import kernel

# Results of `decode`.
OK = 0
WRONG_LENGTH = 1
UNKNOWN_TYPE = 2

SYSTEM, DIRECTORY, ACTION, ADD, EXECUTED, CANCEL, DELETE, REPLACE = (
    ord("S"),
    ord("R"),
    ord("H"),
    ord("A"),
    ord("E"),
    ord("X"),
    ord("D"),
    ord("U"),
)
ADD_ATTRIBUTED, EXECUTED_WITH_PRICE, HIDDEN_TRADE, BROKEN = ord("F"), ord("C"), ord("P"), ord("B")
PARTICIPANT = ord("L")
BUY, SELL, YES, NO = ord("B"), ord("S"), ord("Y"), ord("N")

_LOCATE = SYSTEM_EVENT.offset_of("stock_locate")
_TRACKING = SYSTEM_EVENT.offset_of("tracking_number")
_TIMESTAMP = SYSTEM_EVENT.offset_of("timestamp_high")

_SYSTEM_SIZE = SYSTEM_EVENT.size
_SYSTEM_CODE = SYSTEM_EVENT.offset_of("event_code")

_DIRECTORY_SIZE = STOCK_DIRECTORY.size
_DIRECTORY_STOCK = STOCK_DIRECTORY.offset_of("stock")
_DIRECTORY_CATEGORY = STOCK_DIRECTORY.offset_of("market_category")
_DIRECTORY_FINANCIAL = STOCK_DIRECTORY.offset_of("financial_status")
_DIRECTORY_LOT = STOCK_DIRECTORY.offset_of("round_lot_size")
_DIRECTORY_LOTS_ONLY = STOCK_DIRECTORY.offset_of("round_lots_only")
_DIRECTORY_CLASS = STOCK_DIRECTORY.offset_of("issue_classification")
_DIRECTORY_SUB_TYPE = STOCK_DIRECTORY.offset_of("issue_sub_type")
_DIRECTORY_AUTHENTICITY = STOCK_DIRECTORY.offset_of("authenticity")
_DIRECTORY_SHORT_SALE = STOCK_DIRECTORY.offset_of("short_sale_threshold")
_DIRECTORY_IPO = STOCK_DIRECTORY.offset_of("ipo_flag")
_DIRECTORY_TIER = STOCK_DIRECTORY.offset_of("luld_tier")
_DIRECTORY_ETP = STOCK_DIRECTORY.offset_of("etp_flag")
_DIRECTORY_LEVERAGE = STOCK_DIRECTORY.offset_of("etp_leverage")
_DIRECTORY_INVERSE = STOCK_DIRECTORY.offset_of("inverse")
_CATEGORY, _COMMON, _SUB_TYPE, _PRODUCTION = ord("Q"), ord("C"), ord("Z"), ord("P")

_PARTICIPANT_SIZE = PARTICIPANT_POSITION.size
_PARTICIPANT_STOCK = PARTICIPANT_POSITION.offset_of("stock")
_ACTION_SIZE = TRADING_ACTION.size
_ACTION_STOCK = TRADING_ACTION.offset_of("stock")
_ACTION_STATE = TRADING_ACTION.offset_of("trading_state")
_ACTION_RESERVED = TRADING_ACTION.offset_of("reserved")
_ACTION_REASON = TRADING_ACTION.offset_of("reason")

# The reference number has one place in all messages that have one.
_REFERENCE = ADD_ORDER.offset_of("order_reference_number")
_ADD_SIZE = ADD_ORDER.size
_ADD_SIDE = ADD_ORDER.offset_of("side")
_ADD_SHARES = ADD_ORDER.offset_of("shares")
_ADD_STOCK = ADD_ORDER.offset_of("stock")
_ADD_PRICE = ADD_ORDER.offset_of("price")
_ATTRIBUTED_SIZE = ADD_ORDER_ATTRIBUTED.size
_ATTRIBUTION = ADD_ORDER_ATTRIBUTED.offset_of("attribution")

_EXECUTED_SIZE = ORDER_EXECUTED.size
_EXECUTED_SHARES = ORDER_EXECUTED.offset_of("shares")
_EXECUTED_MATCH = ORDER_EXECUTED.offset_of("match_number")
_PRICED_SIZE = ORDER_EXECUTED_WITH_PRICE.size
_PRICED_PRINTABLE = ORDER_EXECUTED_WITH_PRICE.offset_of("printable")
_PRICED_PRICE = ORDER_EXECUTED_WITH_PRICE.offset_of("price")

_CANCEL_SIZE = ORDER_CANCEL.size
_CANCEL_SHARES = ORDER_CANCEL.offset_of("shares")
_DELETE_SIZE = ORDER_DELETE.size

_REPLACE_SIZE = ORDER_REPLACE.size
_REPLACE_ORIGINAL = ORDER_REPLACE.offset_of("original_reference_number")
_REPLACE_REFERENCE = ORDER_REPLACE.offset_of("order_reference_number")
_REPLACE_SHARES = ORDER_REPLACE.offset_of("shares")
_REPLACE_PRICE = ORDER_REPLACE.offset_of("price")

# `P` is `A` with a match number behind it.
_TRADE_SIZE = TRADE.size
_TRADE_MATCH = TRADE.offset_of("match_number")
_BROKEN_SIZE = BROKEN_TRADE.size
_BROKEN_MATCH = BROKEN_TRADE.offset_of("match_number")


@kernel
def begin_message(buffer, offset, kind, size, locate, time_ns):
    """Packet header and the eleven common bytes; return where the message begins."""
    start = write_sequenced_header(buffer, offset, size)
    buffer[at(start)] = kind
    store_big_2(buffer, start + _LOCATE, locate)
    store_big_2(buffer, start + _TRACKING, 0)
    store_big_6(buffer, start + _TIMESTAMP, time_of_day(time_ns))
    return start


@kernel
def encode_system(buffer, offset, time_ns, code):
    """`S`. code: `O` `S` `Q` `M` `E` `C`."""
    start = begin_message(buffer, offset, SYSTEM, _SYSTEM_SIZE, 0, time_ns)
    buffer[at(start + _SYSTEM_CODE)] = code
    return HEADER_SIZE + _SYSTEM_SIZE


@kernel
def encode_directory(buffer, offset, time_ns, locate, symbol, lot):
    """`R`."""
    start = begin_message(buffer, offset, DIRECTORY, _DIRECTORY_SIZE, locate, time_ns)
    store_raw_8(buffer, start + _DIRECTORY_STOCK, symbol)
    buffer[at(start + _DIRECTORY_CATEGORY)] = _CATEGORY
    buffer[at(start + _DIRECTORY_FINANCIAL)] = NO
    store_big_4(buffer, start + _DIRECTORY_LOT, lot)
    buffer[at(start + _DIRECTORY_LOTS_ONLY)] = NO
    buffer[at(start + _DIRECTORY_CLASS)] = _COMMON
    buffer[at(start + _DIRECTORY_SUB_TYPE)] = _SUB_TYPE
    buffer[at(start + _DIRECTORY_SUB_TYPE + 1)] = SPACE
    buffer[at(start + _DIRECTORY_AUTHENTICITY)] = _PRODUCTION
    buffer[at(start + _DIRECTORY_SHORT_SALE)] = NO
    buffer[at(start + _DIRECTORY_IPO)] = SPACE
    buffer[at(start + _DIRECTORY_TIER)] = SPACE
    buffer[at(start + _DIRECTORY_ETP)] = NO
    store_big_4(buffer, start + _DIRECTORY_LEVERAGE, 0)
    buffer[at(start + _DIRECTORY_INVERSE)] = NO
    return HEADER_SIZE + _DIRECTORY_SIZE


@kernel
def encode_action(buffer, offset, time_ns, locate, symbol, state, reason):
    """`H`. state: `T` `Q` `H`; reason: four characters, raw."""
    start = begin_message(buffer, offset, ACTION, _ACTION_SIZE, locate, time_ns)
    store_raw_8(buffer, start + _ACTION_STOCK, symbol)
    buffer[at(start + _ACTION_STATE)] = state
    buffer[at(start + _ACTION_RESERVED)] = SPACE
    store_raw_4(buffer, start + _ACTION_REASON, reason)
    return HEADER_SIZE + _ACTION_SIZE


@kernel
def _add(buffer, start, reference, side, shares, symbol, price):
    """What `A`, `F` and `P` have in common."""
    store_big_8(buffer, start + _REFERENCE, reference)
    buffer[at(start + _ADD_SIDE)] = side
    store_big_4(buffer, start + _ADD_SHARES, shares)
    store_raw_8(buffer, start + _ADD_STOCK, symbol)
    store_big_4(buffer, start + _ADD_PRICE, price)


@kernel
def encode_add(buffer, offset, time_ns, locate, reference, side, shares, symbol, price):
    """`A`. side: `B` `S`."""
    start = begin_message(buffer, offset, ADD, _ADD_SIZE, locate, time_ns)
    _add(buffer, start, reference, side, shares, symbol, price)
    return HEADER_SIZE + _ADD_SIZE


@kernel
def encode_add_attributed(
    buffer, offset, time_ns, locate, reference, side, shares, symbol, price, attribution
):
    """`F`. attribution: four characters, raw."""
    start = begin_message(buffer, offset, ADD_ATTRIBUTED, _ATTRIBUTED_SIZE, locate, time_ns)
    _add(buffer, start, reference, side, shares, symbol, price)
    store_raw_4(buffer, start + _ATTRIBUTION, attribution)
    return HEADER_SIZE + _ATTRIBUTED_SIZE


@kernel
def _execution(buffer, start, reference, shares, match_number):
    """What `E` and `C` have in common."""
    store_big_8(buffer, start + _REFERENCE, reference)
    store_big_4(buffer, start + _EXECUTED_SHARES, shares)
    store_big_8(buffer, start + _EXECUTED_MATCH, match_number)


@kernel
def encode_executed(buffer, offset, time_ns, locate, reference, shares, match_number):
    """`E`."""
    start = begin_message(buffer, offset, EXECUTED, _EXECUTED_SIZE, locate, time_ns)
    _execution(buffer, start, reference, shares, match_number)
    return HEADER_SIZE + _EXECUTED_SIZE


@kernel
def encode_executed_with_price(
    buffer, offset, time_ns, locate, reference, shares, match_number, printable, price
):
    """`C`. printable: `Y` `N`."""
    start = begin_message(buffer, offset, EXECUTED_WITH_PRICE, _PRICED_SIZE, locate, time_ns)
    _execution(buffer, start, reference, shares, match_number)
    buffer[at(start + _PRICED_PRINTABLE)] = printable
    store_big_4(buffer, start + _PRICED_PRICE, price)
    return HEADER_SIZE + _PRICED_SIZE


@kernel
def encode_cancel(buffer, offset, time_ns, locate, reference, shares):
    """`X`. shares: taken away."""
    start = begin_message(buffer, offset, CANCEL, _CANCEL_SIZE, locate, time_ns)
    store_big_8(buffer, start + _REFERENCE, reference)
    store_big_4(buffer, start + _CANCEL_SHARES, shares)
    return HEADER_SIZE + _CANCEL_SIZE


@kernel
def encode_delete(buffer, offset, time_ns, locate, reference):
    """`D`."""
    start = begin_message(buffer, offset, DELETE, _DELETE_SIZE, locate, time_ns)
    store_big_8(buffer, start + _REFERENCE, reference)
    return HEADER_SIZE + _DELETE_SIZE


@kernel
def encode_replace(buffer, offset, time_ns, locate, original_reference, reference, shares, price):
    """`U`."""
    start = begin_message(buffer, offset, REPLACE, _REPLACE_SIZE, locate, time_ns)
    store_big_8(buffer, start + _REPLACE_ORIGINAL, original_reference)
    store_big_8(buffer, start + _REPLACE_REFERENCE, reference)
    store_big_4(buffer, start + _REPLACE_SHARES, shares)
    store_big_4(buffer, start + _REPLACE_PRICE, price)
    return HEADER_SIZE + _REPLACE_SIZE


@kernel
def encode_trade(buffer, offset, time_ns, locate, shares, symbol, price, match_number):
    """`P`, a fill of a hidden order: neither its side nor its reference are told."""
    start = begin_message(buffer, offset, HIDDEN_TRADE, _TRADE_SIZE, locate, time_ns)
    _add(buffer, start, 0, BUY, shares, symbol, price)
    store_big_8(buffer, start + _TRADE_MATCH, match_number)
    return HEADER_SIZE + _TRADE_SIZE


@kernel
def encode_broken(buffer, offset, time_ns, locate, match_number):
    """`B`."""
    start = begin_message(buffer, offset, BROKEN, _BROKEN_SIZE, locate, time_ns)
    store_big_8(buffer, start + _BROKEN_MATCH, match_number)
    return HEADER_SIZE + _BROKEN_SIZE


@kernel
def _clear(message):
    """Fields that a kind does not have are 0."""
    message["side"] = 0
    message["code"] = 0
    message["reference"] = 0
    message["original_reference"] = 0
    message["match_number"] = 0
    message["symbol"] = 0
    message["shares"] = 0
    message["price"] = 0


@kernel
def _decode_order(data, offset, kind, message):
    """What is behind the common bytes of the messages of one order."""
    message["reference"] = load_big_8(data, offset + _REFERENCE)
    if kind == ADD or kind == ADD_ATTRIBUTED or kind == HIDDEN_TRADE:
        message["side"] = data[at(offset + _ADD_SIDE)]
        message["shares"] = load_big_4(data, offset + _ADD_SHARES)
        message["symbol"] = load_raw_8(data, offset + _ADD_STOCK)
        message["price"] = load_big_4(data, offset + _ADD_PRICE)
        if kind == HIDDEN_TRADE:
            message["match_number"] = load_big_8(data, offset + _TRADE_MATCH)
    elif kind == EXECUTED or kind == EXECUTED_WITH_PRICE:
        message["shares"] = load_big_4(data, offset + _EXECUTED_SHARES)
        message["match_number"] = load_big_8(data, offset + _EXECUTED_MATCH)
        if kind == EXECUTED_WITH_PRICE:
            message["code"] = data[at(offset + _PRICED_PRINTABLE)]
            message["price"] = load_big_4(data, offset + _PRICED_PRICE)
    elif kind == CANCEL:
        message["shares"] = load_big_4(data, offset + _CANCEL_SHARES)
    elif kind == REPLACE:
        message["original_reference"] = load_big_8(data, offset + _REPLACE_ORIGINAL)
        message["reference"] = load_big_8(data, offset + _REPLACE_REFERENCE)
        message["shares"] = load_big_4(data, offset + _REPLACE_SHARES)
        message["price"] = load_big_4(data, offset + _REPLACE_PRICE)


@kernel
def _decode_other(data, offset, kind, message):
    """What is behind the common bytes of the messages that are not about an order."""
    if kind == SYSTEM:
        message["code"] = data[at(offset + _SYSTEM_CODE)]
    elif kind == DIRECTORY:
        message["symbol"] = load_raw_8(data, offset + _DIRECTORY_STOCK)
        message["shares"] = load_big_4(data, offset + _DIRECTORY_LOT)
    elif kind == ACTION:
        message["symbol"] = load_raw_8(data, offset + _ACTION_STOCK)
        message["code"] = data[at(offset + _ACTION_STATE)]
    elif kind == PARTICIPANT:
        message["symbol"] = load_raw_8(data, offset + _PARTICIPANT_STOCK)
    else:
        message["match_number"] = load_big_8(data, offset + _BROKEN_MATCH)


@kernel
def message_size(kind):
    """Size of a message of the kinds that `decode` knows, or 0."""
    if kind == ADD:
        return _ADD_SIZE
    if kind == EXECUTED:
        return _EXECUTED_SIZE
    if kind == DELETE:
        return _DELETE_SIZE
    if kind == REPLACE:
        return _REPLACE_SIZE
    if kind == CANCEL:
        return _CANCEL_SIZE
    if kind == ADD_ATTRIBUTED:
        return _ATTRIBUTED_SIZE
    if kind == EXECUTED_WITH_PRICE:
        return _PRICED_SIZE
    if kind == HIDDEN_TRADE:
        return _TRADE_SIZE
    if kind == BROKEN:
        return _BROKEN_SIZE
    if kind == SYSTEM:
        return _SYSTEM_SIZE
    if kind == DIRECTORY:
        return _DIRECTORY_SIZE
    if kind == ACTION:
        return _ACTION_SIZE
    if kind == PARTICIPANT:
        return _PARTICIPANT_SIZE
    return 0


@kernel
def decode(data, offset, length, message):
    """Decode the message in [offset, offset + length) of uint8 `data` into an ITCH_MESSAGE row.

    Return OK, WRONG_LENGTH or UNKNOWN_TYPE (then only `type` is good).
    """
    if length < 1:
        return WRONG_LENGTH
    kind = int(data[at(offset)])
    message["type"] = kind
    size = message_size(kind)
    if size == 0:
        return UNKNOWN_TYPE
    if length != size:
        return WRONG_LENGTH
    _clear(message)
    message["stock_locate"] = load_big_2(data, offset + _LOCATE)
    message["tracking_number"] = load_big_2(data, offset + _TRACKING)
    message["timestamp"] = load_big_6(data, offset + _TIMESTAMP)
    known = kind == SYSTEM or kind == DIRECTORY or kind == ACTION
    if known or kind == BROKEN or kind == PARTICIPANT:
        _decode_other(data, offset, kind, message)
    else:
        _decode_order(data, offset, kind, message)
    return OK
