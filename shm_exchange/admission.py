"""Kernel: may this command do this now? What the matcher checks, whoever sent the command.

A gateway has checked most of it before; what could hurt somebody else is checked here again.
"""

import numpy as np

from ringbuf.bits import at, is_within
from ringbuf.jit import cold_kernel, kernel
from ringbuf.whole_record import part_of_word, read_word
from shm_exchange.book import add_to_hash, user_ref_weight
from shm_exchange.market import FREE, RESTING, SESSION
from shm_exchange.messages import COMMAND, SLOT_BITS, SLOT_INDEX_MASK, Ignored, Reject
from shm_exchange.price_tree import has_pages

STATE_OPEN = ord("T")
# A session's word that says whom the matcher listens to: its generation, where it is logged in, and
# whether it may enter orders.
_SOURCE = 8 * (SESSION.offset_of("gateway") % 8)
_CONNECTED = 1 << 8 * (SESSION.offset_of("connected") % 8)
LOGGED_IN = part_of_word(SESSION.dtype, "generation:connected")
ABLE = part_of_word(SESSION.dtype, "generation:disabled")
WHO = part_of_word(COMMAND.dtype, "session", "user_ref_index")  # also an order's

STALE_GENERATION = int(Ignored.STALE_GENERATION)
UNKNOWN_SESSION = int(Ignored.UNKNOWN_SESSION)
INVALID_PRICE = int(Reject.INVALID_PRICE)
INVALID_QUANTITY = int(Reject.INVALID_QUANTITY)
NO_CAPACITY = int(Reject.NO_CAPACITY)


@kernel
def session_fault(market, command, source):
    """0, or why a command of this session from this source is ignored."""
    session = np.int64(command["session"])
    if session >= len(market.sessions):
        return UNKNOWN_SESSION
    row = market.sessions[at(session)]
    if row["generation"] != command["generation"] or row["connected"] == 0:
        return STALE_GENERATION
    if row["gateway"] != source:
        return UNKNOWN_SESSION
    return 0


@kernel
def speaks(market, command, source, what):
    """1 when `session_fault` is 0. what: LOGGED_IN, or ABLE: and it may enter orders."""
    session = np.int64(command["session"])
    if session >= len(market.sessions):
        return 0
    expected = np.int64(command["generation"]) | source << _SOURCE | _CONNECTED
    return 1 if read_word(market.sessions, session, "generation") & what == expected else 0


@kernel
def is_unused(market, command):
    """1 when the command's UserRefNum is above the session's last one."""
    row = np.int64(command["session"]) * 256 + np.int64(command["user_ref_index"])
    return 1 if command["user_ref"] > market.user_refs[at(row)] else 0


@kernel
def note_user_ref(market, command):
    """Make the command's UserRefNum, which `is_unused`, the session's last one."""
    row = np.int64(command["session"]) * 256 + np.int64(command["user_ref_index"])
    last = np.int64(market.user_refs[at(row)])
    number = np.int64(command["user_ref"])
    market.user_refs[at(row)] = number
    add_to_hash(market, user_ref_weight(row), number - last)


@kernel
def use_user_ref(market, command):
    """`note_user_ref`, or 0 when it was used before."""
    if not is_unused(market, command):
        return 0
    note_user_ref(market, command)
    return 1


@kernel
def is_live(market, commands, index, user_ref):
    """1 when the slot of `commands[index]` holds a resting order of its session as `user_ref`.

    Slot 0 never holds one.
    """
    slot = np.int64(commands[at(index)]["slot"])
    if not is_within(slot, len(market.orders)):
        return 0
    order = market.orders[at(slot)]
    if order["state"] != RESTING or order["user_ref"] != user_ref:
        return 0
    other = read_word(market.orders, slot, "session") ^ read_word(commands, index, "session")
    return 1 if other & WHO == 0 else 0


@kernel
def is_offered(market, slot, source):
    """1 when the slot is the source's own and holds no order. source: not 0, which owns none.

    The limit of slots binds those that were never used.
    """
    number = slot - (source << SLOT_BITS)
    if not is_within(number, np.int64(market.gateways[at(source)]["slots_high_water"])):
        if not is_within(number, np.int64(market.scalars[0]["slots_per_gateway"])):
            return 0
    return 1 if market.orders[at(slot)]["state"] == FREE else 0


@cold_kernel
def _claim_unused(market, slot, source):
    if not is_offered(market, slot, source):
        return 0
    count_slot(market, source, slot)
    return 1


@kernel
def claim(market, slot, source):
    """`is_offered`, and if it is: `count_slot`. One question when the slot was used before."""
    number = slot - (source << SLOT_BITS)
    if not is_within(number, np.int64(market.gateways[at(source)]["slots_high_water"])):
        return np.int64(_claim_unused(market, slot, source))
    return 1 if market.orders[at(slot)]["state"] == FREE else 0


@kernel
def count_slot(market, source, slot):
    """An order of `source` lives in `slot`: beyond `slots_high_water` there never was one."""
    gateway = market.gateways[at(source)]
    number = slot & SLOT_INDEX_MASK
    if number >= gateway["slots_high_water"]:
        gateway["slots_high_water"] = number + 1


@kernel
def price_fault(market, instrument, price, quantity):
    """0, or the reject code of a price or a quantity outside the instrument's limits."""
    row = market.instruments[at(instrument)]
    if price < row["price_min"] or price > row["price_max"]:
        return INVALID_PRICE
    if not is_within(quantity - 1, np.int64(row["quantity_max"])):
        return INVALID_QUANTITY
    if not has_pages(market):
        return NO_CAPACITY
    return 0


@kernel
def may_enter(market, command, source):
    """1 when an ENTER is accepted, if its slot is free and its tags are good."""
    if not speaks(market, command, source, ABLE) or not is_unused(market, command):
        return 0
    instrument = np.int64(command["instrument"])
    if instrument >= len(market.instruments):
        return 0
    if market.instruments[at(instrument)]["state"] != STATE_OPEN:
        return 0
    fault = price_fault(market, instrument, command["price"], np.int64(command["quantity"]))
    return 0 if fault else 1


@kernel
def may_replace(market, commands, index, source):
    """1 when a REPLACE has an effect on its original; else somebody must find out why."""
    command = commands[at(index)]
    if not speaks(market, command, source, ABLE) or not is_unused(market, command):
        return 0
    if command["reason"] or not is_live(market, commands, index, command["original_user_ref"]):
        return 0
    order = market.orders[at(np.int64(command["slot"]))]
    return 1 if market.instruments[at(np.int64(order["instrument"]))]["state"] == STATE_OPEN else 0
