"""Kernel: what an order with tags asks for when it enters: minimum, post-only, reserve, expiry.

The market's rules for what OUCH leaves to the venue are in docs/protocols.md. `take_terms` is also
what a replica does with the event; the others decide, and only the matcher does that.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.book import HIDDEN, RESERVE, best_price, end_order, side_number
from shm_exchange.emit import emit_cancelled
from shm_exchange.expiry import NANOSECONDS, TOP, add_expiry, drop_expiry, has_expiry_room
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    NONE,
    SOURCE_MATCHER,
    Cause,
    EventFlag,
    Reject,
)
from shm_exchange.order_tags import (
    POST_ONLY,
    POST_ONLY_REJECT,
    SCRATCH,
    TAGS,
    TIF_GTT,
    clear_tags,
    inherit_tags,
    load_tags,
)
from shm_exchange.protection import HAS_MINIMUM, is_frozen, join_group, protecting
from shm_exchange.queues import available
from shm_exchange.quotes import keep_quote
from shm_exchange.self_trade import available_of_others, guard_of
from shm_exchange.sweep import REASON_IOC, TIF_IOC, crosses
from shm_exchange.withdrawal import withdraw

POSTS, REJECTS = ord("P"), ord("R")  # tags 12 and 129
REASON_WOULD_CROSS = ord("G")
REASON_TIMEOUT = ord("T")
CAUSE_EXPIRY = int(Cause.EXPIRY)
SIDE_BUY = ord("B")
DONE = int(EventFlag.DONE)
LONG_FORM = int(EventFlag.LONG_FORM)
INVALID_TIME_IN_FORCE = int(Reject.INVALID_TIME_IN_FORCE)
INVALID_MIN_QUANTITY = int(Reject.INVALID_MIN_QUANTITY)
NO_CAPACITY = int(Reject.NO_CAPACITY)
PROTECTION_FROZEN = int(Reject.PROTECTION_FROZEN)


@cold_kernel
def tags_fault(market, command, instrument, has_expiry):
    """0, or the reject code of the tags in the scratch row, together with their command.

    instrument: of the order; has_expiry: 1 when it has a place among those that end at a time.
    """
    tags = market.tags[SCRATCH]
    if command["time_in_force"] == TIF_GTT:
        if tags["expire_seconds"] <= 0:
            return INVALID_TIME_IN_FORCE
        if has_expiry == 0 and not has_expiry_room(market):
            return NO_CAPACITY
    if tags["minimum_quantity"] > 0 and command["time_in_force"] != TIF_IOC:
        return INVALID_MIN_QUANTITY
    row = NONE
    if tags["group_id"] != 0:
        session = np.int64(command["session"])
        row = protecting(market, session, np.int64(tags["group_id"]), instrument)
    return PROTECTION_FROZEN if row != NONE and is_frozen(market, row) else 0


@cold_kernel
def replacement_fault(market, slot, commands, index, follower):
    """Put what the order in `slot` will have into the scratch row, said now or inherited: a fault.

    Returns 0 when the replacement may have it.
    """
    command = commands[at(index)]
    order = market.orders[at(slot)]
    if command["flags"] & TAGS:
        load_tags(market, commands, follower)
    else:
        clear_tags(market)
    if order["flags"] & TAGS:
        inherit_tags(market, slot, command)
    has_expiry = 1 if order["expiry"] != 0 else 0
    return tags_fault(market, command, np.int64(order["instrument"]), has_expiry)


@cold_kernel
def take_terms(market, slot):
    """Make the order in `slot`, which has just got its tags, what they say it is."""
    order = market.orders[at(slot)]
    tags = market.tags[at(slot)]
    floor = np.int64(tags["display_quantity"])
    if 0 < floor < order["leaves"] and not order["flags"] & HIDDEN:
        order["display_quantity"] = floor
        order["flags"] |= RESERVE
    if order["time_in_force"] == TIF_GTT:
        lifetime = np.int64(tags["expire_seconds"]) * NANOSECONDS
        add_expiry(market, slot, market.scalars[0]["stamp_ns"] + lifetime)
    if tags["group_id"] != 0:
        join_group(market, slot, np.int64(tags["group_id"]))
    wanted = min(np.int64(tags["minimum_quantity"]), np.int64(order["leaves"]))
    if wanted > 0:
        order["previous"] = order["executed"] + wanted
        order["protection_group"] |= HAS_MINIMUM
    if tags["quote_id"] != 0:
        keep_quote(market, slot)


@cold_kernel
def release_terms(market, slot):
    """Of an order that is replaced: the next one says anew what it is."""
    order = market.orders[at(slot)]
    order["display_quantity"] = 0
    order["protection_group"] = 0
    if order["expiry"]:
        drop_expiry(market, slot)


@cold_kernel
def entry_fate(market, slot):
    """0, or the reason for which the order in `slot` is cancelled as soon as it is accepted.

    A post-only order that would cross gets the nearest price that does not.
    """
    order = market.orders[at(slot)]
    tags = market.tags[at(slot)]
    present = np.int64(tags["present"])
    rejects = present & POST_ONLY_REJECT and tags["post_only_reject"] == REJECTS
    posts = rejects or (present & POST_ONLY and tags["post_only"] == POSTS)
    number = side_number(np.int64(order["instrument"]), order["side"])
    if posts and crosses(market, np.int64(order["price"]), number):
        if rejects:
            return REASON_WOULD_CROSS
        instrument = market.instruments[at(np.int64(order["instrument"]))]
        price = best_price(market, number ^ 1) + (-1 if order["side"] == SIDE_BUY else 1)
        if price < instrument["price_min"] or price > instrument["price_max"]:
            return REASON_WOULD_CROSS
        order["price"] = price
    wanted = min(np.int64(tags["minimum_quantity"]), np.int64(order["leaves"]))
    if wanted > 0 and _fillable(market, slot, wanted) < wanted:
        return REASON_IOC
    return 0


@cold_kernel
def _fillable(market, slot, wanted):
    """Lots that the order could trade at once, with nobody but others."""
    guard = guard_of(market, slot)
    if guard:
        return available_of_others(market, slot, guard, wanted)
    return available(market, slot, wanted)


@cold_kernel
def cancel_at_entry(market, slot, reason, source_next, ring, position):
    """CANCELLED of an order that was accepted and never was in the book."""
    leaves = np.int64(market.orders[at(slot)]["leaves"])
    end_order(market, slot)
    flags = DONE | LONG_FORM
    emit_cancelled(market, slot, leaves, reason, flags, source_next, ring, position)
    return position + 1


@cold_kernel
def expire_next(market, now_ns, ring, position):
    """End the order that is due first: a command of the matcher's own. The position behind."""
    scalars = market.scalars[0]
    slot = np.int64(market.expiries[at(TOP)]["slot"])
    gateway = market.gateways[at(SOURCE_MATCHER)]
    gateway["command_next"] = gateway["command_next"] + 1
    source_next = (SOURCE_MATCHER << COMMAND_NEXT_BITS) | np.int64(gateway["command_next"])
    scalars["stamp_ns"] = now_ns
    withdraw(market, slot, REASON_TIMEOUT, CAUSE_EXPIRY, source_next, ring, position)
    scalars["position"] = position + 1
    return position + 1
