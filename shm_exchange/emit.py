"""Kernel: writing one event. Every byte of it is written, so that a replay gives equal bytes."""

import numpy as np

from ringbuf.bits import at, clear_record
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import CommandFlag, EventFlag, EventKind

REJECTED = int(EventKind.REJECTED)
IGNORED = int(EventKind.IGNORED)
CANCELLED = int(EventKind.CANCELLED)
LONG_FORM = int(EventFlag.LONG_FORM)
SWEEP = int(EventFlag.SWEEP)
GTC = int(EventFlag.GTC)
STAYS = int(EventFlag.STAYS)
COMMAND_LONG_FORM = int(CommandFlag.LONG_FORM)
COMMAND_SWEEP = int(CommandFlag.SWEEP)
COMMAND_GTC = int(CommandFlag.GTC)
COMMAND_STAY = int(CommandFlag.STAY_ON_DISCONNECT)


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
