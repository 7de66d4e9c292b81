"""Kernel: the rare attributes of orders (ORDER_TAGS): from command to order, from order to event.

`market.tags` lies beside `market.orders`, by slot, and is touched only for an order whose flag TAGS
is set. A replacement inherits what it does not name (OUCH 5.0, Replace Order Request), except what
is said of one request alone. Row 0, whose slot no order has, is scratch.
"""

import numpy as np

from ringbuf.bits import at, clear_record, copy_record, mix, shift_left
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import CommandFlag, EventKind

CONTINUATION = int(EventKind.CONTINUATION)
TAGS = int(CommandFlag.TAGS)
SCRATCH = 0
TIF_GTT = ord("6")
DISPLAY_HIDDEN = ord("N")

# Bits of `present`.
PRIVATE_SHIFT = 32  # of private tag 128
FIRM = 1 << 2
MINIMUM_QUANTITY = 1 << 3
CUSTOMER_TYPE = 1 << 4
DISPLAY_QUANTITY = 1 << 5
POST_ONLY = 1 << 12
EXPIRE_TIME = 1 << 15
TRADE_NOW = 1 << 16
HANDLE_INSTRUCTION = 1 << 17
GROUP_ID = 1 << 24
SHARES_LOCATED = 1 << 25
LOCATE_BROKER = 1 << 26
POST_ONLY_REJECT = 1 << (PRIVATE_SHIFT + 1)
SELF_TRADE_MODE = 1 << (PRIVATE_SHIFT + 3)
SELF_TRADE_GROUP = 1 << (PRIVATE_SHIFT + 4)
TIMES_ASKED = 1 << (PRIVATE_SHIFT + 15)
SHARES_AHEAD_ASKED = 1 << (PRIVATE_SHIFT + 17)
# Tags that ask for nothing (price type `L` and the like) are kept as bits alone.
PLAIN = (1 << 6) | (1 << 7) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 13) | (1 << 14)
INHERITED = (
    FIRM
    | CUSTOMER_TYPE
    | DISPLAY_QUANTITY
    | POST_ONLY
    | EXPIRE_TIME
    | TRADE_NOW
    | HANDLE_INSTRUCTION
    | GROUP_ID
    | POST_ONLY_REJECT
    | SELF_TRADE_MODE
    | SELF_TRADE_GROUP
    | PLAIN
)


@cold_kernel
def load_tags(market, commands, follower):
    """Put the continuation of a command into the scratch row."""
    copy_record(market.tags, SCRATCH, commands, follower)
    market.tags[SCRATCH]["kind"] = CONTINUATION


@cold_kernel
def clear_tags(market):
    """Put a row without any tag into the scratch row."""
    clear_record(market.tags, SCRATCH)
    market.tags[SCRATCH]["kind"] = CONTINUATION


@cold_kernel
def inherit_tags(market, slot, command):
    """Complete the scratch row, of a replacement, by what it inherits from the order in `slot`.

    A time to live is for time in force `6` alone, a displayed part for an order that is displayed.
    """
    new, old = market.tags[SCRATCH], market.tags[at(slot)]
    taken = np.int64(old["present"]) & INHERITED & ~np.int64(new["present"])
    if command["time_in_force"] != TIF_GTT:
        taken &= ~EXPIRE_TIME
    if command["display"] == DISPLAY_HIDDEN:
        taken &= ~DISPLAY_QUANTITY
    if taken & FIRM:
        new["firm"] = old["firm"]
    if taken & CUSTOMER_TYPE:
        new["customer_type"] = old["customer_type"]
    if taken & DISPLAY_QUANTITY:
        new["display_quantity"] = old["display_quantity"]
    if taken & POST_ONLY:
        new["post_only"] = old["post_only"]
    if taken & POST_ONLY_REJECT:
        new["post_only_reject"] = old["post_only_reject"]
    if taken & EXPIRE_TIME:
        new["expire_seconds"] = old["expire_seconds"]
    if taken & TRADE_NOW:
        new["trade_now"] = old["trade_now"]
    if taken & HANDLE_INSTRUCTION:
        new["handle_instruction"] = old["handle_instruction"]
    if taken & GROUP_ID:
        new["group_id"] = old["group_id"]
    if taken & SELF_TRADE_MODE:
        new["self_match_mode"] = old["self_match_mode"]
    if taken & SELF_TRADE_GROUP:
        new["self_match_group"] = old["self_match_group"]
    new["present"] = np.int64(new["present"]) | taken


@cold_kernel
def keep_tags(market, slot):
    """Give the scratch row to the order in `slot`."""
    copy_record(market.tags, slot, market.tags, SCRATCH)
    market.orders[at(slot)]["flags"] |= TAGS


@cold_kernel
def emit_tags(market, slot, event, ring, position):
    """Write the order's tags at `position`, as the continuation of `event`; the position behind."""
    event["continuations"] = 1
    copy_record(ring.records, position & (len(ring.records) - 1), market.tags, slot)
    return position + 1


@cold_kernel
def take_tags(market, slot, events, index):
    """Replicas: the continuation at `events[index]` is of the order in `slot`."""
    copy_record(market.tags, slot, events, index)


@cold_kernel
def tags_weight(market, slot, weight):
    """Weight of a lot of an order with tags in the state hash: what matching may depend on."""
    tags = market.tags[at(slot)]
    groups = shift_left(np.int64(tags["group_id"]), 16) | np.int64(tags["self_match_group"])
    modes = shift_left(np.int64(tags["self_match_mode"]), 8) | np.int64(tags["protection_group"])
    amounts = shift_left(np.int64(tags["display_quantity"]), 32) | np.int64(tags["expire_seconds"])
    modes |= shift_left(np.int64(tags["quote_id"]), 48)
    return mix(weight ^ mix(amounts) ^ shift_left(groups, 16) ^ modes) | 1


@kernel
def tags_of(tags, events, index):
    """Copy the continuation of `events[index]`, if it has one, into `tags[0]` for an encoder."""
    if events[at(index)]["continuations"]:
        copy_record(tags, 0, events, index + 1)
