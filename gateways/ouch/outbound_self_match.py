"""Kernel: EVENT -> `D`: what a self-match has taken off an order, to each of its sides."""

from __future__ import annotations

from gateways.ouch.messages import AIQ_CANCELED
from gateways.ouch.outbound_frame import appendage, begin
from gateways.packets import HEADER_SIZE
from ringbuf.bits import at, store_big_4, store_big_8
from ringbuf.jit import cold_kernel

_TYPE_D = ord("D")
_STRATEGY = ord("D")  # decrement both: the only one that is told so (private tag 131)
_SIZE = AIQ_CANCELED.size
_USER_REF = AIQ_CANCELED.offset_of("user_ref_num")
_DECREMENT = AIQ_CANCELED.offset_of("decrement_shares")
_REASON = AIQ_CANCELED.offset_of("reason")
_PREVENTED = AIQ_CANCELED.offset_of("quantity_prevented")
_PRICE = AIQ_CANCELED.offset_of("execution_price")
_LIQUIDITY = AIQ_CANCELED.offset_of("liquidity_flag")
_AIQ_STRATEGY = AIQ_CANCELED.offset_of("aiq_strategy")


@cold_kernel
def encode_self_matched(event, which, instruments, buffer, offset):
    """Write the message as `outbound.encode` does; return its size without the packet's header."""
    start = offset + HEADER_SIZE
    tick = instruments[at(int(event["instrument"]))]["tick"]
    user_ref, channel = int(event["user_ref"]), int(event["user_ref_index"])
    liquidity = int(event["liquidity"])
    if which != 0:
        user_ref, channel = int(event["taker_user_ref"]), int(event["taker_user_ref_index"])
        liquidity = int(event["taker_liquidity"])
    size = appendage(buffer, start, _SIZE, channel)
    begin(buffer, offset, _TYPE_D, size, event)
    store_big_4(buffer, start + _USER_REF, user_ref)
    store_big_4(buffer, start + _DECREMENT, int(event["quantity"]))
    buffer[at(start + _REASON)] = int(event["reason"]) & 0xFF
    store_big_4(buffer, start + _PREVENTED, int(event["quantity"]))
    store_big_8(buffer, start + _PRICE, int(event["price"]) * tick)
    buffer[at(start + _LIQUIDITY)] = liquidity
    buffer[at(start + _AIQ_STRATEGY)] = _STRATEGY
    return size
