"""Kernel: `p` -> a COMMAND: a protection is set, reset or deleted (docs/protocols.md).

The matcher judges it; here only what a command cannot carry is refused, in sequence too.
"""

import numpy as np

from gateways.ouch.checks import find_instrument
from gateways.ouch.inbound import COMMAND_REFUSED, blank_command
from ringbuf.jit import cold_kernel
from shm_exchange.messages import (
    ALL_INSTRUMENTS,
    BLANK_FIRM,
    BLANK_SYMBOL,
    CommandFlag,
    CommandKind,
    Reject,
)

COMMAND_PROTECTION = int(CommandKind.PROTECTION)
LONG_FORM = int(CommandFlag.LONG_FORM)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
INVALID_LIMIT = int(Reject.PROTECTION_LIMIT)
SET = ord("S")
LOTS_LAST = (1 << 31) - 1  # of a command


@cold_kernel
def take_protection_request(desk, request, position, session, generation, now_ns):
    """Write the command at `position`: PROTECTION, or REFUSED with the reject."""
    instrument = np.int64(ALL_INSTRUMENTS)
    code = 0
    if request["side"] == SET:
        if request["symbol"] != BLANK_SYMBOL:
            instrument = find_instrument(desk.symbols, request)
        if instrument < 0:
            code = INVALID_SYMBOL
        elif request["quantity"] > LOTS_LAST or request["maximum_floor"] > LOTS_LAST:
            code = INVALID_LIMIT
    kind = COMMAND_REFUSED if code else COMMAND_PROTECTION
    command = blank_command(desk, position, kind, session, generation, now_ns)
    command["flags"] = LONG_FORM
    command["user_ref"] = request["user_ref"]
    command["user_ref_index"] = request["user_ref_index"]
    if code:
        command["reason"] = code
        command["client_order_id_0"] = BLANK_SYMBOL
        command["client_order_id_1"] = BLANK_FIRM
        command["client_order_id_2"] = BLANK_FIRM & 0xFFFF
        return
    command["side"] = request["side"]
    command["group_id"] = request["group_id"]
    command["instrument"] = instrument
    command["window_us"] = request["expire_seconds"]
    command["executions"] = request["minimum_quantity"]
    command["quantity"] = request["quantity"]
    command["price"] = request["maximum_floor"]
    command["frozen_us"] = request["random_reserves"]
