"""Kernel: a decoded OUCH request -> a COMMAND, or nothing.

What a check refuses becomes a command too: its reject is said in sequence, so it must come back as
an event. An order becomes REFUSED. A replace stays one, without a price when it cancels its
original, or with its reject: the matcher knows whether the original lives and the number is new. A
cancel or replace of an order that is not live says nothing on the wire and stops here.
"""

from typing import NamedTuple

import numpy as np

from gateways.order_index import OrderIndex, find_order, insert_order, order_key
from gateways.ouch.checks import (
    enter_fault,
    find_instrument,
    firm_fault,
    is_gtc,
    is_side,
    leaves_on_disconnect,
    lots_fault,
    price_ticks,
    quantity_fault,
    stays_on_disconnect,
    terms_fault,
)
from gateways.ouch.codec import (
    BAD_APPENDAGE,
    CANCEL,
    DISABLE,
    ENABLE,
    ENTER,
    MASS_CANCEL,
    MASS_QUOTE,
    MODIFY,
    OK,
    PROTECTION,
    REPLACE,
)
from gateways.ouch.tag_words import fill_tags, has_tags
from gateways.risk import Risk, is_limited, open_of_chain, reserve, risk_fault
from ringbuf.bits import at, clear_record, copy_record
from ringbuf.jit import cold_kernel, kernel
from ringbuf.spsc import Spsc
from ringbuf.state import State
from shm_exchange.messages import (
    REASON_USER,
    SLOT_BITS,
    SLOT_INDEX_MASK,
    CommandFlag,
    CommandKind,
    Reject,
)
from shm_exchange.slots import SOURCE, Slots, take_slot

COMMAND_ENTER = int(CommandKind.ENTER)
COMMAND_CANCEL = int(CommandKind.CANCEL)
COMMAND_REPLACE = int(CommandKind.REPLACE)
COMMAND_MODIFY = int(CommandKind.MODIFY)
COMMAND_REFUSED = int(CommandKind.REFUSED)
COMMAND_ACCOUNT_QUERY = int(CommandKind.ACCOUNT_QUERY)
FLAG_SWEEP = int(CommandFlag.SWEEP)
FLAG_GTC = int(CommandFlag.GTC)
FLAG_LONG_FORM = int(CommandFlag.LONG_FORM)
FLAG_TAGS = int(CommandFlag.TAGS)
FLAG_LEAVES = int(CommandFlag.LEAVES_ON_DISCONNECT)
FLAG_STAY = int(CommandFlag.STAY_ON_DISCONNECT)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
INVALID_PRICE = int(Reject.INVALID_PRICE)
INVALID_SIDE = int(Reject.INVALID_SIDE)
NO_CAPACITY = int(Reject.NO_CAPACITY)
UNSUPPORTED_TAG = int(Reject.UNSUPPORTED_TAG)
NO_SPACE = int(Reject.NO_SPACE)
NO_SLOT = 0
YES = ord("Y")
NO_PRICE = 0  # of a replace that fails a check: the matcher cancels the original
QUANTITY_MASK = 0x7FFF_FFFF  # a command's quantity is signed; larger totals mean the same

DISK_SHORT = 4  # beside the results of `decode`: good, but the journal has no room to spare

COMMAND_RECORDS_MAX = 2  # of one request: itself and ORDER_TAGS; a mass quote looks for itself

# Results of `take_request`.
SAID = 1  # a command was written
SILENT = 0  # nothing is to be said
FAULT = -1  # the message is not OUCH: disconnect
FOR_MANY = 2  # it is about more than one order: `mass_requests` takes it


@State.register
class Desk(NamedTuple):
    """What turns requests into commands: private to one pump and engine."""

    commands: Spsc
    order_index: OrderIndex
    symbols: OrderIndex  # raw symbol -> instrument + 1
    slots: Slots
    instruments: np.ndarray  # INSTRUMENT[n]
    offered: np.ndarray  # int32[slots]: instrument << 8 | side of the orders in our own slots
    tags: np.ndarray  # ORDER_TAGS[1], scratch
    risk: Risk


@kernel
def identity_of(market, desk, slot):
    """Instrument << 8 | side of the order in `slot`.

    Of our own slots we know it from the command on: the event may still be on its way. Orders of
    other gateways are in the replica, because a login waits for all that came before it.
    """
    if slot >> SLOT_BITS == desk.slots.words[SOURCE]:
        return np.int64(desk.offered[at(slot & SLOT_INDEX_MASK)])
    order = market.orders[at(slot)]
    return (np.int64(order["instrument"]) << 8) | np.int64(order["side"])


