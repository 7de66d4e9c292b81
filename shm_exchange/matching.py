"""Kernel: (market, command) -> events. Every rule that must be atomic is here.

`match` writes the events of one command into the ring from `position` on and returns the position
behind them; nothing is visible until the caller publishes. The same commands give the same bytes,
today and in a replay: time comes in as the stamp, and every byte of an event is written.

Rules: OUCH 5.0 (user reference numbers, replace and its outcomes, cancel to an intended size), and
price-time priority. What a gateway should have checked is checked again where a wrong value could
hurt somebody else.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.administration import administer
from shm_exchange.book import (
    add_to_hash,
    has_pages,
    order_weight,
    remove,
    rest,
    side_number,
    take,
    user_ref_weight,
)
from shm_exchange.emit import emit_cancelled, emit_ignored, emit_order, emit_rejected, new_event
from shm_exchange.market import FREE, RESTING, WORKING
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    SLOT_BITS,
    SLOT_INDEX_MASK,
    USER_REF_MAX,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    Ignored,
    Reject,
)

SIDE_BUY = ord("B")
TIF_IOC = ord("3")
STATE_OPEN = ord("T")
LIQUIDITY_ADDED = ord("A")
LIQUIDITY_REMOVED = ord("R")
REASON_IOC = ord("I")
REASON_USER = ord("U")
REASON_SYSTEM = ord("Z")
SWEEP_ROOM = 8  # events that a command may need besides its trades

ENTER = int(CommandKind.ENTER)
CANCEL = int(CommandKind.CANCEL)
REPLACE = int(CommandKind.REPLACE)
MODIFY = int(CommandKind.MODIFY)
REFUSED = int(CommandKind.REFUSED)
ACCOUNT_QUERY = int(CommandKind.ACCOUNT_QUERY)
FLAG_OPEN_QUANTITY = int(CommandFlag.OPEN_QUANTITY)
FLAG_LONG_FORM = int(CommandFlag.LONG_FORM)
ORDER_FLAGS = int(CommandFlag.SWEEP | CommandFlag.GTC)  # what an order keeps

ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
RESTED = int(EventKind.RESTED)
EXECUTED = int(EventKind.EXECUTED)
MODIFIED = int(EventKind.MODIFIED)
ACCOUNT = int(EventKind.ACCOUNT)
CONTINUED = int(EventKind.CONTINUED)
DONE = int(EventFlag.DONE)
TAKER_DONE = int(EventFlag.TAKER_DONE)
RESTS = int(EventFlag.RESTS)
SLOT_RETURNED = int(EventFlag.SLOT_RETURNED)
LONG_FORM = int(EventFlag.LONG_FORM)

USER_REF_USED = int(Ignored.USER_REF_USED)
STALE_GENERATION = int(Ignored.STALE_GENERATION)
UNKNOWN_SESSION = int(Ignored.UNKNOWN_SESSION)
NOT_LIVE = int(Ignored.NOT_LIVE)
SUPERFLUOUS = int(Ignored.SUPERFLUOUS)

INVALID_SLOT = int(Reject.INVALID_SLOT)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
INVALID_PRICE = int(Reject.INVALID_PRICE)
INVALID_QUANTITY = int(Reject.INVALID_QUANTITY)
HALTED = int(Reject.HALTED)
NO_CAPACITY = int(Reject.NO_CAPACITY)


@kernel
def session_fault(market, command, source):
    """0, or why a command of this session from this source is ignored."""
    session = np.int64(command["session"])
    if session >= len(market.sessions):
        return UNKNOWN_SESSION
    row = market.sessions[at(session)]
    if row["generation"] != command["generation"]:
        return STALE_GENERATION
    if row["gateway"] != source:
        return UNKNOWN_SESSION
    return 0


@kernel
def use_user_ref(market, command):
    """Make the command's UserRefNum the session's last one; 0 when it was used before."""
    row = np.int64(command["session"]) * 256 + np.int64(command["user_ref_index"])
    last = np.int64(market.user_refs[at(row)])
    number = np.int64(command["user_ref"])
    if number <= last:
        return 0
    market.user_refs[at(row)] = number
    add_to_hash(market, user_ref_weight(row), number - last)
    return 1


@kernel
def is_live(market, command, user_ref):
    """1 when the command's slot holds a resting order of its session under `user_ref`."""
    slot = np.int64(command["slot"])
    if slot <= 0 or slot >= len(market.orders):
        return 0
    order = market.orders[at(slot)]
    return (
        1
        if order["state"] == RESTING
        and order["session"] == command["session"]
        and order["user_ref"] == user_ref
        and order["user_ref_index"] == command["user_ref_index"]
        else 0
    )


