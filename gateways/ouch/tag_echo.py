"""Kernel: the tags of an order -> the appendage of its `A` or `U` (OUCH 5.0, sections 2.1, 2.2).

Every tag that the request had is repeated, as far as the message may carry it; a replacement also
names what it inherited. The channel (tag 28) comes first, then the others by number. Tags that ask
for nothing (price type `L`, no peg offset ...) are known by their presence alone.
Two private tags are answered instead: 143 by 140 to 142, the times of the order, 145 by 144, the
lots that trade before it.
"""

import numpy as np

from gateways.ouch.tags import Tag
from gateways.wire import time_of_day
from ringbuf.bits import at, store_big_2, store_big_4, store_big_8, store_raw_4
from ringbuf.jit import cold_kernel
from shm_exchange.messages import EventFlag, EventKind
from shm_exchange.order_tags import (
    PRIVATE_SHIFT,
    SELF_TRADE_GROUP,
    SELF_TRADE_MODE,
    SHARES_AHEAD_ASKED,
    TIMES_ASKED,
)

_PRIVATE = 128
_GTC = int(EventFlag.GTC)
_STAYS = int(EventFlag.STAYS)
_CARRIED = int(EventKind.CARRIED)
_LIMIT, _GOOD, _YES = ord("L"), ord("G"), ord("Y")
_FOUR_SPACES = 0x2020_2020
_FOUR_BYTES = 0xFFFF_FFFF
_ALL_PRIVATE = -1 << PRIVATE_SHIFT


def _bits(*tags: int) -> int:
    return sum(1 << tag for tag in tags) | _ALL_PRIVATE


# Bits of ORDER_TAGS.present that the message may repeat.
ACCEPTED_ECHO = _bits(2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 25)
REPLACED_ECHO = _bits(2, 3, 5, 6, 12, 15, 16, 17)

_FIRM = int(Tag.FIRM)
_MINIMUM_QUANTITY = int(Tag.MINIMUM_QUANTITY)
_CUSTOMER_TYPE = int(Tag.CUSTOMER_TYPE)
_MAXIMUM_FLOOR = int(Tag.MAXIMUM_FLOOR)
_PRICE_TYPE = int(Tag.PRICE_TYPE)
_PEG_OFFSET = int(Tag.PEG_OFFSET)
_DISCRETION_PRICE = int(Tag.DISCRETION_PRICE)
_DISCRETION_PRICE_TYPE = int(Tag.DISCRETION_PRICE_TYPE)
_DISCRETION_PEG_OFFSET = int(Tag.DISCRETION_PEG_OFFSET)
_POST_ONLY = int(Tag.POST_ONLY)
_RANDOM_RESERVES = int(Tag.RANDOM_RESERVES)
_ROUTE = int(Tag.ROUTE)
_EXPIRE_TIME = int(Tag.EXPIRE_TIME)
_TRADE_NOW = int(Tag.TRADE_NOW)
_HANDLE_INSTRUCTION = int(Tag.HANDLE_INSTRUCTION)
_GROUP_ID = int(Tag.GROUP_ID)
_SHARES_LOCATED = int(Tag.SHARES_LOCATED)
_GOOD_TILL_CANCELLED = int(Tag.GOOD_TILL_CANCELLED)
_POST_ONLY_REJECT = int(Tag.POST_ONLY_REJECT)
_STAY_ON_DISCONNECT = int(Tag.STAY_ON_DISCONNECT)
_SELF_TRADE_MODE = int(Tag.SELF_TRADE_MODE)
_SELF_TRADE_GROUP = int(Tag.SELF_TRADE_GROUP)
_RECEIVED = int(Tag.RECEIVED)
_ENQUEUED = int(Tag.ENQUEUED)
_MATCHED = int(Tag.MATCHED)
_SHARES_AHEAD = int(Tag.SHARES_AHEAD)


@cold_kernel
def put_1(buffer, end, tag, value):
    """Append a tag whose value is one byte; the end."""
    buffer[at(end)] = 2
    buffer[at(end + 1)] = tag
    buffer[at(end + 2)] = value
    return end + 3


@cold_kernel
def put_2(buffer, end, tag, value):
    """Append a tag whose value is an integer of two bytes; the end."""
    buffer[at(end)] = 3
    buffer[at(end + 1)] = tag
    store_big_2(buffer, end + 2, value)
    return end + 4


@cold_kernel
def put_4(buffer, end, tag, value):
    """Append a tag whose value is an integer of four bytes; the end."""
    buffer[at(end)] = 5
    buffer[at(end + 1)] = tag
    store_big_4(buffer, end + 2, value)
    return end + 6


@cold_kernel
def put_text_4(buffer, end, tag, value):
    """Append a tag whose value is four characters, kept as they came; the end."""
    end = put_4(buffer, end, tag, 0)
    store_raw_4(buffer, end - 4, value)
    return end


@cold_kernel
def put_8(buffer, end, tag, value):
    """Append a tag whose value is an integer of eight bytes; the end."""
    buffer[at(end)] = 9
    buffer[at(end + 1)] = tag
    store_big_8(buffer, end + 2, value)
    return end + 10


