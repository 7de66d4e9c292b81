"""Kernel: a session sets, resets or deletes a protection: our message `p` (docs/protocols.md).

It has a UserRefNum like an order. Set anew while it is frozen, a protection stays frozen.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.admission import session_fault, use_user_ref
from shm_exchange.emit import emit_ignored, new_event
from shm_exchange.market import FILLS_MAX
from shm_exchange.mass import reject_request
from shm_exchange.messages import ALL_INSTRUMENTS, NONE, EventFlag, EventKind, Ignored, Reject
from shm_exchange.protection import (
    DELETE,
    MICROSECOND,
    RESET,
    SET,
    find_protection,
    has_protection_room,
    is_frozen,
    set_protection,
)

PROTECTION_SET = int(EventKind.PROTECTION_SET)
LONG_FORM = int(EventFlag.LONG_FORM)
USER_REF_USED = int(Ignored.USER_REF_USED)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
INVALID_ACTION = int(Reject.PROTECTION_ACTION)
INVALID_GROUP = int(Reject.PROTECTION_GROUP)
INVALID_WINDOW = int(Reject.PROTECTION_WINDOW)
INVALID_LIMIT = int(Reject.PROTECTION_LIMIT)
TOO_MANY = int(Reject.PROTECTION_COUNT)


@cold_kernel
def _settings_fault(market, command):
    """0, or the reject of what a protection is to be."""
    instrument = np.int64(command["instrument"])
    if instrument != ALL_INSTRUMENTS and instrument >= len(market.instruments):
        return INVALID_SYMBOL
    if command["window_us"] == 0:
        return INVALID_WINDOW
    executions = np.int64(command["executions"])
    quantity, net = np.int64(command["quantity"]), np.int64(command["price"])
    if executions > FILLS_MAX or quantity < 0 or net < 0:
        return INVALID_LIMIT
    return INVALID_LIMIT if executions == 0 and quantity == 0 and net == 0 else 0


@cold_kernel
def _fault(market, command, session):
    """0, or why the request is rejected."""
    action, group = np.int64(command["side"]), np.int64(command["group_id"])
    if action != SET and action != RESET and action != DELETE:
        return INVALID_ACTION
    if group == 0:
        return INVALID_GROUP
    if action != SET:
        return INVALID_GROUP if find_protection(market, session, group) == NONE else 0
    code = _settings_fault(market, command)
    if code == 0 and not has_protection_room(market, session, group):
        code = TOO_MANY
    return code


@cold_kernel
def _say_settings(market, row, event):
    """What the protection is, in an answer that does not change it."""
    each = market.protections[at(row)]
    event["instrument"] = each["instrument"]
    event["window_us"] = each["window_ns"] // MICROSECOND
    event["frozen_us"] = each["frozen_ns"] // MICROSECOND
    event["executions"] = each["execution_limit"]
    event["quantity"] = each["quantity_limit"]
    event["price"] = each["net_limit"]


@cold_kernel
def manage_protection(market, command, source, source_next, ring, position):
    """PROTECTION; return the position behind the event."""
    fault = session_fault(market, command, source)
    if not fault and not use_user_ref(market, command):
        fault = USER_REF_USED
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    session, group = np.int64(command["session"]), np.int64(command["group_id"])
    code = _fault(market, command, session)
    if code:
        return reject_request(market, command, code, source_next, ring, position)
    event = new_event(market, ring, position, PROTECTION_SET, source_next)
    event["flags"] = LONG_FORM
    event["session"] = session
    event["user_ref"] = command["user_ref"]
    event["user_ref_index"] = command["user_ref_index"]
    event["side"] = command["side"]
    event["group_id"] = command["group_id"]
    if command["side"] == SET:
        event["instrument"] = command["instrument"]
        event["window_us"] = command["window_us"]
        event["frozen_us"] = command["frozen_us"]
        event["executions"] = command["executions"]
        event["quantity"] = command["quantity"]
        event["price"] = command["price"]
    else:
        _say_settings(market, find_protection(market, session, group), event)
    set_protection(market, event)
    row = find_protection(market, session, group)
    if row != NONE and is_frozen(market, row):
        event["frozen_until_ns"] = market.protections[at(row)]["frozen_until_ns"]
    return position + 1
