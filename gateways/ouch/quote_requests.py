"""Kernel: `q` -> a COMMAND and one continuation for each quote (docs/protocols.md).

Every side that has a quantity is offered a slot. What a check refuses goes to the matcher as well,
with its reject: the matcher says it in sequence and gives all slots back.

A quote is no chain: what its last order has traded is held, and the new order comes on top. So the
session's limits are checked as if the orders that the message replaces were gone already. Until the
matcher has said so they count like any other.
"""

import numpy as np

from gateways.order_index import find_order, insert_order, order_key
from gateways.ouch.checks import BUY, SELL, price_ticks, quantity_fault
from gateways.ouch.inbound import COMMAND_REFUSED, DISK_SHORT, FLAG_LONG_FORM, blank_command
from gateways.ouch.private_quotes import MASS_QUOTE, QUOTE, QUOTES_MAX
from gateways.risk import is_limited, reserve, risk_fault, set_aside
from ringbuf.bits import at, load_big_2, load_big_4, load_big_8, load_raw_8
from ringbuf.jit import cold_kernel
from shm_exchange.market import QUOTE_IDS
from shm_exchange.messages import (
    ALL_INSTRUMENTS,
    BLANK_FIRM,
    BLANK_SYMBOL,
    SLOT_INDEX_MASK,
    USER_REF_MAX,
    CommandKind,
    Reject,
)
from shm_exchange.quotes import quote_side
from shm_exchange.slots import take_slot

COMMAND_MASS_QUOTE = int(CommandKind.MASS_QUOTE)
NOTHING = int(CommandKind.NOTHING)
CONTINUATION = int(CommandKind.CONTINUATION)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
INVALID_PRICE = int(Reject.INVALID_PRICE)
NO_CAPACITY = int(Reject.NO_CAPACITY)
NO_SPACE = int(Reject.NO_SPACE)
QUOTE_COUNT = int(Reject.QUOTE_COUNT)
NO_SLOT = 0
RECORDS_MAX = 33  # the command, 16 quotes, and up to 16 that are left unused before them

_HEAD = MASS_QUOTE.size
_COUNT = MASS_QUOTE.offset_of("count")
_EACH = QUOTE.size
_ID = QUOTE.offset_of("quote_id")
_SYMBOL = QUOTE.offset_of("symbol")
_BID_PRICE = QUOTE.offset_of("bid_price")
_BID_QUANTITY = QUOTE.offset_of("bid_quantity")
_ASK_PRICE = QUOTE.offset_of("ask_price")
_ASK_QUANTITY = QUOTE.offset_of("ask_quantity")


@cold_kernel
def _is_repeated(data, first, offset):
    """1 when a quote between `first` and `offset` has the id of the one at `offset`."""
    quote_id = load_big_2(data, offset + _ID)
    for place in range(first, offset, _EACH):
        if load_big_2(data, place + _ID) == quote_id:
            return 1
    return 0


@cold_kernel
def _set_replaced_aside(market, desk, session, data, first, count, sign):
    """Let the orders that the quotes at data[first:] have count for nothing (-1), or again (1)."""
    for offset in range(first, first + count * _EACH, _EACH):
        quote_id = np.int64(load_big_2(data, offset + _ID))
        if quote_id == 0 or quote_id > QUOTE_IDS or _is_repeated(data, first, offset):
            continue
        for number in range(2):
            slot = np.int64(quote_side(market, session, quote_id, SELL if number else BUY))
            if slot != NO_SLOT:
                set_aside(market, desk.risk, slot, sign)


@cold_kernel
def _offer(market, desk, session, key, instrument, side, price, quantity, now_ns):
    """A slot for one side and its price in ticks, or 0 and the reject."""
    ticks = np.int64(price_ticks(desk.instruments, instrument, side, price))
    if ticks <= 0:
        return np.int64(NO_SLOT), np.int64(INVALID_PRICE)
    code = np.int64(quantity_fault(desk.instruments, instrument, quantity))
    limited = is_limited(desk.risk, session)
    if limited and code == 0:
        risk = desk.risk
        code = np.int64(
            risk_fault(market, risk, NO_SLOT, session, instrument, side, ticks, quantity, now_ns)
        )
    if code:
        return np.int64(NO_SLOT), code
    slot = np.int64(take_slot(desk.slots))
    if slot == NO_SLOT:
        return slot, np.int64(NO_CAPACITY)
    insert_order(desk.order_index, key, slot)
    if limited:
        reserve(market, desk.risk, slot, session, instrument, side, quantity)
    desk.offered[at(slot & SLOT_INDEX_MASK)] = (instrument << 8) | side
    return slot, ticks


