"""Kernel: EVENT -> `q`: a mass quote was good; the messages of its orders follow."""

from __future__ import annotations

from gateways.ouch.outbound_frame import begin
from gateways.ouch.private_quotes import MASS_QUOTE_ANSWER
from gateways.packets import HEADER_SIZE
from ringbuf.bits import at, store_big_2, store_big_4
from ringbuf.jit import cold_kernel

_TYPE_Q = ord("q")
_SIZE = MASS_QUOTE_ANSWER.size
_USER_REF = MASS_QUOTE_ANSWER.offset_of("user_ref_num")
_CHANNEL = MASS_QUOTE_ANSWER.offset_of("user_ref_index")
_GROUP = MASS_QUOTE_ANSWER.offset_of("group_id")
_COUNT = MASS_QUOTE_ANSWER.offset_of("count")


@cold_kernel
def encode_quoted(event, buffer, offset):
    """Write the message as `outbound.encode` does; return its size without the packet's header."""
    start = offset + HEADER_SIZE
    begin(buffer, offset, _TYPE_Q, _SIZE, event)
    store_big_4(buffer, start + _USER_REF, int(event["user_ref"]))
    buffer[at(start + _CHANNEL)] = event["user_ref_index"]
    store_big_2(buffer, start + _GROUP, int(event["group_id"]))
    buffer[at(start + _COUNT)] = int(event["quantity"]) & 0xFF
    return _SIZE
