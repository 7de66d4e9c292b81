"""Kernel: OUCH U: an order gets another price and total, and loses its place."""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.admission import (
    is_live,
    is_unused,
    may_replace,
    note_user_ref,
    price_fault,
    session_fault,
)
from shm_exchange.book import end_order, remove, side_number
from shm_exchange.emit import emit_cancelled, emit_ignored, emit_rejected
from shm_exchange.messages import (
    REASON_SYSTEM,
    REASON_USER,
    Cause,
    CommandFlag,
    EventFlag,
    EventKind,
    Ignored,
    Reject,
)
from shm_exchange.order_entry import (
    DISPLAY_HIDDEN,
    head_again,
    origin_again,
)
from shm_exchange.order_terms import release_terms, replacement_fault
from shm_exchange.starting import go_on, go_on_special

FLAG_OPEN_QUANTITY = int(CommandFlag.OPEN_QUANTITY)
FLAG_TAGS = int(CommandFlag.TAGS)
REPLACED = int(EventKind.REPLACED)
DONE = int(EventFlag.DONE)
RESTS = int(EventFlag.RESTS)
LONG_FORM = int(EventFlag.LONG_FORM)
USER_REF_USED = int(Ignored.USER_REF_USED)
NOT_LIVE = int(Ignored.NOT_LIVE)
HALTED = int(Reject.HALTED)
ENTRY_DISABLED = int(Reject.ENTRY_DISABLED)
PROTECTION_FROZEN = int(Reject.PROTECTION_FROZEN)
CAUSE_REPLACE_FAILED = int(Cause.REPLACE_FAILED)


@cold_kernel
def _reject_replace(market, command, code, source_next, ring, position):
    """The original stays as it is; the number is used."""
    note_user_ref(market, command)
    return emit_rejected(market, command, np.int64(code), 0, source_next, ring, position)


@cold_kernel
def _turn_down_replace(market, commands, index, source, source_next, ring, position):
    """Say why a REPLACE leaves its original alone; the position behind the event."""
    command = commands[at(index)]
    fault = session_fault(market, command, source)
    if not fault and not is_live(market, commands, index, command["original_user_ref"]):
        fault = NOT_LIVE
    if not fault and not is_unused(market, command):
        fault = USER_REF_USED
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    code = np.int64(command["reason"])  # what its gateway found
    if code == 0:
        is_disabled = market.sessions[at(np.int64(command["session"]))]["disabled"] != 0
        code = ENTRY_DISABLED if is_disabled else HALTED
    return _reject_replace(market, command, code, source_next, ring, position)


@cold_kernel
def _cancel_replaced(market, command, slot, bad, source_next, ring, position):
    """The original, which is in no queue, ends instead: nothing is left, or `bad` is wrong."""
    leaves = np.int64(market.orders[at(slot)]["leaves"])
    end_order(market, slot)
    reason = REASON_SYSTEM if bad else REASON_USER
    flags = RESTS | DONE | LONG_FORM
    event = emit_cancelled(market, slot, leaves, reason, flags, source_next, ring, position)
    event["unused_user_ref"] = command["user_ref"]
    event["cause"] = CAUSE_REPLACE_FAILED if bad else 0
    return position + 1


@cold_kernel
def _replace_special(
    market, commands, index, follower, slot, left, bad, source_next, ring, position, limit
):
    """`replace` where one of the two has tags, or the new one is hidden. bad: of its price."""
    command = commands[at(index)]
    has_tags = (command["flags"] | market.orders[at(slot)]["flags"]) & FLAG_TAGS
    if has_tags:
        fault = replacement_fault(market, slot, commands, index, follower)
        if fault == PROTECTION_FROZEN and not bad and left > 0:
            return _reject_replace(market, command, fault, source_next, ring, position)
        bad = bad if bad or fault == PROTECTION_FROZEN else fault
    remove(market, slot)
    if bad or left <= 0:
        return _cancel_replaced(market, command, slot, bad, source_next, ring, position)
    note_user_ref(market, command)
    if has_tags:
        release_terms(market, slot)
    order = market.orders[at(slot)]
    return go_on_special(
        market,
        commands,
        index,
        slot,
        REPLACED,
        head_again(market, commands, index, slot),
        origin_again(market, commands, index, slot),
        (left << 32) | np.int64(command["price"]),
        (np.int64(order["executed"]), np.int64(order["decremented"])),
        np.int64(has_tags),
        source_next,
        ring,
        position,
        limit,
    )


@kernel
def replace(market, commands, index, follower, source, source_next, ring, position, limit):
    """OUCH U: a new price and total under a new number; priority is always lost.

    Outcomes (specification, Replace Order Request): ignored; the original cancelled and the
    number not used; rejected with the original untouched; replaced.
    """
    command = commands[at(index)]
    if not may_replace(market, commands, index, source):
        return _turn_down_replace(market, commands, index, source, source_next, ring, position)
    slot = np.int64(command["slot"])
    order = market.orders[at(slot)]
    chain = np.int64(order["executed"]), np.int64(order["decremented"])
    left = np.int64(command["quantity"])
    if not command["flags"] & FLAG_OPEN_QUANTITY:
        left -= chain[0] + chain[1]
    instrument = np.int64(order["instrument"])
    bad = price_fault(market, instrument, command["price"], max(1, left))
    if (command["flags"] | order["flags"]) & FLAG_TAGS or command["display"] == DISPLAY_HIDDEN:
        return _replace_special(
            market, commands, index, follower, slot, left, bad, source_next, ring, position, limit
        )
    remove(market, slot)
    if bad or left <= 0:
        return _cancel_replaced(market, command, slot, bad, source_next, ring, position)
    note_user_ref(market, command)
    return go_on(
        market,
        commands,
        index,
        slot,
        REPLACED,
        side_number(instrument, order["side"]),
        head_again(market, commands, index, slot),
        origin_again(market, commands, index, slot),
        (left << 32) | np.int64(command["price"]),
        chain,
        source_next,
        ring,
        position,
        limit,
    )
