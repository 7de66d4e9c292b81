"""Kernel: EVENT -> `X`, `G` and `K`: the answers to requests about many orders."""

from __future__ import annotations

from gateways.ouch.messages import (
    APPENDAGE_LENGTH_SIZE,
    DISABLE_RESPONSE,
    MASS_CANCEL_RESPONSE,
    TAG_HEADER_SIZE,
)
from gateways.ouch.outbound_frame import appendage, begin
from gateways.ouch.tags import Tag
from gateways.packets import HEADER_SIZE
from ringbuf.bits import at, store_big_2, store_big_4, store_raw_4, store_raw_8
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import ALL_INSTRUMENTS, BLANK_SYMBOL, EventKind

_MASS_CANCELLED = int(EventKind.MASS_CANCELLED)
_DISABLED = int(EventKind.DISABLED)
_ENABLED = int(EventKind.ENABLED)
_TYPE_X, _TYPE_G, _TYPE_K = ord("X"), ord("G"), ord("K")
_TAG_SIDE = int(Tag.SIDE)
_TAG_GROUP = int(Tag.GROUP_ID)
_SIDE_SIZE = TAG_HEADER_SIZE + 1
_GROUP_SIZE = TAG_HEADER_SIZE + 2
_USER_REF = MASS_CANCEL_RESPONSE.offset_of("user_ref_num")  # in `G` and `K` too, and so the firm
_FIRM = MASS_CANCEL_RESPONSE.offset_of("firm")
_SYMBOL = MASS_CANCEL_RESPONSE.offset_of("symbol")
_MASS_CANCEL_APPENDAGE = MASS_CANCEL_RESPONSE.offset_of("appendage_length")
_DISABLE_APPENDAGE = DISABLE_RESPONSE.offset_of("appendage_length")


@kernel
def is_of_many(kind):
    """1 for the events that `encode_mass` encodes."""
    return 1 if kind == _MASS_CANCELLED or kind == _DISABLED or kind == _ENABLED else 0


@cold_kernel
def _filters(event, buffer, start, total):
    """What a mass cancel was limited to, repeated as tags 27 and 24; return the whole size."""
    end = start + total
    if event["side"] != 0:
        buffer[at(end)] = _SIDE_SIZE - 1
        buffer[at(end + 1)] = _TAG_SIDE
        buffer[at(end + 2)] = event["side"]
        end += _SIDE_SIZE
    if event["group_id"] != 0:
        buffer[at(end)] = _GROUP_SIZE - 1
        buffer[at(end + 1)] = _TAG_GROUP
        store_big_2(buffer, end + TAG_HEADER_SIZE, int(event["group_id"]))
        end += _GROUP_SIZE
    behind = start + _MASS_CANCEL_APPENDAGE + APPENDAGE_LENGTH_SIZE
    store_big_2(buffer, start + _MASS_CANCEL_APPENDAGE, end - behind)
    return end - start


@cold_kernel
def encode_mass(event, kind, instruments, buffer, offset):
    """Write the message as `outbound.encode` does; return its size without the packet's header."""
    start = offset + HEADER_SIZE
    channel = int(event["user_ref_index"])
    if kind == _MASS_CANCELLED:
        size = appendage(buffer, start, _MASS_CANCEL_APPENDAGE, channel)
        size = _filters(event, buffer, start, size)
        begin(buffer, offset, _TYPE_X, size, event)
        symbol = BLANK_SYMBOL
        if event["instrument"] != ALL_INSTRUMENTS:
            symbol = instruments[at(int(event["instrument"]))]["symbol"]
        store_raw_8(buffer, start + _SYMBOL, symbol)
    else:
        size = appendage(buffer, start, _DISABLE_APPENDAGE, channel)
        begin(buffer, offset, _TYPE_G if kind == _DISABLED else _TYPE_K, size, event)
    store_big_4(buffer, start + _USER_REF, int(event["user_ref"]))
    store_raw_4(buffer, start + _FIRM, int(event["firm_name"]))
    return size
