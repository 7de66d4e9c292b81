"""Kernel: OUCH O: an order enters, rests or trades, or is turned down with a reason.

The common case is one question whose answer is yes; whoever gets a no finds out why elsewhere.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from ringbuf.whole_record import read_word
from shm_exchange.admission import (
    STATE_OPEN,
    claim,
    count_slot,
    is_offered,
    may_enter,
    note_user_ref,
    price_fault,
    session_fault,
    use_user_ref,
)
from shm_exchange.book import side_number
from shm_exchange.emit import emit_ignored, emit_rejected
from shm_exchange.messages import CommandFlag, EventFlag, EventKind, Ignored, Reject
from shm_exchange.order_entry import DISPLAY_HIDDEN, head_of, origin_of
from shm_exchange.order_tags import load_tags
from shm_exchange.order_terms import tags_fault
from shm_exchange.starting import go_on, go_on_special

FLAG_TAGS = int(CommandFlag.TAGS)
ACCEPTED = int(EventKind.ACCEPTED)
SLOT_RETURNED = int(EventFlag.SLOT_RETURNED)
USER_REF_USED = int(Ignored.USER_REF_USED)
INVALID_SLOT = int(Reject.INVALID_SLOT)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
HALTED = int(Reject.HALTED)
ENTRY_DISABLED = int(Reject.ENTRY_DISABLED)


@cold_kernel
def _entry_fault(market, commands, command, follower):
    """0, or the reject code of an order that its session may enter."""
    instrument = np.int64(command["instrument"])
    if instrument >= len(market.instruments):
        return INVALID_SYMBOL
    if market.sessions[at(np.int64(command["session"]))]["disabled"] != 0:
        return ENTRY_DISABLED
    if market.instruments[at(instrument)]["state"] != STATE_OPEN:
        return HALTED
    code = price_fault(market, instrument, command["price"], np.int64(command["quantity"]))
    if code == 0 and command["flags"] & FLAG_TAGS:
        return _tagged_fault(market, commands, command, follower)
    return code


@cold_kernel
def _tagged_fault(market, commands, command, follower):
    """Put the order's tags into the scratch row: 0, or the reject code of what they say."""
    load_tags(market, commands, follower)
    return tags_fault(market, command, np.int64(command["instrument"]), 0)


@cold_kernel
def _turn_down(market, commands, command, follower, source, source_next, ring, position):
    """Say why an ENTER is not accepted; the position behind the event."""
    fault = session_fault(market, command, source)
    if not fault and not use_user_ref(market, command):
        fault = USER_REF_USED
    slot_is_free = is_offered(market, np.int64(command["slot"]), source)
    returned = SLOT_RETURNED if slot_is_free else 0
    if fault:
        return emit_ignored(market, command, fault, returned, source_next, ring, position)
    code = INVALID_SLOT
    if slot_is_free:
        code = np.int64(_entry_fault(market, commands, command, follower))
    return emit_rejected(market, command, code, returned, source_next, ring, position)


@cold_kernel
def enter_special(market, commands, index, follower, source, source_next, ring, position, limit):
    """`enter` of an order that has tags or is hidden."""
    command = commands[at(index)]
    has_tags = command["flags"] & FLAG_TAGS
    slot = np.int64(command["slot"])
    is_free = is_offered(market, slot, source)
    is_good = is_free and may_enter(market, command, source)
    if not is_good or (has_tags and _tagged_fault(market, commands, command, follower)):
        return _turn_down(market, commands, command, follower, source, source_next, ring, position)
    note_user_ref(market, command)
    count_slot(market, source, slot)
    return go_on_special(
        market,
        commands,
        index,
        slot,
        ACCEPTED,
        head_of(commands, index),
        origin_of(commands, index),
        read_word(commands, index, "price"),
        (np.int64(0), np.int64(0)),
        np.int64(has_tags),
        source_next,
        ring,
        position,
        limit,
    )


@kernel
def enter(market, commands, index, follower, source, source_next, ring, position, limit):
    """OUCH O, of an order without tags."""
    command = commands[at(index)]
    if command["display"] == DISPLAY_HIDDEN:
        return enter_special(
            market, commands, index, follower, source, source_next, ring, position, limit
        )
    slot = np.int64(command["slot"])
    if not may_enter(market, command, source) or not claim(market, slot, source):
        return _turn_down(market, commands, command, follower, source, source_next, ring, position)
    note_user_ref(market, command)
    return go_on(
        market,
        commands,
        index,
        slot,
        ACCEPTED,
        side_number(np.int64(command["instrument"]), command["side"]),
        head_of(commands, index),
        origin_of(commands, index),
        read_word(commands, index, "price"),
        (np.int64(0), np.int64(0)),
        source_next,
        ring,
        position,
        limit,
    )
