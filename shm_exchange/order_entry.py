"""Kernel: an order as it is when it begins, and the event that says so.

Both are written word by word, and the event's terms are copied from the command: these are the two
records of every order, and a store per field would fill the store buffer
(docs/decisions/0019-records-are-written-by-words.md).
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import kernel
from ringbuf.whole_record import copy_words, write_words
from shm_exchange.emit import HIDDEN, KEPT
from shm_exchange.market import WORKING
from shm_exchange.messages import COMMAND, CommandFlag, EventKind

REPLACED = int(EventKind.REPLACED)
STAYS = int(CommandFlag.STAY_ON_DISCONNECT)
LEAVES = int(CommandFlag.LEAVES_ON_DISCONNECT)
GTC = int(CommandFlag.GTC)
DISPLAY_HIDDEN, TIF_DAY = ord("N"), ord("0")
TERMS = COMMAND.offset_of("price") // 8  # words from here on are the same in COMMAND and EVENT
TERMS_COUNT = COMMAND.size // 8 - TERMS


@kernel
def begin(market, commands, index, slot, origin, lost, kind, quantity, source_next, ring, position):
    """The order in `slot`, WORKING and in no queue, and the event that says so, at `position`.

    origin: its side, instrument and capacity, which a replacement does not change. lost: lots of
    the chain that were executed, and decremented. Nothing is left of who was in `slot` before. The
    event has the command's quantity and capacity, and its original_user_ref.
    """
    command = commands[at(index)]
    executed, decremented = lost
    side, instrument, capacity = origin
    price, user_ref, display = command["price"], command["user_ref"], command["display"]
    kept = command["flags"] & KEPT
    place = position & (len(ring.records) - 1)
    event = ring.records[at(place)]
    write_words(
        ring.records,
        place,
        3,
        "kind flags side instrument source_next time_ns",
        (kind, kept, side, instrument, source_next, market.scalars[0]["stamp_ns"]),
    )
    copy_words(ring.records, place, commands, index, TERMS, TERMS_COUNT)
    write_words(
        market.orders,
        slot,
        8,
        "reference price leaves displayed executed decremented user_ref session instrument side"
        " state user_ref_index flags time_in_force display capacity",
        (
            position,
            price,
            quantity,
            quantity,
            executed,
            decremented,
            user_ref,
            command["session"],
            instrument,
            side,
            WORKING,
            command["user_ref_index"],
            kept | (HIDDEN if display == DISPLAY_HIDDEN else 0),
            command["time_in_force"],
            display,
            capacity,
        ),
    )
    return event


@kernel
def _inherited(order, command):
    """Flags that a replacement has because it does not say otherwise (OUCH 5.0, `U`)."""
    flags = np.int64(order["flags"]) & (STAYS | GTC)
    if command["flags"] & LEAVES:
        flags &= ~STAYS
    return flags if command["time_in_force"] == TIF_DAY else flags & ~GTC


@kernel
def begin_again(market, commands, index, slot, left, source_next, ring, position):
    """The order in `slot` is replaced: the same chain, of which `left` lots are open."""
    order = market.orders[at(slot)]
    lost = np.int64(order["executed"]), np.int64(order["decremented"])
    origin = order["side"], order["instrument"], order["capacity"]
    inherited = _inherited(order, commands[at(index)])
    event = begin(
        market, commands, index, slot, origin, lost, REPLACED, left, source_next, ring, position
    )
    event["flags"] |= inherited
    order["flags"] |= inherited
    event["quantity"] = left
    event["capacity"] = origin[2]
    return event
