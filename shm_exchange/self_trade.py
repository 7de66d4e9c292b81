"""Kernel: orders that do not trade with their owner (docs/protocols.md, self-trade prevention).

The order that comes in decides: private tags 131 (mode) and 132 (group), else its session's
configuration. A resting order only says whose it is: its session, firm and group. A group is of a
firm; of a session that has none, of the session.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.book import HIDDEN, end_order, remove, side_number, take
from shm_exchange.emit import emit_cancelled, emit_trade
from shm_exchange.market import RESTING
from shm_exchange.messages import BLANK_FIRM, Cause, EventFlag, EventKind, SelfTrade
from shm_exchange.order_tags import SELF_TRADE_GROUP, SELF_TRADE_MODE, TAGS
from shm_exchange.queues import behind, first_within
from shm_exchange.reserve_orders import emit_refresh
from shm_exchange.withdrawal import withdraw

CANCEL_RESTING = int(SelfTrade.CANCEL_RESTING)
CANCEL_INCOMING = int(SelfTrade.CANCEL_INCOMING)
DECREMENT_BOTH = int(SelfTrade.DECREMENT_BOTH)
SCOPE_SESSION, SCOPE_FIRM, SCOPE_GROUP = ord("S"), ord("F"), ord("G")
REASON_SELF_MATCH = ord("Q")  # of `C` and `D` (OUCH 5.0, cancel reasons)
CAUSE_SELF_MATCH = int(Cause.SELF_MATCH)
SELF_MATCHED = int(EventKind.SELF_MATCHED)
DONE = int(EventFlag.DONE)
LONG_FORM = int(EventFlag.LONG_FORM)


@cold_kernel
def _asked_mode(market, slot):
    tags = market.tags[at(slot)]
    if np.int64(tags["present"]) & SELF_TRADE_MODE:
        return np.int64(tags["self_match_mode"])
    session = np.int64(market.orders[at(slot)]["session"])
    return np.int64(market.sessions[at(session)]["self_trade"])


@kernel
def guard_of(market, slot):
    """What happens when the WORKING order in `slot` meets its owner: a mode, or 0: it trades."""
    order = market.orders[at(slot)]
    if order["flags"] & TAGS:
        return _asked_mode(market, slot)
    return np.int64(market.sessions[at(np.int64(order["session"]))]["self_trade"])


@cold_kernel
def _names_group(market, slot):
    """1 when the order itself says of which group it is."""
    if not market.orders[at(slot)]["flags"] & TAGS:
        return 0
    return 1 if np.int64(market.tags[at(slot)]["present"]) & SELF_TRADE_GROUP else 0


@cold_kernel
def _group_of(market, slot):
    if _names_group(market, slot):
        return np.int64(market.tags[at(slot)]["self_match_group"])
    session = np.int64(market.orders[at(slot)]["session"])
    return np.int64(market.sessions[at(session)]["self_trade_group"])


@cold_kernel
def _scope_of(market, slot):
    """Who is the owner of the incoming order in `slot`: a group that it names, its session ..."""
    if _names_group(market, slot):
        return SCOPE_GROUP if _group_of(market, slot) else SCOPE_SESSION
    session = np.int64(market.orders[at(slot)]["session"])
    return np.int64(market.sessions[at(session)]["self_trade_scope"])


@cold_kernel
def is_own(market, slot, maker_slot):
    """1 when the resting order in `maker_slot` is of the owner of the incoming one in `slot`."""
    session = np.int64(market.orders[at(slot)]["session"])
    other = np.int64(market.orders[at(maker_slot)]["session"])
    firm = np.int64(market.sessions[at(session)]["firm"])
    of_firm = firm != BLANK_FIRM and firm == np.int64(market.sessions[at(other)]["firm"])
    scope = _scope_of(market, slot)
    if session != other and not (of_firm and (scope == SCOPE_FIRM or scope == SCOPE_GROUP)):
        return 0
    if scope == SCOPE_GROUP:
        return 1 if _group_of(market, slot) == _group_of(market, maker_slot) else 0
    return 1


@cold_kernel
def _decrement(market, slot, maker_slot, source_next, ring, position):
    """Both lose what they would have traded; SELF_MATCHED says so to both."""
    order, maker = market.orders[at(slot)], market.orders[at(maker_slot)]
    quantity = min(np.int64(order["leaves"]), np.int64(maker["displayed"]))
    order["leaves"] = order["leaves"] - quantity
    order["decremented"] = order["decremented"] + quantity
    maker["decremented"] = maker["decremented"] + quantity
    if quantity == maker["leaves"]:
        remove(market, maker_slot)
        end_order(market, maker_slot)
    else:
        take(market, maker_slot, quantity)
    event = emit_trade(market, maker_slot, slot, quantity, source_next, ring, position)
    event["kind"] = SELF_MATCHED
    event["flags"] |= LONG_FORM
    event["reason"] = REASON_SELF_MATCH
    position += 1
    if maker["displayed"] == 0 and maker["state"] == RESTING:
        position = emit_refresh(market, maker_slot, source_next, ring, position)
    return position


@cold_kernel
def avoid(market, slot, maker_slot, mode, source_next, ring, position):
    """Do with the incoming order and its owner's in `maker_slot` what the mode says.

    Returns the position behind at most two events; an order that came in and is cancelled has
    nothing left.
    """
    if mode == DECREMENT_BOTH:
        return _decrement(market, slot, maker_slot, source_next, ring, position)
    if mode != CANCEL_INCOMING:
        cause = CAUSE_SELF_MATCH
        withdraw(market, maker_slot, REASON_SELF_MATCH, cause, source_next, ring, position)
        position += 1
    if mode != CANCEL_RESTING:
        leaves = np.int64(market.orders[at(slot)]["leaves"])
        end_order(market, slot)
        flags = DONE | LONG_FORM
        reason = REASON_SELF_MATCH
        event = emit_cancelled(market, slot, leaves, reason, flags, source_next, ring, position)
        event["cause"] = CAUSE_SELF_MATCH
        position += 1
    return position


@cold_kernel
def available_of_others(market, slot, mode, wanted):
    """As `queues.available`, of an order with a guard: what is its owner's does not count.

    Unless the mode cancels what rests, neither does anything behind the first such order. Looks at
    no more orders of others than it wants lots, and at all of the owner's before them.
    """
    order = market.orders[at(slot)]
    number = side_number(np.int64(order["instrument"]), order["side"]) ^ 1
    side = market.sides[at(number)]
    worst = np.int64(order["price"]) ^ side["mirror"]
    key = np.int64(side["best"])
    total = np.int64(0)
    while total < wanted:
        maker = first_within(market, number, key, worst)
        if maker == 0:
            break
        key = (np.int64(market.orders[at(maker)]["price"]) ^ side["mirror"]) + 1
        # What is in reserve trades behind everything that is displayed, and before the hidden.
        shown = total
        while maker and shown < wanted:
            row = market.orders[at(maker)]
            if row["flags"] & HIDDEN:
                shown = total
            if is_own(market, slot, maker):
                if mode != CANCEL_RESTING:
                    return min(shown, wanted)
            else:
                total += np.int64(row["leaves"])
                shown += np.int64(row["displayed"])
            maker = behind(market, maker)
    return min(total, wanted)
