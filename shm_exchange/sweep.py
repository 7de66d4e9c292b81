"""Kernel: an order meets the other side: trades, and what becomes of the rest.

Price, then displayed before hidden, then time. A sweep that does not fit into one part goes on in
the next, with no other command in between.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.beginning import carry_orders
from shm_exchange.book import end_order, remove, rest, side_number, take
from shm_exchange.day_end import ROLL, end_day
from shm_exchange.disconnect import cancel_orders
from shm_exchange.emit import emit_cancelled, emit_continued, emit_order, emit_trade, new_event
from shm_exchange.market import RESTING, WORKING
from shm_exchange.mass import MASS_CANCEL, cancel_chosen
from shm_exchange.messages import REASON_SYSTEM, Cause, Continuing, EventFlag, EventKind, Ignored
from shm_exchange.protection_cancels import PROTECTION, go_on_firing, protect
from shm_exchange.reserve_orders import emit_refresh
from shm_exchange.self_trade import avoid, guard_of, is_own

TIF_IOC = ord("3")
REASON_IOC = ord("I")
CAUSE_POISONED = int(Cause.POISONED)
IGNORED_POISONED = int(Ignored.POISONED)
IGNORED = int(EventKind.IGNORED)

SWEEP = int(Continuing.SWEEP)
CARRY = int(Continuing.CARRY)

RESTED = int(EventKind.RESTED)
DONE = int(EventFlag.DONE)
LONG_FORM = int(EventFlag.LONG_FORM)  # everything that does not answer `X`, `M` or `Q` has it
RESTS = int(EventFlag.RESTS)


@kernel
def crosses(market, price, number):
    """1 when an order of the side `number` would trade with the best price of the other."""
    other = market.sides[at(number ^ 1)]
    return 1 if other["best"] <= (price ^ other["mirror"]) else 0


@kernel
def sweep(market, slot, source_next, ring, position, limit):
    """Match a WORKING order against the other side, then rest or cancel what is left.

    Stops before `limit` with CONTINUED: the order goes on in the next batch, before any other
    command. Returns the position behind the last event.
    """
    order = market.orders[at(slot)]
    number = side_number(np.int64(order["instrument"]), order["side"]) ^ 1
    other = market.sides[at(number)]
    worst = np.int64(order["price"]) ^ other["mirror"]
    leaves = np.int64(order["leaves"])
    guard = guard_of(market, slot)
    while leaves > 0 and other["best"] <= worst:
        if position >= limit:
            order["leaves"] = order["displayed"] = leaves
            return emit_continued(market, slot, SWEEP, source_next, ring, position)
        level = market.levels[at(other["best_level"])]
        maker_slot = np.int64(level["first"])
        if maker_slot == 0:
            maker_slot = np.int64(level["hidden_first"])
        if guard and is_own(market, slot, maker_slot):
            position = avoid(market, slot, maker_slot, guard, source_next, ring, position)
            leaves = np.int64(order["leaves"])
            continue
        maker = market.orders[at(maker_slot)]
        quantity = min(leaves, np.int64(maker["displayed"]))
        leaves -= quantity
        order["leaves"] = leaves
        order["executed"] = order["executed"] + quantity
        maker["executed"] = maker["executed"] + quantity
        if quantity == maker["leaves"]:
            remove(market, maker_slot)
            end_order(market, maker_slot)
        else:
            take(market, maker_slot, quantity)
        emit_trade(market, maker_slot, slot, quantity, source_next, ring, position)
        position += 1
        if maker["displayed"] == 0 and maker["state"] == RESTING:
            position = emit_refresh(market, maker_slot, source_next, ring, position)
        if maker["protection_group"] | order["protection_group"]:
            position = protect(
                market, maker_slot, slot, quantity, source_next, ring, position, limit
            )
            if market.scalars[0]["continuing_kind"] != 0 or order["state"] != WORKING:
                return position
    order["displayed"] = leaves
    if leaves == 0:
        end_order(market, slot)
        return position
    if order["time_in_force"] == TIF_IOC:
        end_order(market, slot)
        flags = DONE | LONG_FORM
        emit_cancelled(market, slot, leaves, REASON_IOC, flags, source_next, ring, position)
        return position + 1
    rest(market, slot)
    event = emit_order(market, slot, RESTED, source_next, ring, position)
    event["quantity"] = leaves
    event["reference"] = order["reference"]
    event["leaves"] = leaves
    return position + 1


@cold_kernel
def resume(market, ring, position, limit):
    """Go on with the command that did not fit into a batch, by the writer or its successor."""
    scalars = market.scalars[0]
    slot = np.int64(scalars["continuing"])
    kind = np.int64(scalars["continuing_kind"])
    scalars["continuing"] = 0
    scalars["continuing_kind"] = 0
    source_next = np.int64(scalars["continuing_next"])
    if kind == SWEEP:
        return sweep(market, slot, source_next, ring, position, limit)
    if kind == CARRY:
        return carry_orders(market, slot, source_next, ring, position, limit)
    if kind == ROLL:
        return end_day(market, slot, source_next, ring, position, limit)
    if kind == MASS_CANCEL:
        return cancel_chosen(market, slot, source_next, ring, position, limit)
    if kind == PROTECTION:
        position = go_on_firing(market, slot, source_next, ring, position, limit)
        if scalars["continuing_kind"] != 0 or market.orders[at(slot)]["state"] != WORKING:
            return position
        return sweep(market, slot, source_next, ring, position, limit)
    return cancel_orders(market, slot, source_next, ring, position, limit)


@cold_kernel
def give_up(market, ring, position):
    """End a command that has ended two matchers in a later part: one event that says so.

    What is left of an order that was being matched is taken back. What a cancel of many orders had
    not reached yet stays in the market: nobody knows which order it was that could not be
    withdrawn.
    """
    scalars = market.scalars[0]
    slot = np.int64(scalars["continuing"])
    kind = np.int64(scalars["continuing_kind"])
    source_next = np.int64(scalars["continuing_next"])
    scalars["continuing"] = 0
    scalars["continuing_kind"] = 0
    order = market.orders[at(slot)]
    leaves = np.int64(order["leaves"])
    is_matched = (kind == SWEEP or kind == PROTECTION) and order["state"] == WORKING
    if is_matched:
        end_order(market, slot)
    if not is_matched or leaves == 0:
        event = new_event(market, ring, position, IGNORED, source_next)
        event["reason"] = IGNORED_POISONED
        event["slot"] = slot
        return position + 1
    flags = DONE | LONG_FORM
    reason = REASON_SYSTEM
    event = emit_cancelled(market, slot, leaves, reason, flags, source_next, ring, position)
    event["cause"] = CAUSE_POISONED
    return position + 1