@kernel
def offered_slot_is_free(market, command, source):
    """1 when the command's slot belongs to its source and holds no order."""
    slot = np.int64(command["slot"])
    index = slot & SLOT_INDEX_MASK
    if slot <= 0 or slot >> SLOT_BITS != source:
        return 0
    if slot >= len(market.orders) or index >= market.scalars[0]["slots_per_gateway"]:
        return 0
    return 1 if market.orders[at(slot)]["state"] == FREE else 0


@kernel
def price_fault(market, instrument, price, quantity):
    """0, or the reject code of a price or a quantity outside the instrument's limits."""
    row = market.instruments[at(instrument)]
    if price < row["price_min"] or price > row["price_max"]:
        return INVALID_PRICE
    if quantity < 1 or quantity > row["quantity_max"]:
        return INVALID_QUANTITY
    if not has_pages(market):
        return NO_CAPACITY
    return 0


@kernel
def crosses(market, order):
    """1 when the order would trade with the best price of the other side."""
    number = side_number(np.int64(order["instrument"]), order["side"]) ^ 1
    other = market.sides[at(number)]
    return 1 if other["best"] <= (np.int64(order["price"]) ^ other["mirror"]) else 0


@kernel
def emit_trade(market, maker_slot, taker_slot, quantity, source_next, ring, position):
    """Write EXECUTED for both sides. The maker's leaves are already lowered."""
    maker = market.orders[at(maker_slot)]
    taker = market.orders[at(taker_slot)]
    event = new_event(market, ring, position, EXECUTED, source_next)
    flags = DONE if maker["leaves"] == 0 else 0
    event["flags"] = flags | (TAKER_DONE if taker["leaves"] == 0 else 0)
    event["side"] = maker["side"]
    event["instrument"] = maker["instrument"]
    event["price"] = maker["price"]
    event["quantity"] = quantity
    event["slot"] = maker_slot
    event["user_ref"] = maker["user_ref"]
    event["session"] = maker["session"]
    event["user_ref_index"] = maker["user_ref_index"]
    event["liquidity"] = LIQUIDITY_ADDED
    event["taker_session"] = taker["session"]
    event["taker_user_ref_index"] = taker["user_ref_index"]
    event["taker_liquidity"] = LIQUIDITY_REMOVED
    event["reference"] = maker["reference"]
    event["taker_slot"] = taker_slot
    event["taker_user_ref"] = taker["user_ref"]


