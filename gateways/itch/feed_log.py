"""Kernel: the feed, encoded once: every message from number 1 on, as SoupBinTCP packets.

All clients read the same bytes, each from an offset of its own, so a late joiner costs no more
than a live one and nothing is encoded twice. The log is a sparse file without a name: what nobody
reads is the operating system's to write out.
"""

from typing import NamedTuple

import numpy as np

from gateways.itch.messages import MESSAGE_SIZE_MAX
from gateways.itch.outbound import KNOWN_COUNT, encode_feed
from gateways.packets import HEADER_SIZE, LENGTH_SIZE
from ringbuf.atomics import store_release
from ringbuf.bits import at, load_big_2
from ringbuf.jit import cold_kernel, kernel
from ringbuf.state import State

STRIDE_BITS = 6  # one of 64 messages has its offset kept
PACKET_SIZE_MAX = HEADER_SIZE + MESSAGE_SIZE_MAX
# Subscripts of FeedLog.words: bytes and messages so far, bytes that the disk has room for, the
# descriptor of the file, messages before the first one that is in it, and 1 once clients read it.
SIZE, COUNT, LIMIT, FILE, BASE, SERVED = range(6)
WORD_COUNT = 6


@State.register
class FeedLog(NamedTuple):
    """Private to one market-data gateway and engine."""

    data: np.ndarray  # uint8[log_file.LOG_SIZE]
    offsets: np.ndarray  # int64: where message base + 1 + 64 * n begins
    words: np.ndarray  # int64[6]


@kernel
def has_room_for(log, count):
    """1 when `count` messages may be appended, whatever they are."""
    return 1 if log.words[SIZE] + count * PACKET_SIZE_MAX <= log.words[LIMIT] else 0


@kernel
def append(log, event, position, market, known):
    """Encode the feed's messages of an event that was applied, if it has any. There must be room.

    The count is stored last: whoever loads it from another thread finds everything it counts.
    """
    for part in range(known[KNOWN_COUNT]):
        offset = log.words[SIZE]
        size = encode_feed(event, position, market, known, part, log.data, offset)
        number = log.words[COUNT] + 1
        place = number - 1 - log.words[BASE]
        if place & ((1 << STRIDE_BITS) - 1) == 0:
            log.offsets[at(place >> STRIDE_BITS)] = offset
        log.words[SIZE] = offset + size
        store_release(log.words, COUNT, number)


@cold_kernel
def begin_anew(log):
    """A new stream: message 1 comes next. Nobody may be reading the old one."""
    log.words[SIZE] = 0
    log.words[COUNT] = 0
    log.words[BASE] = 0


@kernel
def seek(log, number):
    """Offset of message `number`, base + 1 <= number <= count + 1."""
    if number > log.words[COUNT]:
        return log.words[SIZE]
    place = number - 1 - log.words[BASE]
    skipped = place & ((1 << STRIDE_BITS) - 1)
    offset = log.offsets[at(place >> STRIDE_BITS)]
    for _ in range(skipped):
        offset += LENGTH_SIZE + load_big_2(log.data, offset)
    return offset
