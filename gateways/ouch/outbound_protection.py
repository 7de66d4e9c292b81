"""Kernel: EVENT -> `p` and `f`: what a protection is, and that it has fired."""

from __future__ import annotations

import numpy as np

from gateways.ouch.outbound_frame import begin
from gateways.ouch.private_protection import PROTECTION_ANSWER, PROTECTION_FIRED
from gateways.packets import HEADER_SIZE
from gateways.wire import time_of_day
from ringbuf.bits import at, store_big_2, store_big_4, store_big_8, store_raw_8
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.market import FOREVER
from shm_exchange.messages import ALL_INSTRUMENTS, BLANK_SYMBOL, EventKind

_SET = int(EventKind.PROTECTION_SET)
_FIRED = int(EventKind.PROTECTION_FIRED)
_TYPE_P, _TYPE_F = ord("p"), ord("f")
_UNTIL_RESET = -1

_ANSWER_SIZE = PROTECTION_ANSWER.size
_ANSWER_USER_REF = PROTECTION_ANSWER.offset_of("user_ref_num")
_ANSWER_CHANNEL = PROTECTION_ANSWER.offset_of("user_ref_index")
_ANSWER_ACTION = PROTECTION_ANSWER.offset_of("action")
_ANSWER_GROUP = PROTECTION_ANSWER.offset_of("group_id")
_ANSWER_SYMBOL = PROTECTION_ANSWER.offset_of("symbol")
_ANSWER_WINDOW = PROTECTION_ANSWER.offset_of("window")
_ANSWER_EXECUTIONS = PROTECTION_ANSWER.offset_of("executions")
_ANSWER_QUANTITY = PROTECTION_ANSWER.offset_of("quantity")
_ANSWER_NET = PROTECTION_ANSWER.offset_of("net_quantity")
_ANSWER_FROZEN = PROTECTION_ANSWER.offset_of("frozen_for")
_ANSWER_UNTIL = PROTECTION_ANSWER.offset_of("frozen_until")

_FIRED_SIZE = PROTECTION_FIRED.size
_FIRED_GROUP = PROTECTION_FIRED.offset_of("group_id")
_FIRED_SYMBOL = PROTECTION_FIRED.offset_of("symbol")
_FIRED_REACHED = PROTECTION_FIRED.offset_of("reached")
_FIRED_EXECUTIONS = PROTECTION_FIRED.offset_of("executions")
_FIRED_QUANTITY = PROTECTION_FIRED.offset_of("quantity")
_FIRED_NET = PROTECTION_FIRED.offset_of("net_quantity")
_FIRED_FROZEN = PROTECTION_FIRED.offset_of("frozen_for")
_FIRED_UNTIL = PROTECTION_FIRED.offset_of("frozen_until")


@kernel
def is_of_protection(kind):
    """1 for the events that `encode_protection` encodes."""
    return 1 if kind == _SET or kind == _FIRED else 0


@cold_kernel
def symbol_of(instruments, instrument):
    """The raw symbol of an instrument, or spaces for ALL_INSTRUMENTS."""
    if instrument == ALL_INSTRUMENTS:
        return np.int64(BLANK_SYMBOL)
    return np.int64(instruments[at(instrument)]["symbol"])


@cold_kernel
def until_on_wire(until_ns):
    """When a group thaws, as messages say it. until_ns: 0, or ns since the epoch, or FOREVER."""
    if until_ns == 0 or until_ns == FOREVER:
        return np.int64(0 if until_ns == 0 else _UNTIL_RESET)
    return time_of_day(until_ns)


@cold_kernel
def encode_protection(event, kind, instruments, buffer, offset):
    """Write the message as `outbound.encode` does; return its size without the packet's header."""
    start = offset + HEADER_SIZE
    symbol = symbol_of(instruments, np.int64(event["instrument"]))
    until = until_on_wire(np.int64(event["frozen_until_ns"]))
    if kind == _FIRED:
        begin(buffer, offset, _TYPE_F, _FIRED_SIZE, event)
        store_big_2(buffer, start + _FIRED_GROUP, int(event["group_id"]))
        store_raw_8(buffer, start + _FIRED_SYMBOL, symbol)
        buffer[at(start + _FIRED_REACHED)] = int(event["reason"]) & 0xFF
        store_big_2(buffer, start + _FIRED_EXECUTIONS, int(event["executions"]))
        store_big_4(buffer, start + _FIRED_QUANTITY, int(event["quantity"]))
        store_big_4(buffer, start + _FIRED_NET, int(event["price"]))
        store_big_4(buffer, start + _FIRED_FROZEN, int(event["frozen_us"]))
        store_big_8(buffer, start + _FIRED_UNTIL, until)
        return _FIRED_SIZE
    begin(buffer, offset, _TYPE_P, _ANSWER_SIZE, event)
    store_big_4(buffer, start + _ANSWER_USER_REF, int(event["user_ref"]))
    buffer[at(start + _ANSWER_CHANNEL)] = event["user_ref_index"]
    buffer[at(start + _ANSWER_ACTION)] = event["side"]
    store_big_2(buffer, start + _ANSWER_GROUP, int(event["group_id"]))
    store_raw_8(buffer, start + _ANSWER_SYMBOL, symbol)
    store_big_4(buffer, start + _ANSWER_WINDOW, int(event["window_us"]))
    store_big_2(buffer, start + _ANSWER_EXECUTIONS, int(event["executions"]))
    store_big_4(buffer, start + _ANSWER_QUANTITY, int(event["quantity"]))
    store_big_4(buffer, start + _ANSWER_NET, int(event["price"]))
    store_big_4(buffer, start + _ANSWER_FROZEN, int(event["frozen_us"]))
    store_big_8(buffer, start + _ANSWER_UNTIL, until)
    return _ANSWER_SIZE
