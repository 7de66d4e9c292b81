"""Kernel: one message of a session's stream, its own or a copy, as a SoupBinTCP packet.

A copy is the message as its owner got it, behind `c` and the owner's name (docs/protocols.md).
"""

import numpy as np

from gateways.ouch.messages import COPY_SIZE
from gateways.ouch.outbound import MAKER, TAKER, encode
from gateways.packets import HEADER_SIZE
from gateways.soupbintcp import write_sequenced_header
from ringbuf.bits import at, store_raw_2, store_raw_4
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.streams import is_two_sided, message_owner

COPY = ord("c")
NAME_LOW, NAME_HIGH = 0xFFFF_FFFF, 0xFFFF


@kernel
def side_of(event, owner, number):
    """MAKER or TAKER: the `number`-th message that the event gives to `owner`."""
    if not is_two_sided(np.int64(event["kind"])):
        return MAKER
    return TAKER if event["session"] != owner or number == 1 else MAKER


@cold_kernel
def encode_copy(event, tags, position, which, instruments, engine, name, buffer, offset):
    """Write a copied message. name: six characters, raw. Returns the bytes written."""
    inner = offset + COPY_SIZE
    size = encode(event, tags, position, which, instruments, engine, buffer, inner) + COPY_SIZE
    start = write_sequenced_header(buffer, offset, size - HEADER_SIZE)
    buffer[at(start)] = COPY
    store_raw_4(buffer, start + 1, name & NAME_LOW)
    store_raw_2(buffer, start + 5, (name >> 32) & NAME_HIGH)
    return size


@cold_kernel
def encode_message(
    sessions, names, event, tags, position, session, number, instruments, engine, buffer, offset
):
    """Write the `number`-th message that the event gives to the stream of `session`."""
    owner, place = message_owner(sessions, event, session, number)
    which = side_of(event, owner, place)
    if owner == session:
        return encode(event, tags, position, which, instruments, engine, buffer, offset)
    name = names[at(owner)]
    return encode_copy(event, tags, position, which, instruments, engine, name, buffer, offset)
