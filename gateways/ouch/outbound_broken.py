"""Kernel: EVENT -> `B`: a broken trade, to each of its sides."""

from __future__ import annotations

from gateways.ouch.messages import BROKEN_TRADE
from gateways.ouch.outbound_frame import appendage, begin
from gateways.packets import HEADER_SIZE
from ringbuf.bits import at, store_big_4, store_big_8
from ringbuf.jit import cold_kernel
from shm_exchange.messages import COMMAND_NEXT_BITS

_TYPE_B, _BLANK = ord("B"), ord(" ")
_CLIENT_ORDER_ID_SIZE = 14
_SIZE = BROKEN_TRADE.size
_USER_REF = BROKEN_TRADE.offset_of("user_ref_num")
_MATCH = BROKEN_TRADE.offset_of("match_number")
_REASON = BROKEN_TRADE.offset_of("reason")
_CLIENT_ORDER_ID = BROKEN_TRADE.offset_of("client_order_id")


@cold_kernel
def encode_broken(event, which, engine, buffer, offset):
    """Write the message as `outbound.encode` does; return its size without the packet's header.

    The ClOrdID is blank: an order's is said when it is accepted, and not kept.
    """
    start = offset + HEADER_SIZE
    user_ref, channel = int(event["user_ref"]), int(event["user_ref_index"])
    if which != 0:
        user_ref, channel = int(event["taker_user_ref"]), int(event["taker_user_ref_index"])
    size = appendage(buffer, start, _SIZE, channel)
    begin(buffer, offset, _TYPE_B, size, event)
    store_big_4(buffer, start + _USER_REF, user_ref)
    store_big_8(buffer, start + _MATCH, (engine << COMMAND_NEXT_BITS) | event["reference"])
    buffer[at(start + _REASON)] = int(event["reason"]) & 0xFF
    for place in range(_CLIENT_ORDER_ID_SIZE):
        buffer[at(start + _CLIENT_ORDER_ID + place)] = _BLANK
    return size
