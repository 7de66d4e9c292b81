"""Kernel: a mass quote: both sides of up to 16 quotes in one command (docs/protocols.md, `q`).

All of it is checked before anything changes. Then every order that a quote had goes, and what it
has now is entered: so nothing of one message meets anything of the same. Quotes are post-only, so
that a mass quote never trades and its events have an upper bound.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.admission import count_slot, is_offered, price_fault, session_fault, use_user_ref
from shm_exchange.book import rest
from shm_exchange.emit import emit_ignored, emit_order, new_event
from shm_exchange.market import QUOTE_IDS, WORKING
from shm_exchange.mass import reject_request
from shm_exchange.messages import (
    BLANK_FIRM,
    NONE,
    REASON_USER,
    USER_REF_MAX,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    Ignored,
    Reject,
)
from shm_exchange.order_tags import (
    GROUP_ID,
    POST_ONLY,
    SCRATCH,
    clear_tags,
    emit_tags,
    keep_tags,
)
from shm_exchange.order_terms import POSTS, cancel_at_entry, entry_fate, take_terms
from shm_exchange.protection import has_block_room, is_frozen, protecting
from shm_exchange.quotes import begin_quotes, quote_side
from shm_exchange.withdrawal import withdraw

QUOTES_MAX = 16
EVENTS_PER_SIDE = 4  # cancelled; accepted, its tags; cancelled because no price is left
QUOTED = int(EventKind.QUOTED)
ACCEPTED = int(EventKind.ACCEPTED)
IGNORED = int(EventKind.IGNORED)
COMMAND_ENTER = int(CommandKind.ENTER)
STAY = int(CommandFlag.STAY_ON_DISCONNECT)
LONG_FORM = int(EventFlag.LONG_FORM)
RESTS = int(EventFlag.RESTS)
SLOT_RETURNED = int(EventFlag.SLOT_RETURNED)
USER_REF_USED = int(Ignored.USER_REF_USED)
SUPERFLUOUS = int(Ignored.SUPERFLUOUS)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
INVALID_SLOT = int(Reject.INVALID_SLOT)
HALTED = int(Reject.HALTED)
NO_CAPACITY = int(Reject.NO_CAPACITY)
ENTRY_DISABLED = int(Reject.ENTRY_DISABLED)
PROTECTION_FROZEN = int(Reject.PROTECTION_FROZEN)
QUOTE_COUNT = int(Reject.QUOTE_COUNT)
QUOTE_ID = int(Reject.QUOTE_ID)
QUOTE_CROSSED = int(Reject.QUOTE_CROSSED)
BUY, SELL = ord("B"), ord("S")
STATE_OPEN, DAY, VISIBLE, PRINCIPAL = ord("T"), ord("0"), ord("Y"), ord("P")


@cold_kernel
def _terms(quote, side):
    """Slot, price and quantity of one side of a continuation."""
    if side == BUY:
        return np.int64(quote["slot"]), np.int64(quote["price"]), np.int64(quote["quantity"])
    slot, price = np.int64(quote["ask_slot"]), np.int64(quote["ask_price"])
    return slot, price, np.int64(quote["ask_quantity"])


@cold_kernel
def _side_fault(market, quote, side, source):
    """0, or why this side of a quote cannot be entered."""
    slot, price, quantity = _terms(quote, side)
    if quantity == 0:
        return 0
    if not is_offered(market, slot, source):
        return INVALID_SLOT
    return np.int64(price_fault(market, np.int64(quote["instrument"]), np.int32(price), quantity))


@cold_kernel
def _quote_fault(market, command, quote, source):
    """0, or why a quote cannot be had. What only cancels is always good."""
    quote_id = np.int64(quote["reason"])
    if quote_id == 0 or quote_id > QUOTE_IDS:
        return QUOTE_ID
    instrument = np.int64(quote["instrument"])
    if instrument >= len(market.instruments):
        return INVALID_SYMBOL
    if quote["quantity"] == 0 and quote["ask_quantity"] == 0:
        return 0
    session, group = np.int64(command["session"]), np.int64(command["group_id"])
    row = protecting(market, session, group, instrument)
    if market.sessions[at(session)]["disabled"] != 0:
        return ENTRY_DISABLED
    if row != NONE and is_frozen(market, row):
        return PROTECTION_FROZEN
    if market.instruments[at(instrument)]["state"] != STATE_OPEN:
        return HALTED
    code = _side_fault(market, quote, BUY, source)
    code = code if code else _side_fault(market, quote, SELL, source)
    both = quote["quantity"] != 0 and quote["ask_quantity"] != 0
    if code == 0 and both and quote["price"] >= quote["ask_price"]:
        return QUOTE_CROSSED
    return code


@cold_kernel
def _has_room(market, session, count, position, limit):
    """1 when the message can be carried out whole."""
    orders = 2 * count
    pages = market.scalars[0]["pages"] + orders <= len(market.leaf_words)
    events = 1 + orders * EVENTS_PER_SIDE <= limit - position
    return 1 if pages and events and has_block_room(market, session) else 0


@cold_kernel
def _fault(market, commands, index, count, source, position, limit):
    """0, or why the whole message is rejected: the first fault that there is."""
    command = commands[at(index)]
    if count == 0 or count > QUOTES_MAX or command["user_ref"] + 2 * count > USER_REF_MAX:
        return QUOTE_COUNT
    code = np.int64(command["reason"])  # what its gateway found
    for number in range(1, count + 1):
        quote = commands[at(index + number)]
        if code == 0:
            code = np.int64(_quote_fault(market, command, quote, source))
        for other in range(1, number):
            if code == 0 and commands[at(index + other)]["reason"] == quote["reason"]:
                code = QUOTE_ID
    if code == 0 and not _has_room(market, np.int64(command["session"]), count, position, limit):
        code = NO_CAPACITY
    return code


@cold_kernel
def _return_slot(market, command, slot, user_ref, source, source_next, ring, position):
    """IGNORED: a slot that was offered and not used; the position behind."""
    if not is_offered(market, slot, source):
        return position
    event = new_event(market, ring, position, IGNORED, source_next)
    event["flags"] = SLOT_RETURNED
    event["reason"] = SUPERFLUOUS
    event["command_kind"] = COMMAND_ENTER
    event["slot"] = slot
    event["session"] = command["session"]
    event["user_ref_index"] = command["user_ref_index"]
    event["user_ref"] = user_ref
    return position + 1


@cold_kernel
def return_slots(market, commands, index, count, source, source_next, ring, position):
    """Every slot of a message that was not carried out."""
    command = commands[at(index)]
    number = np.int64(command["user_ref"])
    for each in range(1, count + 1):
        for side in range(2):
            slot = _terms(commands[at(index + each)], SELL if side else BUY)[0]
            number += 1
            position = _return_slot(
                market, command, slot, number, source, source_next, ring, position
            )
    return position


@cold_kernel
def _withdraw_side(market, command, quote, side, source_next, ring, position):
    """The order that this side of the quote had goes; the position behind."""
    session = np.int64(command["session"])
    slot = quote_side(market, session, np.int64(quote["reason"]), side)
    if slot == 0:
        return position
    withdraw(market, slot, REASON_USER, 0, source_next, ring, position)
    return position + 1


@cold_kernel
def _name(event, quote_id):
    """The client order id of a quote's orders: `Q` and three digits."""
    word = ord("Q") | (ord("0") + quote_id // 100) << 8
    word |= (ord("0") + quote_id // 10 % 10) << 16 | (ord("0") + quote_id % 10) << 24
    event["client_order_id_0"] = word | (BLANK_FIRM << 32)
    event["client_order_id_1"] = BLANK_FIRM
    event["client_order_id_2"] = BLANK_FIRM & 0xFFFF


@cold_kernel
def _set_order(market, command, quote, side, user_ref, position):
    """The order of one side, as it is when it is accepted; it has its tags."""
    slot, price, quantity = _terms(quote, side)
    order = market.orders[at(slot)]
    order["reference"] = position
    order["next"] = order["previous"] = order["level"] = 0
    order["price"] = price
    order["leaves"] = order["displayed"] = quantity
    order["executed"] = order["decremented"] = 0
    order["user_ref"] = user_ref
    order["session"] = command["session"]
    order["instrument"] = quote["instrument"]
    order["side"] = side
    order["state"] = WORKING
    order["user_ref_index"] = command["user_ref_index"]
    order["flags"] = command["flags"] & STAY
    order["time_in_force"] = DAY
    order["display"] = VISIBLE
    order["capacity"] = PRINCIPAL
    order["protection_group"] = 0
    order["expiry"] = order["display_quantity"] = 0
    clear_tags(market)
    tags = market.tags[SCRATCH]
    group = np.int64(command["group_id"])
    tags["present"] = POST_ONLY | (GROUP_ID if group != 0 else 0)
    tags["post_only"] = POSTS
    tags["group_id"] = group
    tags["quote_id"] = quote["reason"]
    keep_tags(market, slot)
    take_terms(market, slot)
    return slot


@cold_kernel
def _enter_side(market, command, quote, side, user_ref, source, source_next, ring, position):
    """Enter one side of a quote, unless it has no quantity; the position behind."""
    offered, _, quantity = _terms(quote, side)
    if quantity == 0 or not is_offered(market, offered, source):
        return position
    slot = _set_order(market, command, quote, side, user_ref, position)
    count_slot(market, source, slot)
    fate = np.int64(entry_fate(market, slot))
    event = emit_order(market, slot, ACCEPTED, source_next, ring, position)
    _name(event, np.int64(quote["reason"]))
    position = emit_tags(market, slot, event, ring, position + 1)
    if fate:
        return cancel_at_entry(market, slot, fate, source_next, ring, position)
    event["flags"] |= RESTS
    rest(market, slot)
    return position


@cold_kernel
def mass_quote(market, commands, index, source, source_next, ring, position, limit):
    """MASS_QUOTE, its quotes at `commands[index + 1:]`; return the position behind the events."""
    command = commands[at(index)]
    count = np.int64(command["continuations"])
    if index + count >= len(commands):  # they would not be its own
        return emit_ignored(market, command, SUPERFLUOUS, 0, source_next, ring, position)
    fault = session_fault(market, command, source)
    if not fault and not use_user_ref(market, command):
        fault = USER_REF_USED
    code = np.int64(0)
    if fault:
        position = emit_ignored(market, command, fault, 0, source_next, ring, position)
    else:
        code = np.int64(_fault(market, commands, index, count, source, position, limit))
        if code:
            position = reject_request(market, command, code, source_next, ring, position)
    if fault or code:
        return return_slots(market, commands, index, count, source, source_next, ring, position)
    event = new_event(market, ring, position, QUOTED, source_next)
    event["flags"] = LONG_FORM
    event["session"] = command["session"]
    event["user_ref_index"] = command["user_ref_index"]
    event["user_ref"] = command["user_ref"]
    event["group_id"] = command["group_id"]
    event["quantity"] = count
    begin_quotes(market, event)
    position += 1
    for each in range(1, count + 1):
        quote = commands[at(index + each)]
        position = _withdraw_side(market, command, quote, BUY, source_next, ring, position)
        position = _withdraw_side(market, command, quote, SELL, source_next, ring, position)
    number = np.int64(command["user_ref"])
    for each in range(1, count + 1):
        quote = commands[at(index + each)]
        for side in range(2):
            number += 1
            position = _enter_side(
                market,
                command,
                quote,
                SELL if side else BUY,
                number,
                source,
                source_next,
                ring,
                position,
            )
    return position