@cold_kernel
def _first_tags(buffer, end, tags, present):
    """Tags 2 to 11."""
    row = tags[0]
    if present & (1 << _FIRM):
        end = put_text_4(buffer, end, _FIRM, np.int64(row["firm"]))
    if present & (1 << _MINIMUM_QUANTITY):
        end = put_4(buffer, end, _MINIMUM_QUANTITY, np.int64(row["minimum_quantity"]))
    if present & (1 << _CUSTOMER_TYPE):
        end = put_1(buffer, end, _CUSTOMER_TYPE, np.int64(row["customer_type"]))
    if present & (1 << _MAXIMUM_FLOOR):
        end = put_4(buffer, end, _MAXIMUM_FLOOR, np.int64(row["display_quantity"]))
    if present & (1 << _PRICE_TYPE):
        end = put_1(buffer, end, _PRICE_TYPE, _LIMIT)
    if present & (1 << _PEG_OFFSET):
        end = put_4(buffer, end, _PEG_OFFSET, 0)
    if present & (1 << _DISCRETION_PRICE):
        end = put_8(buffer, end, _DISCRETION_PRICE, 0)
    if present & (1 << _DISCRETION_PRICE_TYPE):
        end = put_1(buffer, end, _DISCRETION_PRICE_TYPE, _LIMIT)
    if present & (1 << _DISCRETION_PEG_OFFSET):
        end = put_4(buffer, end, _DISCRETION_PEG_OFFSET, 0)
    return end


@cold_kernel
def _last_tags(buffer, end, tags, present):
    """Tags 12 to 25."""
    row = tags[0]
    if present & (1 << _POST_ONLY):
        end = put_1(buffer, end, _POST_ONLY, np.int64(row["post_only"]))
    if present & (1 << _RANDOM_RESERVES):
        end = put_4(buffer, end, _RANDOM_RESERVES, 0)
    if present & (1 << _ROUTE):
        end = put_text_4(buffer, end, _ROUTE, _FOUR_SPACES)
    if present & (1 << _EXPIRE_TIME):
        end = put_4(buffer, end, _EXPIRE_TIME, np.int64(row["expire_seconds"]))
    if present & (1 << _TRADE_NOW):
        end = put_1(buffer, end, _TRADE_NOW, np.int64(row["trade_now"]))
    if present & (1 << _HANDLE_INSTRUCTION):
        end = put_1(buffer, end, _HANDLE_INSTRUCTION, np.int64(row["handle_instruction"]))
    if present & (1 << _GROUP_ID):
        end = put_2(buffer, end, _GROUP_ID, np.int64(row["group_id"]))
    if present & (1 << _SHARES_LOCATED):
        end = put_1(buffer, end, _SHARES_LOCATED, np.int64(row["shares_located"]))
    return end


@cold_kernel
def _answers(buffer, end, event, tags, present):
    """What tags 143 and 145 asked for: of the moment, so a new stream does not say it again."""
    if event["kind"] == _CARRIED:
        return end
    row = tags[0]
    if present & TIMES_ASKED:
        end = put_8(buffer, end, _RECEIVED, time_of_day(np.int64(row["received_ns"])))
        end = put_8(buffer, end, _ENQUEUED, time_of_day(np.int64(row["enqueued_ns"])))
        end = put_8(buffer, end, _MATCHED, time_of_day(np.int64(event["time_ns"])))
    if present & SHARES_AHEAD_ASKED:
        end = put_4(buffer, end, _SHARES_AHEAD, np.int64(row["shares_ahead"]) & _FOUR_BYTES)
    return end


@cold_kernel
def echo_tags(buffer, end, event, tags, echoed):
    """Append the tags of an ACCEPTED, REPLACED or CARRIED event; where they end.

    tags: ORDER_TAGS[1], of the event if it has a continuation. echoed: which the message may carry.
    """
    flags = int(event["flags"])
    present = 0
    if event["continuations"] != 0:
        present = int(tags[0]["present"]) & echoed
        end = _first_tags(buffer, end, tags, present)
        end = _last_tags(buffer, end, tags, present)
    if flags & _GTC:
        end = put_1(buffer, end, _GOOD_TILL_CANCELLED, _GOOD)
    if present & (1 << (PRIVATE_SHIFT + _POST_ONLY_REJECT - _PRIVATE)):
        end = put_1(buffer, end, _POST_ONLY_REJECT, np.int64(tags[0]["post_only_reject"]))
    if flags & _STAYS:
        end = put_1(buffer, end, _STAY_ON_DISCONNECT, _YES)
    if present & SELF_TRADE_MODE:
        end = put_1(buffer, end, _SELF_TRADE_MODE, np.int64(tags[0]["self_match_mode"]))
    if present & SELF_TRADE_GROUP:
        end = put_2(buffer, end, _SELF_TRADE_GROUP, np.int64(tags[0]["self_match_group"]))
    if present & (TIMES_ASKED | SHARES_AHEAD_ASKED):
        end = _answers(buffer, end, event, tags, present)
    return end
