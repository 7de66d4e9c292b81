"""Kernel: a protection fires: its trigger is told and the group's orders leave the market.

The execution, the trigger and the cancels follow each other with no other command in between; what
does not fit into one part goes on in the next. Then the order that had met the group goes on, and
finds nothing of it.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.book import end_order
from shm_exchange.emit import emit_cancelled, emit_continued, new_event
from shm_exchange.market import PROTECTION_BLOCK, WORKING
from shm_exchange.messages import NONE, REASON_SYSTEM, Cause, Continuing, EventFlag, EventKind
from shm_exchange.protection import (
    MICROSECOND,
    count_execution,
    freeze,
    is_frozen,
    limit_reached,
    row_of_order,
)
from shm_exchange.session_orders import following
from shm_exchange.withdrawal import withdraw

PROTECTION_FIRED = int(EventKind.PROTECTION_FIRED)
PROTECTION = int(Continuing.PROTECTION)
CAUSE_PROTECTION = int(Cause.PROTECTION)
DONE = int(EventFlag.DONE)
LONG_FORM = int(EventFlag.LONG_FORM)


@cold_kernel
def _emit_fired(market, row, source_next, ring, position):
    each = market.protections[at(row)]
    event = new_event(market, ring, position, PROTECTION_FIRED, source_next)
    event["slot"] = row
    event["session"] = each["session"]
    event["group_id"] = each["group_id"]
    event["instrument"] = each["instrument"]
    event["reason"] = limit_reached(market, row)
    event["executions"] = each["executions"]
    event["quantity"] = each["quantity"]
    event["price"] = each["net"]
    event["frozen_us"] = each["frozen_ns"] // MICROSECOND
    freeze(market, row)
    event["frozen_until_ns"] = each["frozen_until_ns"]
    return position + 1


@cold_kernel
def _withdraw_group(market, row, slot, source_next, ring, position, limit):
    """Cancel the resting orders that protection `row` counts, the one that rests longest first.

    slot: of the order that is being matched. Stops before `limit` with CONTINUED.
    """
    session = np.int64(market.protections[at(row)]["session"])
    group = row % PROTECTION_BLOCK + 1
    each = following(market.session_links, session, 0)
    while each != 0:
        behind = following(market.session_links, session, each)
        if market.orders[at(each)]["protection_group"] == group:
            if position >= limit:
                return emit_continued(market, slot, PROTECTION, source_next, ring, position)
            withdraw(market, each, REASON_SYSTEM, CAUSE_PROTECTION, source_next, ring, position)
            position += 1
        each = behind
    return position


@cold_kernel
def _end_frozen(market, slot, source_next, ring, position):
    """What is left of the order in `slot` goes too if it is of a frozen group."""
    order = market.orders[at(slot)]
    leaves = np.int64(order["leaves"])
    row = row_of_order(market, order)
    if order["state"] != WORKING or leaves == 0 or row == NONE or not is_frozen(market, row):
        return position
    end_order(market, slot)
    flags = DONE | LONG_FORM
    reason = REASON_SYSTEM
    event = emit_cancelled(market, slot, leaves, reason, flags, source_next, ring, position)
    event["cause"] = CAUSE_PROTECTION
    return position + 1


@cold_kernel
def _fire(market, slot, source_next, ring, position, limit):
    """Fire every protection that is due, by row; the order in `slot` is being matched.

    An order with a minimum gets that first: nobody is withdrawn from under it.
    """
    scalars = market.scalars[0]
    order = market.orders[at(slot)]
    if order["executed"] < order["previous"]:
        return position
    while scalars["protections_due"] != 0:
        if position >= limit:
            return emit_continued(market, slot, PROTECTION, source_next, ring, position)
        row = np.int64(scalars["protection_due"])
        position = _emit_fired(market, row, source_next, ring, position)
        position = _withdraw_group(market, row, slot, source_next, ring, position, limit)
        if scalars["continuing_kind"] != 0:
            return position
    return _end_frozen(market, slot, source_next, ring, position)


@cold_kernel
def protect(market, maker_slot, slot, quantity, source_next, ring, position, limit):
    """After a trade with an order that has a protection: count it, and fire what is due.

    slot: the taker's. Afterwards it may be cancelled, or the command CONTINUED.
    """
    count_execution(market, maker_slot, slot, quantity)
    if market.scalars[0]["protections_due"] == 0:
        return position
    order = market.orders[at(slot)]
    order["displayed"] = order["leaves"]
    return _fire(market, slot, source_next, ring, position, limit)


@cold_kernel
def go_on_firing(market, slot, source_next, ring, position, limit):
    """Finish in another part what `protect` began for the order in `slot`."""
    row = np.int64(market.scalars[0]["protection_fired"])
    if row != 0 and is_frozen(market, row):
        position = _withdraw_group(market, row, slot, source_next, ring, position, limit)
        if market.scalars[0]["continuing_kind"] != 0:
            return position
    return _fire(market, slot, source_next, ring, position, limit)
