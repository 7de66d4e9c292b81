"""Kernel: SoupBinTCP framing for the compiled pumps; bytes are a uint8 array.

Every writer returns the offset after what it wrote. `gateways/sessions.py` is the Python face of
the same packets.
"""

from __future__ import annotations

from gateways.packets import (
    CLIENT_HEARTBEAT_TYPE,
    END_OF_SESSION_TYPE,
    HEADER_SIZE,
    LENGTH_SIZE,
    LOGIN_ACCEPTED,
    LOGIN_ACCEPTED_TYPE,
    LOGIN_REJECTED,
    LOGIN_REJECTED_TYPE,
    SEQUENCED_TYPE,
    SERVER_HEARTBEAT_TYPE,
    UNSEQUENCED_TYPE,
)
from gateways.wire import store_number
from ringbuf.bits import at, load_big_2, store_big_2, store_raw_2, store_raw_8
from ringbuf.jit import kernel

# Results of `next_packet` that are not a packet type.
NEEDS_MORE = 0
VIOLATION = -1

LOGIN_ACCEPTED_SIZE = LOGIN_ACCEPTED.size
LOGIN_REJECTED_SIZE = LOGIN_REJECTED.size
_SESSION = LOGIN_ACCEPTED.offset_of("session")
_SEQUENCE = LOGIN_ACCEPTED.offset_of("sequence")
_SEQUENCE_SIZE = LOGIN_ACCEPTED_SIZE - _SEQUENCE


@kernel
def next_packet(data, offset, end, length_max):
    """The packet that begins at `offset` of the bytes [offset, end).

    Return (type, payload offset, payload length, offset of the next packet). The type is
    NEEDS_MORE when the packet is not complete, and VIOLATION when its length is 0 or above
    `length_max`; then nothing was consumed and the other values are `offset`, 0, `offset`.
    """
    if end - offset < LENGTH_SIZE:
        return NEEDS_MORE, offset, 0, offset
    length = load_big_2(data, offset)
    if length < 1 or length > length_max:
        return VIOLATION, offset, 0, offset
    after = offset + LENGTH_SIZE + length
    if after > end:
        return NEEDS_MORE, offset, 0, offset
    return int(data[at(offset + LENGTH_SIZE)]), offset + HEADER_SIZE, length - 1, after


@kernel
def write_header(data, offset, kind, payload_length):
    """The header of a packet whose payload the caller writes."""
    store_big_2(data, offset, payload_length + 1)
    data[at(offset + LENGTH_SIZE)] = kind
    return offset + HEADER_SIZE


@kernel
def write_sequenced_header(data, offset, message_length):
    """The header of `S` Sequenced Data."""
    return write_header(data, offset, SEQUENCED_TYPE, message_length)


@kernel
def write_unsequenced_header(data, offset, message_length):
    """The header of `U` Unsequenced Data."""
    return write_header(data, offset, UNSEQUENCED_TYPE, message_length)


@kernel
def write_server_heartbeat(data, offset):
    """`H`."""
    return write_header(data, offset, SERVER_HEARTBEAT_TYPE, 0)


@kernel
def write_client_heartbeat(data, offset):
    """`R`."""
    return write_header(data, offset, CLIENT_HEARTBEAT_TYPE, 0)


@kernel
def write_end_of_session(data, offset):
    """`Z`."""
    return write_header(data, offset, END_OF_SESSION_TYPE, 0)


@kernel
def write_login_accepted(data, offset, session_0, session_1, sequence):
    """`A`. session_0, session_1: ten bytes of session id, raw; sequence: that of the next `S`."""
    write_header(data, offset, LOGIN_ACCEPTED_TYPE, LOGIN_ACCEPTED_SIZE - HEADER_SIZE)
    store_raw_8(data, offset + _SESSION, session_0)
    store_raw_2(data, offset + _SESSION + 8, session_1)
    store_number(data, offset + _SEQUENCE, _SEQUENCE_SIZE, sequence)
    return offset + LOGIN_ACCEPTED_SIZE


@kernel
def write_login_rejected(data, offset, reason):
    """`J`. reason: REJECT_NOT_AUTHORIZED or REJECT_NO_SESSION."""
    after = write_header(data, offset, LOGIN_REJECTED_TYPE, 1)
    data[at(after)] = reason
    return after + 1
