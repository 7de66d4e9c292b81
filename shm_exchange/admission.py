"""Kernel: may this command do this now? What the matcher checks, whoever sent the command.

A gateway has checked most of it before; what could hurt somebody else is checked here again.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import kernel
from shm_exchange.book import add_to_hash, user_ref_weight
from shm_exchange.market import FREE, RESTING
from shm_exchange.messages import SLOT_BITS, SLOT_INDEX_MASK, SOURCE_MATCHER, Ignored, Reject
from shm_exchange.price_tree import has_pages

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
def is_offered(market, slot, source):
    """1 when the slot is the source's own and holds no order."""
    if slot >> SLOT_BITS != source or source == SOURCE_MATCHER:
        return 0
    if slot & SLOT_INDEX_MASK >= market.scalars[0]["slots_per_gateway"]:
        return 0
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
    if quantity < 1 or quantity > row["quantity_max"]:
        return INVALID_QUANTITY
    if not has_pages(market):
        return NO_CAPACITY
    return 0
