"""Kernel: requests about many orders -> a COMMAND: mass cancel, disable and enable order entry.

OUCH 5.0, Mass Cancel Request, Disable and Enable Order Entry Request. What a check refuses is
rejected in sequence, and its UserRefNum is used, as with an order.
"""

import numpy as np

from gateways.ouch.checks import BUY, INVALID_SIDE, INVALID_SYMBOL, SELL, SPACE, find_instrument
from gateways.ouch.codec import BAD_APPENDAGE, DISABLE, MASS_CANCEL, OK, PROTECTION
from gateways.ouch.inbound import (
    COMMAND_REFUSED,
    DISK_SHORT,
    FAULT,
    FLAG_LONG_FORM,
    SAID,
    UNSUPPORTED_TAG,
    blank_command,
)
from gateways.ouch.protection_requests import take_protection_request
from gateways.ouch.tags import Tag
from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.messages import (
    ALL_INSTRUMENTS,
    BLANK_FIRM,
    BLANK_SYMBOL,
    CommandKind,
    Reject,
)

COMMAND_MASS_CANCEL = int(CommandKind.MASS_CANCEL)
COMMAND_DISABLE = int(CommandKind.DISABLE)
COMMAND_ENABLE = int(CommandKind.ENABLE)
FIRM_NOT_AUTHORIZED = int(Reject.FIRM_NOT_AUTHORIZED)
TAG_SIDE = int(Tag.SIDE)
TAG_GROUP = int(Tag.GROUP_ID)


@cold_kernel
def _has(request, tag):
    return (np.int64(request["present"]) >> tag) & 1


@cold_kernel
def _side_filter(request):
    """`B`, `S` (every kind of sale), 0 for both, -1 for what is no side."""
    if not _has(request, TAG_SIDE) or request["side_filter"] == SPACE:
        return 0
    side = np.int64(request["side_filter"])
    return side if side == BUY or side == SELL else -1


@cold_kernel
def _mass_cancel_fault(desk, request):
    if _side_filter(request) < 0:
        return INVALID_SIDE
    if request["symbol"] != BLANK_SYMBOL and find_instrument(desk.symbols, request) < 0:
        return INVALID_SYMBOL
    return 0


@cold_kernel
def _fault(market, desk, request, result, session):
    """0, or the reject of a request that was read well enough to be answered."""
    if result == BAD_APPENDAGE:
        return UNSUPPORTED_TAG + np.int64(request["bad_tag"])
    if request["foreign_tag"] != 0:
        return UNSUPPORTED_TAG + np.int64(request["foreign_tag"])
    firm = request["firm"]
    if firm != BLANK_FIRM and firm != market.sessions[at(session)]["firm"]:
        return FIRM_NOT_AUTHORIZED
    return _mass_cancel_fault(desk, request) if request["type"] == MASS_CANCEL else 0


@cold_kernel
def take_mass_request(market, desk, request, result, position, session, generation, now_ns):
    """The same as `inbound.take_request`, for what that leaves: FOR_MANY."""
    if result != OK and result != BAD_APPENDAGE and result != DISK_SHORT:
        return FAULT
    kind = request["type"]
    if kind == PROTECTION:
        take_protection_request(desk, request, position, session, generation, now_ns)
        return SAID
    code = _fault(market, desk, request, result, session)
    command_kind = COMMAND_REFUSED
    if code == 0:
        command_kind = COMMAND_ENABLE
        if kind == MASS_CANCEL:
            command_kind = COMMAND_MASS_CANCEL
        elif kind == DISABLE:
            command_kind = COMMAND_DISABLE
    command = blank_command(desk, position, command_kind, session, generation, now_ns)
    command["user_ref"] = request["user_ref"]
    command["user_ref_index"] = request["user_ref_index"]
    command["flags"] = FLAG_LONG_FORM
    if code:
        command["reason"] = code
        command["client_order_id_0"] = BLANK_SYMBOL
        command["client_order_id_1"] = BLANK_FIRM
        command["client_order_id_2"] = BLANK_FIRM & 0xFFFF
        return SAID
    command["firm_name"] = request["firm"]
    if kind == MASS_CANCEL:
        command["side"] = _side_filter(request)
        command["group_id"] = request["group_id"] if _has(request, TAG_GROUP) else 0
        command["instrument"] = ALL_INSTRUMENTS
        if request["symbol"] != BLANK_SYMBOL:
            command["instrument"] = find_instrument(desk.symbols, request)
    return SAID