@kernel
def sweep(market, slot, source_next, ring, position, limit):
    """Match a WORKING order against the other side, then rest or cancel what is left.

    Stops before `limit` with CONTINUED: the order goes on in the next batch, before any other
    command. Returns the position behind the last event.
    """
    order = market.orders[at(slot)]
    number = side_number(np.int64(order["instrument"]), order["side"]) ^ 1
    other = market.sides[at(number)]
    worst = np.int64(order["price"]) ^ other["mirror"]
    leaves = np.int64(order["leaves"])
    while leaves > 0 and other["best"] <= worst:
        if position >= limit:
            order["leaves"] = leaves
            order["displayed"] = leaves
            return emit_continued(market, slot, source_next, ring, position)
        maker_slot = np.int64(market.levels[at(other["best_level"])]["first"])
        maker = market.orders[at(maker_slot)]
        open_quantity = np.int64(maker["leaves"])
        quantity = min(leaves, open_quantity)
        leaves -= quantity
        order["leaves"] = leaves
        order["executed"] = order["executed"] + quantity
        maker["executed"] = maker["executed"] + quantity
        if quantity == open_quantity:
            remove(market, maker_slot)
            maker["leaves"] = 0
            maker["displayed"] = 0
            maker["state"] = FREE
        else:
            take(market, maker_slot, quantity)
        emit_trade(market, maker_slot, slot, quantity, source_next, ring, position)
        position += 1
    order["displayed"] = leaves
    if leaves == 0:
        order["state"] = FREE
        return position
    if order["time_in_force"] == TIF_IOC:
        order["state"] = FREE
        order["leaves"] = 0
        order["displayed"] = 0
        emit_cancelled(market, slot, leaves, REASON_IOC, DONE, source_next, ring, position)
        return position + 1
    rest(market, slot)
    event = emit_order(market, slot, RESTED, source_next, ring, position)
    event["quantity"] = leaves
    event["reference"] = order["reference"]
    event["leaves"] = leaves
    return position + 1


@cold_kernel
def emit_continued(market, slot, source_next, ring, position):
    """Say that the command of `slot` is not finished; remember it."""
    event = emit_order(market, slot, CONTINUED, source_next, ring, position)
    event["leaves"] = market.orders[at(slot)]["leaves"]
    scalars = market.scalars[0]
    scalars["continuing"] = slot
    scalars["continuing_next"] = source_next
    return position + 1


@cold_kernel
def resume(market, ring, position, limit):
    """Go on with the command that did not fit into a batch, by the writer or its successor."""
    scalars = market.scalars[0]
    slot = np.int64(scalars["continuing"])
    scalars["continuing"] = 0
    return sweep(market, slot, scalars["continuing_next"] + 0, ring, position, limit)


@kernel
def enter_into_book(market, slot, event, source_next, ring, position, limit):
    """Rest the order at once, or let it trade. `event` (ACCEPTED, REPLACED) is at position - 1."""
    order = market.orders[at(slot)]
    if order["time_in_force"] != TIF_IOC and not crosses(market, order):
        event["flags"] |= RESTS
        rest(market, slot)
        return position
    return sweep(market, slot, source_next, ring, position, limit)


@kernel
def enter(market, command, source, source_next, ring, position, limit):
    """OUCH O."""
    fault = session_fault(market, command, source)
    if not fault and not use_user_ref(market, command):
        fault = USER_REF_USED
    slot_is_free = offered_slot_is_free(market, command, source)
    returned = SLOT_RETURNED if slot_is_free else 0
    if fault:
        return emit_ignored(market, command, fault, returned, source_next, ring, position)
    instrument = np.int64(command["instrument"])
    code = 0
    if not slot_is_free:
        code = INVALID_SLOT
    elif instrument >= len(market.instruments):
        code = INVALID_SYMBOL
    elif market.instruments[at(instrument)]["state"] != STATE_OPEN:
        code = HALTED
    else:
        quantity = np.int64(command["quantity"])
        code = price_fault(market, instrument, command["price"], quantity)
    if code:
        return emit_rejected(market, command, code, returned, source_next, ring, position)
    slot = np.int64(command["slot"])
    order = market.orders[at(slot)]
    order["reference"] = position
    order["next"] = 0
    order["previous"] = 0
    order["level"] = 0
    order["price"] = command["price"]
    order["leaves"] = command["quantity"]
    order["displayed"] = command["quantity"]
    order["executed"] = 0
    order["decremented"] = 0
    order["user_ref"] = command["user_ref"]
    order["session"] = command["session"]
    order["instrument"] = command["instrument"]
    order["side"] = command["side"]
    order["state"] = WORKING
    order["user_ref_index"] = command["user_ref_index"]
    order["flags"] = command["flags"] & ORDER_FLAGS
    order["time_in_force"] = command["time_in_force"]
    order["display"] = command["display"]
    order["capacity"] = command["capacity"]
    order["protection_group"] = 0
    order["expiry"] = 0
    order["display_quantity"] = 0
    gateway = market.gateways[at(source)]
    index = slot & SLOT_INDEX_MASK
    if index >= gateway["slots_high_water"]:
        gateway["slots_high_water"] = index + 1
    event = emit_order(market, slot, ACCEPTED, source_next, ring, position)
    event["client_order_id_0"] = command["client_order_id_0"]
    event["client_order_id_1"] = command["client_order_id_1"]
    event["client_order_id_2"] = command["client_order_id_2"]
    return enter_into_book(market, slot, event, source_next, ring, position + 1, limit)


