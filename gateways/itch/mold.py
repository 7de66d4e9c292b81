"""Kernel: MoldUDP64 packets out of the feed's log. Numbers and bytes are those of SoupBinTCP."""

import numpy as np

from gateways.itch.feed_log import BASE, COUNT, seek
from gateways.itch.mold_packets import (
    BLOCK_HEADER_SIZE,
    MOLD_HEADER,
    PACKET_SIZE_MAX,
)
from gateways.packets import HEADER_SIZE, LENGTH_SIZE
from ringbuf.atomics import load_acquire
from ringbuf.bits import (
    copy_bytes,
    load_big_2,
    load_big_8,
    load_raw_2,
    load_raw_8,
    store_big_2,
    store_big_8,
    store_raw_2,
    store_raw_8,
)
from ringbuf.jit import cold_kernel, kernel

MOLD_HEADER_SIZE = MOLD_HEADER.size
_SEQUENCE = MOLD_HEADER.offset_of("sequence")
_COUNT = MOLD_HEADER.offset_of("count")


@kernel
def write_mold_header(data, stream_0, stream_1, sequence, count):
    """The header of a packet, at the beginning of `data`. stream_0, stream_1: session id, raw."""
    store_raw_8(data, 0, stream_0)
    store_raw_2(data, 8, stream_1)
    store_big_8(data, _SEQUENCE, sequence)
    store_big_2(data, _COUNT, count)


@kernel
def write_blocks(log, place, count_max, data):
    """Put messages from byte `place` of the log on behind the header: (count, size of the packet).

    count_max: messages that there are, or that are wanted. data: uint8[PACKET_SIZE_MAX].
    """
    size = MOLD_HEADER_SIZE
    count = np.int64(0)
    while count < count_max:
        message_size = load_big_2(log.data, place) - (HEADER_SIZE - LENGTH_SIZE)
        if size + BLOCK_HEADER_SIZE + message_size > PACKET_SIZE_MAX:
            break
        store_big_2(data, size, message_size)
        copy_bytes(data, size + BLOCK_HEADER_SIZE, log.data, place + HEADER_SIZE, message_size)
        size += BLOCK_HEADER_SIZE + message_size
        place += HEADER_SIZE + message_size
        count += 1
    return count, size


@cold_kernel
def answer_request(log, stream_0, stream_1, request, data):
    """Answer a request in `data`: bytes of the packet, or 0 when there is nothing to say.

    Any thread, beside the pump that appends. request: uint8[MOLD_HEADER_SIZE].
    """
    same = load_raw_8(request, 0) == stream_0
    if not same or load_raw_2(request, 8) != stream_1 & 0xFFFF:
        return 0
    sequence, wanted = load_big_8(request, _SEQUENCE), load_big_2(request, _COUNT)
    last = load_acquire(log.words, COUNT)
    if sequence <= log.words[BASE] or sequence > last or wanted == 0:
        return 0
    count, size = write_blocks(log, seek(log, sequence), min(wanted, last - sequence + 1), data)
    write_mold_header(data, stream_0, stream_1, sequence, count)
    return size if load_acquire(log.words, COUNT) >= last else 0  # else it began anew meanwhile
