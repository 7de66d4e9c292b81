"""Kernel: the rare tags of a decoded request -> ORDER_TAGS, the continuation of its command.

Which tags were there travels with their values, so that `A` and `U` can repeat all of them.
"""

import numpy as np

from gateways.ouch.tags import PRIVATE_TAG_FIRST, Tag
from ringbuf.bits import clear_record, shift_left
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import EventKind
from shm_exchange.order_tags import (
    CUSTOMER_TYPE,
    DISPLAY_QUANTITY,
    EXPIRE_TIME,
    FIRM,
    GROUP_ID,
    HANDLE_INSTRUCTION,
    LOCATE_BROKER,
    MINIMUM_QUANTITY,
    POST_ONLY,
    POST_ONLY_REJECT,
    PRIVATE_SHIFT,
    SELF_TRADE_GROUP,
    SELF_TRADE_MODE,
    SHARES_AHEAD_ASKED,
    SHARES_LOCATED,
    TIF_GTT,
    TIMES_ASKED,
    TRADE_NOW,
)

CONTINUATION = int(EventKind.CONTINUATION)
YES = ord("Y")
FLOOR_MAX = 0x7FFF_FFFF  # the field is signed; larger ones mean the same
# What needs no continuation: the channel, and the flags of a command.
IN_COMMAND = 1 << int(Tag.USER_REF_INDEX)
IN_COMMAND_PRIVATE = (1 << (Tag.GOOD_TILL_CANCELLED - PRIVATE_TAG_FIRST)) | (
    1 << (Tag.STAY_ON_DISCONNECT - PRIVATE_TAG_FIRST)
)


@kernel
def has_tags(request):
    """1 when the request has tags that its command cannot hold, or needs them (time in force)."""
    if request["time_in_force"] == TIF_GTT:
        return 1
    public = np.int64(request["present"]) & ~IN_COMMAND
    return 1 if public | (np.int64(request["present_private"]) & ~IN_COMMAND_PRIVATE) else 0


@cold_kernel
def fill_tags(tags, request):
    """Write the request's tags, which were checked, into `tags[0]`, ORDER_TAGS."""
    clear_record(tags, 0)
    row = tags[0]
    public = np.int64(request["present"]) & ~IN_COMMAND
    private = np.int64(request["present_private"]) & ~IN_COMMAND_PRIVATE
    present = public | shift_left(private, PRIVATE_SHIFT)
    if present & TIMES_ASKED and request["times_asked"] != YES:
        present &= ~TIMES_ASKED
    if present & SHARES_AHEAD_ASKED and request["shares_ahead_asked"] != YES:
        present &= ~SHARES_AHEAD_ASKED
    row["kind"] = CONTINUATION
    row["present"] = present
    if present & FIRM:
        row["firm"] = request["firm"]
    if present & MINIMUM_QUANTITY:
        row["minimum_quantity"] = request["minimum_quantity"]
    if present & CUSTOMER_TYPE:
        row["customer_type"] = request["customer_type"]
    if present & DISPLAY_QUANTITY:
        row["display_quantity"] = min(np.int64(request["maximum_floor"]), FLOOR_MAX)
    if present & POST_ONLY:
        row["post_only"] = request["post_only"]
    if present & POST_ONLY_REJECT:
        row["post_only_reject"] = request["post_only_reject"]
    if present & EXPIRE_TIME:
        row["expire_seconds"] = request["expire_seconds"]
    if present & TRADE_NOW:
        row["trade_now"] = request["trade_now"]
    if present & HANDLE_INSTRUCTION:
        row["handle_instruction"] = request["handle_instruction"]
    if present & GROUP_ID:
        row["group_id"] = request["group_id"]
    if present & SELF_TRADE_MODE:
        row["self_match_mode"] = request["self_trade_mode"]
    if present & SELF_TRADE_GROUP:
        row["self_match_group"] = request["self_trade_group"]
    if present & SHARES_LOCATED:
        row["shares_located"] = request["shares_located"]
    if present & LOCATE_BROKER:
        row["locate_broker"] = request["locate_broker"]
