"""Kernel: writing one event. Every byte of it is written, so that a replay gives equal bytes."""

import numpy as np

from ringbuf.bits import at, clear_record
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import CommandFlag, EventFlag, EventKind

REJECTED = int(EventKind.REJECTED)
IGNORED = int(EventKind.IGNORED)
CANCELLED = int(EventKind.CANCELLED)
CONTINUED = int(EventKind.CONTINUED)
EXECUTED = int(EventKind.EXECUTED)
DONE = int(EventFlag.DONE)
TAKER_DONE = int(EventFlag.TAKER_DONE)
MAKER_HIDDEN = int(EventFlag.MAKER_HIDDEN)
LONG_FORM = int(EventFlag.LONG_FORM)
SWEEP = int(EventFlag.SWEEP)
GTC = int(EventFlag.GTC)
STAYS = int(EventFlag.STAYS)
COMMAND_LONG_FORM = int(CommandFlag.LONG_FORM)
COMMAND_SWEEP = int(CommandFlag.SWEEP)
COMMAND_GTC = int(CommandFlag.GTC)
COMMAND_STAY = int(CommandFlag.STAY_ON_DISCONNECT)
HIDDEN = int(CommandFlag.HIDDEN)
LIQUIDITY_ADDED = ord("A")
LIQUIDITY_HIDDEN = ord("J")
LIQUIDITY_REMOVED = ord("R")


@kernel
def new_event(market, ring, position, kind, source_next):
    """The cleared record at `position`, with kind, source and stamp set."""
    index = position & (len(ring.records) - 1)
    clear_record(ring.records, index)
    event = ring.records[at(index)]
    event["kind"] = kind
    event["source_next"] = source_next
    event["time_ns"] = market.scalars[0]["stamp_ns"]
    return event


@kernel
def emit_order(market, slot, kind, source_next, ring, position):
    """An event that describes the order in `slot` as it is now (no client order id)."""
    order = market.orders[at(slot)]
    event = new_event(market, ring, position, kind, source_next)
    flags = np.int64(order["flags"])
    kept = (SWEEP if flags & COMMAND_SWEEP else 0) | (GTC if flags & COMMAND_GTC else 0)
    event["flags"] = kept | (STAYS if flags & COMMAND_STAY else 0)
    event["side"] = order["side"]
    event["instrument"] = order["instrument"]
    event["price"] = order["price"]
    event["quantity"] = order["leaves"]
    event["slot"] = slot
    event["user_ref"] = order["user_ref"]
    event["session"] = order["session"]
    event["user_ref_index"] = order["user_ref_index"]
    event["capacity"] = order["capacity"]
    event["time_in_force"] = order["time_in_force"]
    event["display"] = order["display"]
    return event


@cold_kernel
def emit_continued(market, slot, kind, source_next, ring, position):
    """CONTINUED at `position`: the command goes on with the order in `slot`, in another part.

    kind: of messages.Continuing. What goes on is remembered in the market. Returns the position
    behind the event.
    """
    event = new_event(market, ring, position, CONTINUED, source_next)
    event["slot"] = slot
    event["reason"] = kind
    scalars = market.scalars[0]
    scalars["continuing"] = slot
    scalars["continuing_kind"] = kind
    scalars["continuing_next"] = source_next
    return position + 1


@kernel
def emit_cancelled(market, slot, quantity, reason, flags, source_next, ring, position):
    """CANCELLED at `position`: `quantity` lots are gone; the order's leaves are already lowered."""
    order = market.orders[at(slot)]
    event = new_event(market, ring, position, CANCELLED, source_next)
    event["flags"] = flags
    event["side"] = order["side"]
    event["instrument"] = order["instrument"]
    event["reason"] = reason
    event["price"] = order["price"]
    event["quantity"] = quantity
    event["slot"] = slot
    event["user_ref"] = order["user_ref"]
    event["session"] = order["session"]
    event["user_ref_index"] = order["user_ref_index"]
    event["leaves"] = order["leaves"]
    event["reference"] = order["reference"]
    return event


@kernel
def emit_trade(market, maker_slot, taker_slot, quantity, source_next, ring, position):
    """Write EXECUTED for both sides; the event. The leaves of both are already lowered."""
    maker = market.orders[at(maker_slot)]
    taker = market.orders[at(taker_slot)]
    event = new_event(market, ring, position, EXECUTED, source_next)
    flags = DONE if maker["leaves"] == 0 else 0
    hidden = np.int64(maker["flags"]) & HIDDEN
    flags |= MAKER_HIDDEN if hidden else 0
    event["flags"] = flags | (TAKER_DONE if taker["leaves"] == 0 else 0)
    event["side"] = maker["side"]
    event["instrument"] = maker["instrument"]
    event["price"] = maker["price"]
    event["quantity"] = quantity
    event["slot"] = maker_slot
    event["user_ref"] = maker["user_ref"]
    event["session"] = maker["session"]
    event["user_ref_index"] = maker["user_ref_index"]
    event["liquidity"] = LIQUIDITY_HIDDEN if hidden else LIQUIDITY_ADDED
    event["taker_session"] = taker["session"]
    event["taker_user_ref_index"] = taker["user_ref_index"]
    event["taker_liquidity"] = LIQUIDITY_REMOVED
    event["reference"] = maker["reference"]
    event["taker_slot"] = taker_slot
    event["taker_user_ref"] = taker["user_ref"]
    return event


@kernel
def _about(market, command, kind, flags, source_next, ring, position):
    event = new_event(market, ring, position, kind, source_next)
    long_form = LONG_FORM if command["flags"] & COMMAND_LONG_FORM else 0
    event["flags"] = flags | long_form
    event["side"] = command["side"]
    event["instrument"] = command["instrument"]
    event["price"] = command["price"]
    event["quantity"] = command["quantity"]
    event["slot"] = command["slot"]
    event["user_ref"] = command["user_ref"]
    event["session"] = command["session"]
    event["user_ref_index"] = command["user_ref_index"]
    event["original_user_ref"] = command["original_user_ref"]
    event["command_kind"] = command["kind"]
    return event


@cold_kernel
def emit_ignored(market, command, reason, flags, source_next, ring, position):
    """IGNORED: the command had no effect; returns the position behind it."""
    event = _about(market, command, IGNORED, flags, source_next, ring, position)
    event["reason"] = reason
    return position + 1


@cold_kernel
def emit_rejected(market, command, reason, flags, source_next, ring, position):
    """REJECTED: OUCH J with `reason`; returns the position behind it."""
    flags |= LONG_FORM  # it answers `O` or `U`, which always carry an appendage length
    event = _about(market, command, REJECTED, flags, source_next, ring, position)
    event["reason"] = reason
    event["client_order_id_0"] = command["client_order_id_0"]
    event["client_order_id_1"] = command["client_order_id_1"]
    event["client_order_id_2"] = command["client_order_id_2"]
    return position + 1
