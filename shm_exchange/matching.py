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
from shm_exchange.admission import (
    count_slot,
    is_live,
    is_offered,
    price_fault,
    session_fault,
    use_user_ref,
)
from shm_exchange.book import end_order, reduce, remove
from shm_exchange.emit import (
    emit_cancelled,
    emit_ignored,
    emit_order,
    emit_rejected,
)
from shm_exchange.mass_quote import mass_quote
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    Cause,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    Ignored,
    Reject,
)
from shm_exchange.order_entry import begin, begin_again
from shm_exchange.order_tags import SHARES_AHEAD_ASKED, emit_tags, keep_tags, load_tags
from shm_exchange.order_terms import (
    cancel_at_entry,
    entry_fate,
    release_terms,
    replacement_fault,
    tags_fault,
    take_terms,
)
from shm_exchange.session_answers import query_account, refuse
from shm_exchange.shares_ahead import say_shares_ahead
from shm_exchange.sweep import enter_into_book

SIDE_BUY = ord("B")
STATE_OPEN = ord("T")
REASON_USER = ord("U")
REASON_SYSTEM = ord("Z")
SWEEP_ROOM = 8  # events that a command may need besides its trades

ENTER = int(CommandKind.ENTER)
CANCEL = int(CommandKind.CANCEL)
REPLACE = int(CommandKind.REPLACE)
MODIFY = int(CommandKind.MODIFY)
REFUSED = int(CommandKind.REFUSED)
ACCOUNT_QUERY = int(CommandKind.ACCOUNT_QUERY)
MASS_QUOTE = int(CommandKind.MASS_QUOTE)
FLAG_OPEN_QUANTITY = int(CommandFlag.OPEN_QUANTITY)
FLAG_TAGS = int(CommandFlag.TAGS)

ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
MODIFIED = int(EventKind.MODIFIED)
DONE = int(EventFlag.DONE)
RESTS = int(EventFlag.RESTS)
SLOT_RETURNED = int(EventFlag.SLOT_RETURNED)
LONG_FORM = int(EventFlag.LONG_FORM)

USER_REF_USED = int(Ignored.USER_REF_USED)
NOT_LIVE = int(Ignored.NOT_LIVE)
SUPERFLUOUS = int(Ignored.SUPERFLUOUS)

INVALID_SLOT = int(Reject.INVALID_SLOT)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
HALTED = int(Reject.HALTED)
CAUSE_REPLACE_FAILED = int(Cause.REPLACE_FAILED)
ENTRY_DISABLED = int(Reject.ENTRY_DISABLED)
PROTECTION_FROZEN = int(Reject.PROTECTION_FROZEN)


@cold_kernel
def _begin_with_tags(market, slot, event, ring, position):
    """Give the order the tags in the scratch row: 0, or why it is cancelled once accepted.

    `event` is complete but for them; they are at `position`.
    """
    keep_tags(market, slot)
    take_terms(market, slot)
    fate = np.int64(entry_fate(market, slot))
    event["price"] = market.orders[at(slot)]["price"]
    if np.int64(market.tags[at(slot)]["present"]) & SHARES_AHEAD_ASKED:
        say_shares_ahead(market, slot)
    emit_tags(market, slot, event, ring, position)
    return fate


@kernel
def _entry_fault(market, commands, command, follower):
    """0, or the reject code of an order that its session may enter."""
    instrument = np.int64(command["instrument"])
    if instrument >= len(market.instruments):
        return INVALID_SYMBOL
    if market.sessions[at(np.int64(command["session"]))]["disabled"] != 0:
        return ENTRY_DISABLED
    if market.instruments[at(instrument)]["state"] != STATE_OPEN:
        return HALTED
    quantity = np.int64(command["quantity"])
    code = price_fault(market, instrument, command["price"], quantity)
    if command["flags"] & FLAG_TAGS:
        load_tags(market, commands, follower)
        code = code if code else tags_fault(market, command, instrument, 0)
    return code


@kernel
def enter(market, commands, index, follower, source, source_next, ring, position, limit):
    """OUCH O."""
    command = commands[at(index)]
    fault = session_fault(market, command, source)
    if not fault and not use_user_ref(market, command):
        fault = USER_REF_USED
    slot_is_free = is_offered(market, np.int64(command["slot"]), source)
    returned = SLOT_RETURNED if slot_is_free else 0
    if fault:
        return emit_ignored(market, command, fault, returned, source_next, ring, position)
    code = _entry_fault(market, commands, command, follower) if slot_is_free else INVALID_SLOT
    if code:
        return emit_rejected(market, command, code, returned, source_next, ring, position)
    slot = np.int64(command["slot"])
    event = begin(
        market,
        commands,
        index,
        slot,
        (command["side"], command["instrument"], command["capacity"]),
        (0, 0),
        ACCEPTED,
        np.int64(command["quantity"]),
        source_next,
        ring,
        position,
    )
    event["original_user_ref"] = 0
    count_slot(market, source, slot)
    position += 1
    if command["flags"] & FLAG_TAGS:
        fate = _begin_with_tags(market, slot, event, ring, position)
        position += 1
        if fate:
            return cancel_at_entry(market, slot, fate, source_next, ring, position)
    return enter_into_book(market, slot, event, source_next, ring, position, limit)


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
    flags = RESTS | (command["flags"] & LONG_FORM)
    if left == 0:
        remove(market, slot)
        end_order(market, slot)
        flags |= DONE
    else:
        reduce(market, slot, leaves - left)
    reason = np.int64(command["reason"])
    emit_cancelled(market, slot, leaves - left, reason, flags, source_next, ring, position)
    return position + 1


