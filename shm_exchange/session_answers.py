"""Kernel: answers that change no order: a gateway's own reject, and the account query."""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.admission import session_fault, use_user_ref
from shm_exchange.emit import emit_ignored, emit_rejected, new_event
from shm_exchange.messages import USER_REF_MAX, CommandFlag, EventFlag, EventKind, Ignored

ACCOUNT = int(EventKind.ACCOUNT)
LONG_FORM = int(EventFlag.LONG_FORM)
FLAG_LONG_FORM = int(CommandFlag.LONG_FORM)
USER_REF_USED = int(Ignored.USER_REF_USED)


@cold_kernel
def refuse(market, command, source, source_next, ring, position):
    """A gateway's own reject becomes a sequenced J; its number is used."""
    fault = session_fault(market, command, source)
    if not fault and not use_user_ref(market, command):
        fault = USER_REF_USED
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    reason = np.int64(command["reason"])
    return emit_rejected(market, command, reason, 0, source_next, ring, position)


@cold_kernel
def query_account(market, command, source, source_next, ring, position):
    """OUCH Q: the next usable UserRefNum, 0 when there is none; a barrier behind what was sent."""
    fault = session_fault(market, command, source)
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    row = np.int64(command["session"]) * 256 + np.int64(command["user_ref_index"])
    last = np.int64(market.user_refs[at(row)])
    event = new_event(market, ring, position, ACCOUNT, source_next)
    event["flags"] = LONG_FORM if command["flags"] & FLAG_LONG_FORM else 0
    event["session"] = command["session"]
    event["user_ref_index"] = command["user_ref_index"]
    event["user_ref"] = 0 if last == USER_REF_MAX else last + 1
    return position + 1