@kernel
def blank_command(desk, position, kind, session, generation, received_ns):
    """The cleared COMMAND at `position`, which the caller has room for."""
    records = desk.commands.records
    index = position & (len(records) - 1)
    clear_record(records, index)
    command = records[at(index)]
    command["kind"] = kind
    command["session"] = session
    command["generation"] = generation
    command["received_ns"] = received_ns
    return command


@kernel
def _identify(command, request):
    command["user_ref"] = request["user_ref"]
    command["user_ref_index"] = request["user_ref_index"]
    command["flags"] = FLAG_LONG_FORM if request["long_form"] else 0


@kernel
def _client_order_id(command, request):
    command["client_order_id_0"] = request["client_order_id_0"]
    command["client_order_id_1"] = request["client_order_id_1"]
    command["client_order_id_2"] = request["client_order_id_2"]


@kernel
def _terms(command, request):
    command["time_in_force"] = request["time_in_force"]
    command["display"] = request["display"]
    flags = FLAG_SWEEP if request["sweep"] == YES else 0
    flags |= FLAG_STAY if stays_on_disconnect(request) else 0
    command["flags"] |= flags | (FLAG_GTC if is_gtc(request) else 0)


@cold_kernel
def _tags(desk, command, request, position):
    """Write the request's ORDER_TAGS behind its command."""
    command["flags"] |= FLAG_TAGS
    command["continuations"] = 1
    fill_tags(desk.tags, request)
    records = desk.commands.records
    copy_record(records, (position + 1) & (len(records) - 1), desk.tags, 0)


@cold_kernel
def _refuse(desk, request, code, position, session, generation, now_ns):
    command = blank_command(desk, position, COMMAND_REFUSED, session, generation, now_ns)
    _identify(command, request)
    command["flags"] = FLAG_LONG_FORM
    _client_order_id(command, request)
    command["reason"] = code
    return SAID


@kernel
def _enter(market, desk, request, code, position, session, generation, now_ns):
    instrument = find_instrument(desk.symbols, request)
    quantity = np.int64(request["quantity"])
    side = np.int64(request["side"])
    if code == 0:
        code = enter_fault(request)
    if code == 0 and request["present"] != 0:
        code = firm_fault(market, session, request)
    price = np.int64(0)
    if code == 0:
        if instrument < 0:
            code = INVALID_SYMBOL
        else:
            price = price_ticks(desk.instruments, instrument, side, np.int64(request["price"]))
            code = (
                quantity_fault(desk.instruments, instrument, quantity)
                if price > 0
                else INVALID_PRICE
            )
    limited = is_limited(desk.risk, session)
    if limited and code == 0:
        risk = desk.risk
        code = risk_fault(market, risk, NO_SLOT, session, instrument, side, price, quantity, now_ns)
    slot = np.int64(NO_SLOT)
    if code == 0:
        code = lots_fault(desk.instruments, instrument, request)
    if code == 0:
        slot = take_slot(desk.slots)
        if slot == NO_SLOT:
            code = NO_CAPACITY
    if code:
        return _refuse(desk, request, code, position, session, generation, now_ns)
    command = blank_command(desk, position, COMMAND_ENTER, session, generation, now_ns)
    _identify(command, request)
    _terms(command, request)
    _client_order_id(command, request)
    command["side"] = request["side"]
    command["capacity"] = request["capacity"]
    command["cross_type"] = request["cross_type"]
    command["instrument"] = instrument
    command["slot"] = slot
    command["price"] = price
    command["quantity"] = quantity
    key = order_key(session, np.int64(request["user_ref_index"]), np.int64(request["user_ref"]))
    insert_order(desk.order_index, key, slot)
    if limited:
        reserve(market, desk.risk, slot, session, instrument, side, quantity)
    desk.offered[at(slot & SLOT_INDEX_MASK)] = (instrument << 8) | side
    if has_tags(request):
        _tags(desk, command, request, position)
    return SAID


@cold_kernel
def _replace_within_limits(market, desk, slot, session, identity, price, total, reject, now_ns):
    """0 when the session's limits allow a replace; else the reject. Its answer is counted upon.

    price: NO_PRICE when it leaves nothing open; reject: what was found before, or 0.
    """
    risk, instrument, side = desk.risk, identity >> 8, identity & 0xFF
    code, left = np.int64(reject), np.int64(0)
    if price > NO_PRICE and code == 0:
        code = np.int64(
            risk_fault(market, risk, slot, session, instrument, side, price, total, now_ns)
        )
    if price > NO_PRICE and code == 0:
        left = np.int64(open_of_chain(market, slot, total))
    reserve(market, risk, slot, session, instrument, side, left)
    return code


