"""Kernel: an order as it is when it begins, and the event that says so.

Both are written word by word, and what they share with the command is copied from it: these are the
two records of every order, and a store per field would fill the store buffer
(docs/decisions/0019-records-are-written-by-words.md).
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import kernel
from ringbuf.whole_record import copy_words, part_of_word, read_word, write_words
from shm_exchange.emit import FLAGS_SHIFT, HEAD, HIDDEN, KEPT, ORIGIN, PLACE
from shm_exchange.market import ORDER, RESTING
from shm_exchange.messages import COMMAND, CommandFlag, EventFlag

STAYS = int(CommandFlag.STAY_ON_DISCONNECT)
LEAVES = int(CommandFlag.LEAVES_ON_DISCONNECT)
GTC = int(CommandFlag.GTC)
DISPLAY_HIDDEN, TIF_DAY = ord("N"), ord("0")
WAYS = part_of_word(COMMAND.dtype, "time_in_force", "display")  # also of an event; an order's head
_HIDDEN = HIDDEN << 8 * (ORDER.offset_of("flags") % 8)
_KEPT = KEPT << FLAGS_SHIFT
_RESTS = int(EventFlag.RESTS) << FLAGS_SHIFT


@kernel
def hidden_flag(display):
    """HIDDEN, as a head has it, of an order that is; else 0."""
    return _HIDDEN if display == DISPLAY_HIDDEN else 0


@kernel
def set_order(market, slot, state, reference, head, user_ref, origin, terms, ways, chain, queued):
    """The order in `slot`, as a whole: nothing is left of who was there before.

    Words as a COMMAND or EVENT has them, each where the field that it is named by lies there:

    head: flags that last, side and instrument, and nothing else.
    user_ref: UserRefNum in the upper half; the lower half is passed over.
    origin: session, channel and capacity; the upper half is passed over.
    terms: price, and the leaves as quantity.
    ways: time in force and display; the rest is passed over.

    chain: lots that were executed, and decremented. queued: the order before it, and its level; of
    a WORKING one 0 and 0.
    """
    executed, decremented = chain
    before, level = queued
    write_words(
        market.orders,
        slot,
        8,
        "reference state:display price:leaves user_ref session:capacity executed previous level"
        " displayed decremented",
        (
            reference,
            head | state | (ways & WAYS),
            terms,
            user_ref >> 32,
            origin,
            executed,
            before,
            level,
            terms >> 32,
            decremented,
        ),
    )


@kernel
def begin(
    market,
    commands,
    index,
    slot,
    kind,
    head,
    origin,
    terms,
    chain,
    state,
    queued,
    source_next,
    ring,
    position,
):
    """The order of an ENTER or REPLACE, as `set_order` says, and its event, at `position`.

    kind: ACCEPTED or REPLACED. origin: with the UserRefNum of the order that is replaced, in its
    upper half. state: RESTING when it is known that the order will rest. Returns the event.
    """
    user_ref = read_word(commands, index, "user_ref")
    ways = read_word(commands, index, "display")
    place = position & (len(ring.records) - 1)
    write_words(
        ring.records,
        place,
        6,
        "kind:reason source_next time_ns price:quantity slot:user_ref session:original_user_ref",
        (
            head & HEAD | kind | (_RESTS if state == RESTING else 0),
            source_next,
            market.scalars[0]["stamp_ns"],
            terms,
            user_ref,
            origin,
        ),
    )
    copy_words(ring.records, place, commands, index, 6, 2)
    set_order(market, slot, state, position, head, user_ref, origin, terms, ways, chain, queued)
    return ring.records[at(place)]


@kernel
def head_of(commands, index):
    """Flags that last, side and instrument of an ENTER, where a record's first word has them."""
    return read_word(commands, index, "kind") & HEAD


@kernel
def origin_of(commands, index):
    """Session, channel and capacity of an ENTER, where a record's sixth word has them."""
    return read_word(commands, index, "session") & ORIGIN


@kernel
def _inherited(order, command):
    """Flags that a replacement has because it does not say otherwise (OUCH 5.0, `U`)."""
    flags = np.int64(order["flags"]) & (STAYS | GTC)
    if command["flags"] & LEAVES:
        flags &= ~STAYS
    return flags if command["time_in_force"] == TIF_DAY else flags & ~GTC


@kernel
def head_again(market, commands, index, slot):
    """`head_of` a REPLACE of the order in `slot`: side and instrument stay."""
    inherited = _inherited(market.orders[at(slot)], commands[at(index)]) << FLAGS_SHIFT
    head = read_word(commands, index, "kind") & _KEPT | inherited
    return head | (read_word(market.orders, slot, "side") & PLACE)


@kernel
def origin_again(market, commands, index, slot):
    """`origin_of` a REPLACE of the order in `slot`: the capacity stays."""
    replaced = read_word(commands, index, "session") & ~ORIGIN
    return replaced | (read_word(market.orders, slot, "session") & ORIGIN)
