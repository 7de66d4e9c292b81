"""Kernel: an order that is admitted, by ENTER or REPLACE, begins and meets the book."""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from ringbuf.whole_record import read_word
from shm_exchange.book import USER_REF, rest_on, rest_plain, side_number
from shm_exchange.emit import FLAGS_SHIFT
from shm_exchange.market import RESTING, WORKING
from shm_exchange.messages import EventFlag
from shm_exchange.order_entry import begin, hidden_flag
from shm_exchange.order_tags import SHARES_AHEAD_ASKED, emit_tags, keep_tags
from shm_exchange.order_terms import cancel_at_entry, entry_fate, take_terms
from shm_exchange.shares_ahead import say_shares_ahead
from shm_exchange.sweep import TIF_IOC, crosses, sweep

RESTS = int(EventFlag.RESTS)


@kernel
def go_on(
    market,
    commands,
    index,
    slot,
    kind,
    number,
    head,
    origin,
    terms,
    chain,
    source_next,
    ring,
    position,
    limit,
):
    """The order begins, with nothing SPECIAL; it rests, or trades. What is asked is in registers.

    As `begin`; returns the position behind the events.
    """
    command = commands[at(index)]
    if command["time_in_force"] == TIF_IOC or crosses(market, np.int64(command["price"]), number):
        begin(
            market,
            commands,
            index,
            slot,
            kind,
            head,
            origin,
            terms,
            chain,
            WORKING,
            (np.int64(0), np.int64(0)),
            source_next,
            ring,
            position,
        )
        return sweep(market, slot, source_next, ring, position + 1, limit)
    flags = (head >> FLAGS_SHIFT) & 0xFF
    user_ref = read_word(commands, index, "user_ref") & USER_REF
    session = origin & 0xFFFF
    queued = rest_plain(market, number, slot, position, flags, terms, user_ref, session)
    begin(
        market,
        commands,
        index,
        slot,
        kind,
        head,
        origin,
        terms,
        chain,
        RESTING,
        queued,
        source_next,
        ring,
        position,
    )
    return position + 1


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


@cold_kernel
def _enter_into_book(market, slot, event, source_next, ring, position, limit):
    """Rest the order at once, or let it trade. `event` (ACCEPTED, REPLACED) says which it did."""
    order = market.orders[at(slot)]
    number = side_number(np.int64(order["instrument"]), order["side"])
    if order["time_in_force"] != TIF_IOC and not crosses(market, np.int64(order["price"]), number):
        rest_on(market, number, slot)
        event["flags"] |= RESTS
        return position
    return sweep(market, slot, source_next, ring, position, limit)


@cold_kernel
def go_on_special(
    market,
    commands,
    index,
    slot,
    kind,
    head,
    origin,
    terms,
    chain,
    has_tags,
    source_next,
    ring,
    position,
    limit,
):
    """`go_on` with an order that has tags, in the scratch row, or is hidden."""
    head |= hidden_flag(commands[at(index)]["display"])
    event = begin(
        market,
        commands,
        index,
        slot,
        kind,
        head,
        origin,
        terms,
        chain,
        WORKING,
        (np.int64(0), np.int64(0)),
        source_next,
        ring,
        position,
    )
    position += 1
    if has_tags:
        fate = _begin_with_tags(market, slot, event, ring, position)
        position += 1
        if fate:
            return cancel_at_entry(market, slot, fate, source_next, ring, position)
    return _enter_into_book(market, slot, event, source_next, ring, position, limit)
