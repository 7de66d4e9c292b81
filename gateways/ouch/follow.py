"""Pump: what an event means to an order gateway: its replica, its orders' index, its slots.

Runs for every event of the engine, whoever caused it: every gateway can cancel any session's order
after a reconnect.
"""

import numpy as np

from gateways.order_index import insert_order, order_key, remove_order
from gateways.risk import ANY as ANY_LIMIT
from gateways.risk import LIMITS, follow_risk
from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.market import FREE
from shm_exchange.messages import CommandKind, EventFlag, EventKind
from shm_exchange.replica import apply, shift_source
from shm_exchange.slots import SOURCE, give_slot

ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
EXECUTED = int(EventKind.EXECUTED)
CANCELLED = int(EventKind.CANCELLED)
SELF_MATCHED = int(EventKind.SELF_MATCHED)
REJECTED = int(EventKind.REJECTED)
IGNORED = int(EventKind.IGNORED)
DONE = int(EventFlag.DONE)
TAKER_DONE = int(EventFlag.TAKER_DONE)
SLOT_RETURNED = int(EventFlag.SLOT_RETURNED)
ENTER = int(CommandKind.ENTER)
REPLACE = int(CommandKind.REPLACE)


@kernel
def _key(event, user_ref):
    return order_key(np.int64(event["session"]), np.int64(event["user_ref_index"]), user_ref)


@kernel
def _end_order(desk, event):
    """The event's order (a trade's maker) is finished."""
    slot = np.int64(event["slot"])
    remove_order(desk.order_index, _key(event, np.int64(event["user_ref"])), slot)
    give_slot(desk.slots, slot)


@cold_kernel
def _unheard(market, desk, event):
    """A command without effect: what was noted when it was sent is taken back."""
    slot = np.int64(event["slot"])
    user_ref = np.int64(event["user_ref"])
    kind = np.int64(event["command_kind"])
    if kind == ENTER:
        remove_order(desk.order_index, _key(event, user_ref), slot)
    elif kind == REPLACE:
        order = market.orders[at(slot)]
        # A replace may name the number of the very order that lives in this slot: that one stays.
        is_its_own = (
            order["state"] != FREE
            and order["user_ref"] == user_ref
            and order["session"] == event["session"]
            and order["user_ref_index"] == event["user_ref_index"]
        )
        if not is_its_own:
            remove_order(desk.order_index, _key(event, user_ref), slot)
    if event["flags"] & SLOT_RETURNED:
        give_slot(desk.slots, slot)


@kernel
def keep_books(market, desk, event):
    """Update index and slots for one event. Before or after the replica applies it."""
    kind = event["kind"]
    if kind == ACCEPTED:
        slot = np.int64(event["slot"])
        insert_order(desk.order_index, _key(event, np.int64(event["user_ref"])), slot)
    elif kind == EXECUTED or kind == SELF_MATCHED:
        if event["flags"] & DONE:
            _end_order(desk, event)
        if event["flags"] & TAKER_DONE:
            slot = np.int64(event["taker_slot"])
            session = np.int64(event["taker_session"])
            channel = np.int64(event["taker_user_ref_index"])
            key = order_key(session, channel, np.int64(event["taker_user_ref"]))
            remove_order(desk.order_index, key, slot)
            give_slot(desk.slots, slot)
    elif kind == CANCELLED:
        if event["flags"] & DONE:
            _end_order(desk, event)
            if event["unused_user_ref"] != 0:
                key = _key(event, np.int64(event["unused_user_ref"]))
                remove_order(desk.order_index, key, np.int64(event["slot"]))
    elif kind == REPLACED:
        slot = np.int64(event["slot"])
        remove_order(desk.order_index, _key(event, np.int64(event["original_user_ref"])), slot)
        insert_order(desk.order_index, _key(event, np.int64(event["user_ref"])), slot)
    elif kind == REJECTED or kind == IGNORED:
        # Of what another gateway was asked, and be it the same, nothing was noted here.
        if shift_source(event) == desk.slots.words[SOURCE]:
            _unheard(market, desk, event)


@cold_kernel
def follow_all(market, desk, events, position):
    """Apply past events, the first at `position`, to replica, index and slots; nothing is sent."""
    for index in range(len(events)):
        keep_books(market, desk, events[at(index)])
        apply(market, events, index, position + index)
        if desk.risk.words[ANY_LIMIT] != 0 or events[at(index)]["kind"] == LIMITS:
            follow_risk(market, desk.risk, events[at(index)])