@kernel
def cancel(market, command, source, source_next, ring, position):
    """OUCH X: lower the chain to an intended total; 0 = everything that is open."""
    fault = session_fault(market, command, source)
    if not fault and not is_live(market, command, command["user_ref"]):
        fault = NOT_LIVE
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    slot = np.int64(command["slot"])
    order = market.orders[at(slot)]
    leaves = np.int64(order["leaves"])
    done = np.int64(order["executed"]) + np.int64(order["decremented"])
    left = max(0, command["quantity"] - done)
    if left >= leaves:
        return emit_ignored(market, command, SUPERFLUOUS, 0, source_next, ring, position)
    flags = RESTS | (LONG_FORM if command["flags"] & FLAG_LONG_FORM else 0)
    if left == 0:
        remove(market, slot)
        order["leaves"] = 0
        order["displayed"] = 0
        order["state"] = FREE
        flags |= DONE
    else:
        take(market, slot, leaves - left)
    reason = np.int64(command["reason"])
    emit_cancelled(market, slot, leaves - left, reason, flags, source_next, ring, position)
    return position + 1


@kernel
def replace(market, command, source, source_next, ring, position, limit):
    """OUCH U: a new price and total under a new number; priority is always lost.

    Outcomes (specification, Replace Order Request): ignored; the original cancelled and the
    number not used; rejected with the original untouched; replaced.
    """
    fault = session_fault(market, command, source)
    if not fault and not is_live(market, command, command["original_user_ref"]):
        fault = NOT_LIVE
    row = np.int64(command["session"]) * 256 + np.int64(command["user_ref_index"])
    if not fault and command["user_ref"] <= market.user_refs[at(row)]:
        fault = USER_REF_USED
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    slot = np.int64(command["slot"])
    order = market.orders[at(slot)]
    instrument = np.int64(order["instrument"])
    if market.instruments[at(instrument)]["state"] != STATE_OPEN:
        use_user_ref(market, command)
        return emit_rejected(market, command, HALTED, 0, source_next, ring, position)
    leaves = np.int64(order["leaves"])
    done = np.int64(order["executed"]) + np.int64(order["decremented"])
    if command["flags"] & FLAG_OPEN_QUANTITY:
        done = 0
    left = command["quantity"] - done
    bad = price_fault(market, instrument, command["price"], max(1, left))
    remove(market, slot)
    if bad or left <= 0:
        order["leaves"] = 0
        order["displayed"] = 0
        order["state"] = FREE
        reason = REASON_SYSTEM if bad else REASON_USER
        emit_cancelled(market, slot, leaves, reason, RESTS | DONE, source_next, ring, position)
        return position + 1
    use_user_ref(market, command)
    order["reference"] = position
    order["next"] = 0
    order["previous"] = 0
    order["level"] = 0
    order["price"] = command["price"]
    order["leaves"] = left
    order["displayed"] = left
    order["user_ref"] = command["user_ref"]
    order["state"] = WORKING
    order["flags"] = command["flags"] & ORDER_FLAGS
    order["time_in_force"] = command["time_in_force"]
    order["display"] = command["display"]
    event = emit_order(market, slot, REPLACED, source_next, ring, position)
    event["original_user_ref"] = command["original_user_ref"]
    event["client_order_id_0"] = command["client_order_id_0"]
    event["client_order_id_1"] = command["client_order_id_1"]
    event["client_order_id_2"] = command["client_order_id_2"]
    return enter_into_book(market, slot, event, source_next, ring, position + 1, limit)