@cold_kernel
def _reject_replace(market, command, code, source_next, ring, position):
    """The original stays as it is; the number is used."""
    use_user_ref(market, command)
    return emit_rejected(market, command, np.int64(code), 0, source_next, ring, position)


@kernel
def replace(market, commands, index, follower, source, source_next, ring, position, limit):
    """OUCH U: a new price and total under a new number; priority is always lost.

    Outcomes (specification, Replace Order Request): ignored; the original cancelled and the
    number not used; rejected with the original untouched; replaced.
    """
    command = commands[at(index)]
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
    code = np.int64(command["reason"])  # what its gateway found
    if code == 0 and market.sessions[at(np.int64(command["session"]))]["disabled"] != 0:
        code = ENTRY_DISABLED
    if code == 0 and market.instruments[at(instrument)]["state"] != STATE_OPEN:
        code = HALTED
    if code:
        return _reject_replace(market, command, code, source_next, ring, position)
    leaves = np.int64(order["leaves"])
    done = np.int64(order["executed"]) + np.int64(order["decremented"])
    if command["flags"] & FLAG_OPEN_QUANTITY:
        done = 0
    left = command["quantity"] - done
    bad = price_fault(market, instrument, command["price"], max(1, left))
    has_tags = (command["flags"] | order["flags"]) & FLAG_TAGS
    if has_tags:
        fault = replacement_fault(market, slot, commands, index, follower)
        if fault == PROTECTION_FROZEN and not bad and left > 0:
            return _reject_replace(market, command, fault, source_next, ring, position)
        bad = bad if bad or fault == PROTECTION_FROZEN else fault
    remove(market, slot)
    if bad or left <= 0:
        end_order(market, slot)
        reason = REASON_SYSTEM if bad else REASON_USER
        flags = RESTS | DONE | LONG_FORM
        event = emit_cancelled(market, slot, leaves, reason, flags, source_next, ring, position)
        event["unused_user_ref"] = command["user_ref"]
        event["cause"] = CAUSE_REPLACE_FAILED if bad else 0
        return position + 1
    use_user_ref(market, command)
    if has_tags:
        release_terms(market, slot)
    event = begin_again(market, commands, index, slot, left, source_next, ring, position)
    position += 1
    if has_tags:
        fate = _begin_with_tags(market, slot, event, ring, position)
        position += 1
        if fate:
            return cancel_at_entry(market, slot, fate, source_next, ring, position)
    return enter_into_book(market, slot, event, source_next, ring, position, limit)


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
    flags = RESTS | (command["flags"] & LONG_FORM)
    if left == 0:
        remove(market, slot)
        end_order(market, slot)
        emit_cancelled(market, slot, leaves, REASON_USER, flags | DONE, source_next, ring, position)
        return position + 1
    order["side"] = command["side"]
    if left < leaves:
        reduce(market, slot, leaves - left)
    event = emit_order(market, slot, MODIFIED, source_next, ring, position)
    event["flags"] = flags
    event["quantity"] = leaves - left
    event["reference"] = order["reference"]
    event["leaves"] = left
    return position + 1


@kernel
def match(market, commands, index, source, command_next, follower, stamp_ns, ring, position, limit):
    """Match the command at `commands[index]`; return the position behind its last event.

    commands: COMMAND[n]. source: whose ring it came from. follower: subscript of its continuation,
    if it has one.
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
        position = enter(
            market, commands, index, follower, source, source_next, ring, position, limit
        )
    elif kind == CANCEL:
        position = cancel(market, command, source, source_next, ring, position)
    elif kind == REPLACE:
        position = replace(
            market, commands, index, follower, source, source_next, ring, position, limit
        )
    elif kind == MODIFY:
        position = modify(market, command, source, source_next, ring, position)
    elif kind == REFUSED:
        position = refuse(market, command, source, source_next, ring, position)
    elif kind == ACCOUNT_QUERY:
        position = query_account(market, command, source, source_next, ring, position)
    elif kind == MASS_QUOTE:
        position = mass_quote(market, commands, index, source, source_next, ring, position, limit)
    else:
        position = administer(market, command, source, source_next, ring, position, limit)
    scalars["position"] = position
    return position