@kernel
def _total_fault(desk, instrument, request):
    """0, or why a replace's total cancels its original. 0 is a total: nothing is left of it."""
    total = np.int64(request["quantity"])
    if total == 0:
        return 0
    fault = quantity_fault(desk.instruments, instrument, total)
    return fault if fault else lots_fault(desk.instruments, instrument, request)


@kernel
def _replace(market, desk, request, code, reject, position, session, generation, now_ns):
    """code: a fault that cancels the original; reject: one that does not."""
    channel = np.int64(request["user_ref_index"])
    original = order_key(session, channel, np.int64(request["original_user_ref"]))
    slot = find_order(desk.order_index, original)
    if slot == NO_SLOT:
        return SILENT
    identity = identity_of(market, desk, slot)
    instrument = identity >> 8
    if code == 0:
        code = terms_fault(request)
    price = np.int64(NO_PRICE)
    if code == 0 and not _total_fault(desk, instrument, request):
        side = identity & 0xFF
        price = price_ticks(desk.instruments, instrument, side, np.int64(request["price"]))
    if is_limited(desk.risk, session):
        total = np.int64(request["quantity"])
        reject = _replace_within_limits(
            market, desk, slot, session, identity, price, total, reject, now_ns
        )
    command = blank_command(desk, position, COMMAND_REPLACE, session, generation, now_ns)
    _identify(command, request)
    _terms(command, request)
    _client_order_id(command, request)
    command["original_user_ref"] = request["original_user_ref"]
    command["instrument"] = instrument
    command["slot"] = slot
    command["price"] = max(NO_PRICE, price)
    command["quantity"] = min(np.int64(request["quantity"]), QUANTITY_MASK)
    command["reason"] = reject
    if reject:
        return SAID
    command["flags"] |= FLAG_LEAVES if leaves_on_disconnect(request) else 0
    insert_order(desk.order_index, order_key(session, channel, np.int64(request["user_ref"])), slot)
    if price > 0 and has_tags(request):
        _tags(desk, command, request, position)
    return SAID


@kernel
def _cancel(desk, request, kind, position, session, generation, now_ns):
    key = order_key(session, np.int64(request["user_ref_index"]), np.int64(request["user_ref"]))
    slot = find_order(desk.order_index, key)
    if slot == NO_SLOT:
        return SILENT
    command = blank_command(desk, position, kind, session, generation, now_ns)
    _identify(command, request)
    command["slot"] = slot
    command["quantity"] = min(np.int64(request["quantity"]), QUANTITY_MASK)
    command["side"] = request["side"] if kind == COMMAND_MODIFY else 0
    command["reason"] = REASON_USER
    return SAID


@cold_kernel
def _query(desk, request, position, session, generation, now_ns):
    command = blank_command(desk, position, COMMAND_ACCOUNT_QUERY, session, generation, now_ns)
    _identify(command, request)
    command["user_ref"] = 0
    return SAID


@kernel
def take_request(market, desk, request, result, position, session, generation, now_ns):
    """Write the command of a decoded request at `position` of the command ring, if it has one.

    result: what `codec.decode` returned, or DISK_SHORT. COMMAND_RECORDS_MAX records of room are
    required. Returns SAID, SILENT, FOR_MANY, or FAULT, which ends the connection.
    """
    kind = request["type"]
    code = reject = np.int64(0)
    if result == BAD_APPENDAGE:
        code = UNSUPPORTED_TAG + np.int64(request["bad_tag"])
    elif result == DISK_SHORT:
        reject = np.int64(NO_SPACE)
    elif result != OK:
        return FAULT
    if kind == ENTER:
        code = code if code else reject
        return _enter(market, desk, request, code, position, session, generation, now_ns)
    if kind == REPLACE:
        return _replace(market, desk, request, code, reject, position, session, generation, now_ns)
    if kind == MASS_CANCEL or kind == DISABLE or kind == ENABLE or kind == PROTECTION:
        return FOR_MANY
    if kind == MASS_QUOTE:
        return FOR_MANY
    if code:
        return FAULT
    if kind == CANCEL:
        return _cancel(desk, request, COMMAND_CANCEL, position, session, generation, now_ns)
    if kind == MODIFY:
        if not is_side(request["side"]):
            return SILENT  # as a change that there is not
        return _cancel(desk, request, COMMAND_MODIFY, position, session, generation, now_ns)
    return _query(desk, request, position, session, generation, now_ns)