@cold_kernel
def modify(market, command, source, source_next, ring, position):
    """OUCH M: another sell side, or a smaller total; keeps its place; increases are ignored."""
    fault = session_fault(market, command, source)
    if not fault and not is_live(market, command, command["user_ref"]):
        fault = NOT_LIVE
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    slot = np.int64(command["slot"])
    order = market.orders[at(slot)]
    leaves = np.int64(order["leaves"])
    done = np.int64(order["executed"]) + np.int64(order["decremented"])
    left = min(leaves, max(0, command["quantity"] - done))
    both_sell = order["side"] != SIDE_BUY and command["side"] != SIDE_BUY
    changes_side = order["side"] != command["side"]
    if (changes_side and not both_sell) or (left == leaves and not changes_side):
        return emit_ignored(market, command, SUPERFLUOUS, 0, source_next, ring, position)
    flags = RESTS | (LONG_FORM if command["flags"] & FLAG_LONG_FORM else 0)
    if left == 0:
        remove(market, slot)
        order["leaves"] = 0
        order["displayed"] = 0
        order["state"] = FREE
        emit_cancelled(market, slot, leaves, REASON_USER, flags | DONE, source_next, ring, position)
        return position + 1
    order["side"] = command["side"]
    if left < leaves:
        take(market, slot, leaves - left)
    event = emit_order(market, slot, MODIFIED, source_next, ring, position)
    event["flags"] = flags
    event["quantity"] = leaves - left
    event["reference"] = order["reference"]
    event["leaves"] = left
    return position + 1


@cold_kernel
def refuse(market, command, source, source_next, ring, position):
    """A gateway's own reject becomes a sequenced J; its number is used."""
    fault = session_fault(market, command, source)
    if not fault and not use_user_ref(market, command):
        fault = USER_REF_USED
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    reason = np.int64(command["reason"])
    return emit_rejected(market, command, reason, 0, source_next, ring, position)


@cold_kernel
def query_account(market, command, source, source_next, ring, position):
    """OUCH Q: the next usable UserRefNum, 0 when there is none; a barrier behind what was sent."""
    fault = session_fault(market, command, source)
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    row = np.int64(command["session"]) * 256 + np.int64(command["user_ref_index"])
    last = np.int64(market.user_refs[at(row)])
    event = new_event(market, ring, position, ACCOUNT, source_next)
    event["flags"] = LONG_FORM if command["flags"] & FLAG_LONG_FORM else 0
    event["session"] = command["session"]
    event["user_ref_index"] = command["user_ref_index"]
    event["user_ref"] = 0 if last == USER_REF_MAX else last + 1
    return position + 1


@kernel
def match(market, commands, index, source, command_next, stamp_ns, ring, position, limit):
    """Match the command at `commands[index]`; return the position behind its last event.

    commands: COMMAND[n], its continuations follow it. source: whose ring it came from.
    command_next: position in that ring behind it. stamp_ns: not below the last stamp.
    ring: has `records`, EVENT[capacity]; position: of the first event; limit: a sweep stops there
    (at most SWEEP_ROOM events more are written, so the caller reserves that much).
    """
    command = commands[at(index)]
    scalars = market.scalars[0]
    scalars["stamp_ns"] = stamp_ns
    market.gateways[at(source)]["command_next"] = command_next
    source_next = (source << COMMAND_NEXT_BITS) | command_next
    kind = command["kind"]
    if kind == ENTER:
        position = enter(market, command, source, source_next, ring, position, limit)
    elif kind == CANCEL:
        position = cancel(market, command, source, source_next, ring, position)
    elif kind == REPLACE:
        position = replace(market, command, source, source_next, ring, position, limit)
    elif kind == MODIFY:
        position = modify(market, command, source, source_next, ring, position)
    elif kind == REFUSED:
        position = refuse(market, command, source, source_next, ring, position)
    elif kind == ACCOUNT_QUERY:
        position = query_account(market, command, source, source_next, ring, position)
    else:
        position = administer(market, command, source, source_next, ring, position)
    scalars["position"] = position
    return position