@cold_kernel
def _take_quote(market, desk, data, offset, row, session, key, code, now_ns):
    """Fill the continuation `row` from the quote at `offset`; the first reject so far, or 0.

    key: of the order in front of its bid.
    """
    quote_id = np.int64(load_big_2(data, offset + _ID))
    instrument = np.int64(find_order(desk.symbols, load_raw_8(data, offset + _SYMBOL)) - 1)
    row["reason"] = quote_id
    row["instrument"] = instrument if instrument >= 0 else ALL_INSTRUMENTS
    if code == 0 and instrument < 0:
        code = np.int64(INVALID_SYMBOL)
    for number in range(2):
        side = SELL if number else BUY
        price = np.int64(load_big_8(data, offset + (_ASK_PRICE if number else _BID_PRICE)))
        place = offset + (_ASK_QUANTITY if number else _BID_QUANTITY)
        quantity = np.int64(load_big_4(data, place))
        if quantity == 0 or code != 0:
            continue
        slot, ticks = _offer(
            market,
            desk,
            session,
            key + 1 + number,
            instrument,
            side,
            price,
            quantity,
            now_ns,
        )
        if slot == NO_SLOT:
            code = ticks
            continue
        if number:
            row["ask_slot"] = slot
            row["ask_price"] = ticks
            row["ask_quantity"] = quantity
        else:
            row["slot"] = slot
            row["price"] = ticks
            row["quantity"] = quantity
    return code


@cold_kernel
def take_mass_quote(
    market, desk, data, offset, request, result, position, session, generation, now_ns
):
    """Write the command at `position` or, should it not fit before the ring's end, behind that.

    data[offset:]: the message, of the length that its count says. Returns how many records.
    """
    capacity = len(desk.commands.records)
    count = np.int64(data[at(offset + _COUNT)])
    number, channel = np.int64(request["user_ref"]), np.int64(request["user_ref_index"])
    code = np.int64(NO_SPACE if result == DISK_SHORT else 0)
    if count == 0 or count > QUOTES_MAX or number + 2 * count > USER_REF_MAX:
        command = blank_command(desk, position, COMMAND_REFUSED, session, generation, now_ns)
        command["flags"] = FLAG_LONG_FORM
        command["user_ref"] = number
        command["user_ref_index"] = channel
        command["reason"] = QUOTE_COUNT
        command["client_order_id_0"] = BLANK_SYMBOL
        command["client_order_id_1"] = BLANK_FIRM
        command["client_order_id_2"] = BLANK_FIRM & 0xFFFF
        return np.int64(1)
    room = capacity - (position & (capacity - 1))
    padding = np.int64(0)
    if room < 1 + count:  # its records lie one behind the other
        blank = blank_command(desk, position, NOTHING, session, generation, now_ns)
        blank["continuations"] = room - 1
        padding = np.int64(room)
    position += padding
    command = blank_command(desk, position, COMMAND_MASS_QUOTE, session, generation, now_ns)
    command["continuations"] = count
    command["flags"] = FLAG_LONG_FORM
    command["user_ref"] = number
    command["user_ref_index"] = channel
    command["group_id"] = request["group_id"]
    key = order_key(session, channel, number)
    limited = is_limited(desk.risk, session)
    if limited:
        _set_replaced_aside(market, desk, session, data, offset + _HEAD, count, -1)
    for each in range(count):
        row = blank_command(desk, position + 1 + each, CONTINUATION, 0, 0, 0)
        place = offset + _HEAD + each * _EACH
        code = np.int64(
            _take_quote(market, desk, data, place, row, session, key + 2 * each, code, now_ns)
        )
    if limited:
        _set_replaced_aside(market, desk, session, data, offset + _HEAD, count, 1)
    command["reason"] = code
    return padding + 1 + count
