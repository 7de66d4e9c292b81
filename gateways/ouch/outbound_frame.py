"""Kernel: what every sequenced OUCH message begins and ends with."""

from __future__ import annotations

from gateways.ouch.messages import APPENDAGE_LENGTH_SIZE, CHANNEL_SIZE, SYSTEM_EVENT
from gateways.ouch.tags import Tag
from gateways.soupbintcp import write_sequenced_header
from gateways.wire import time_of_day
from ringbuf.bits import at, store_big_2, store_big_8
from ringbuf.jit import kernel
from shm_exchange.messages import EventFlag

_LONG_FORM = int(EventFlag.LONG_FORM)
_TAG_CHANNEL = int(Tag.USER_REF_INDEX)
_TIMESTAMP = SYSTEM_EVENT.offset_of("timestamp")  # the same in every message


@kernel
def begin(buffer, offset, kind, size, event):
    """Packet header, type and timestamp of a message of `size` bytes; return where it begins."""
    start = write_sequenced_header(buffer, offset, size)
    buffer[at(start)] = kind
    store_big_8(buffer, start + _TIMESTAMP, time_of_day(event["time_ns"]))
    return start


@kernel
def appendage(buffer, start, size, channel):
    """End a message of `size` bytes with its appendage: the order flow channel, unless it is 0."""
    if channel == 0:
        store_big_2(buffer, start + size, 0)
        return size + APPENDAGE_LENGTH_SIZE
    store_big_2(buffer, start + size, CHANNEL_SIZE)
    end = start + size + APPENDAGE_LENGTH_SIZE
    buffer[at(end)] = CHANNEL_SIZE - 1
    buffer[at(end + 1)] = _TAG_CHANNEL
    buffer[at(end + 2)] = channel
    return size + APPENDAGE_LENGTH_SIZE + CHANNEL_SIZE


@kernel
def conditional_appendage(buffer, start, size, event):
    """Size of a message that has an appendage length only if its request had one."""
    if int(event["flags"]) & _LONG_FORM:
        return appendage(buffer, start, size, int(event["user_ref_index"]))
    return size
