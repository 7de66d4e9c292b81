"""Kernel: RESTATED -> OUCH `R`, with the tags that say what a reserve order shows now."""

from __future__ import annotations

import numpy as np

from gateways.ouch.messages import APPENDAGE_LENGTH_SIZE, ORDER_RESTATED
from gateways.ouch.outbound_frame import appendage, begin
from gateways.ouch.tag_echo import put_4, put_8
from gateways.ouch.tags import Tag
from gateways.packets import HEADER_SIZE
from ringbuf.bits import at, store_big_2, store_big_4
from ringbuf.jit import cold_kernel

_TYPE = ord("R")
_USER_REF = ORDER_RESTATED.offset_of("user_ref_num")
_REASON = ORDER_RESTATED.offset_of("reason")
_APPENDAGE = ORDER_RESTATED.offset_of("appendage_length")
_TAG_REFERENCE = int(Tag.SECONDARY_ORDER_REFERENCE)
_TAG_QUANTITY = int(Tag.DISPLAY_QUANTITY)
_TAG_PRICE = int(Tag.DISPLAY_PRICE)


@cold_kernel
def restated(event, reference, instruments, buffer, offset):
    """`R`: a reserve order shows its next part, under a new reference number."""
    instrument = instruments[at(int(event["instrument"]))]
    start = offset + HEADER_SIZE
    total = appendage(buffer, start, _APPENDAGE, int(event["user_ref_index"]))
    end = put_4(buffer, start + total, _TAG_QUANTITY, np.int64(event["displayed"]))
    end = put_8(buffer, end, _TAG_PRICE, int(event["price"]) * instrument["tick"])
    end = put_8(buffer, end, _TAG_REFERENCE, reference)
    size = end - start
    store_big_2(buffer, start + _APPENDAGE, size - _APPENDAGE - APPENDAGE_LENGTH_SIZE)
    begin(buffer, offset, _TYPE, size, event)
    store_big_4(buffer, start + _USER_REF, int(event["user_ref"]))
    buffer[at(start + _REASON)] = int(event["reason"]) & 0xFF
    return size
