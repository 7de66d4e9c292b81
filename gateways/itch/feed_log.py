"""Kernel: the feed, encoded once: every message from number 1 on, as SoupBinTCP packets.

All clients read the same bytes, each from an offset of its own, so a late joiner costs no more
than a live one and nothing is encoded twice. The log is a sparse file without a name: what nobody
reads is the operating system's to write out.
"""

import mmap
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateways.itch.messages import MESSAGE_SIZE_MAX
from gateways.itch.outbound import encode_feed
from gateways.packets import HEADER_SIZE, LENGTH_SIZE
from ringbuf.bits import at, load_big_2
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.market import sparse

STRIDE_BITS = 6  # one of 64 messages has its offset kept
LOG_SIZE = 1 << 36  # bytes, of address space and of the sparse file
PACKET_SIZE_MAX = HEADER_SIZE + MESSAGE_SIZE_MAX
SIZE, COUNT = 0, 1  # subscripts of FeedLog.words


class FeedLog(NamedTuple):
    """Private to one market-data gateway and engine."""

    data: np.ndarray  # uint8[LOG_SIZE]
    offsets: np.ndarray  # int64: where message 1 + 64 * n begins
    words: np.ndarray  # int64[2]: bytes and messages so far


@kernel
def append(log, event, position, instruments, engine, original_reference, original_was_resting):
    """Encode the feed's message of an event, if it has one; 0 when the log is full."""
    offset = log.words[SIZE]
    if offset + PACKET_SIZE_MAX > len(log.data):
        return 0
    size = encode_feed(
        event,
        position,
        instruments,
        engine,
        original_reference,
        original_was_resting,
        log.data,
        offset,
    )
    if size > 0:
        count = log.words[COUNT]
        if count & ((1 << STRIDE_BITS) - 1) == 0:
            log.offsets[at(count >> STRIDE_BITS)] = offset
        log.words[COUNT] = count + 1
        log.words[SIZE] = offset + size
    return 1


@cold_kernel
def begin_anew(log):
    """A new stream: message 1 comes next. Nobody may be reading the old one."""
    log.words[SIZE] = 0
    log.words[COUNT] = 0


@kernel
def seek(log, number):
    """Offset of message `number`, 1 <= number <= count + 1."""
    if number > log.words[COUNT]:
        return log.words[SIZE]
    skipped = (number - 1) & ((1 << STRIDE_BITS) - 1)
    offset = log.offsets[at((number - 1) >> STRIDE_BITS)]
    for _ in range(skipped):
        offset += LENGTH_SIZE + load_big_2(log.data, offset)
    return offset


def create_feed_log(directory: Path, size: int = LOG_SIZE) -> FeedLog:
    """An empty log in a nameless file of `directory`. Raises OSError."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.truncate(size)
        mapping = mmap.mmap(file.fileno(), size)
    smallest_packet = HEADER_SIZE + 12  # the shortest message, a system event
    return FeedLog(
        data=np.frombuffer(mapping, np.uint8),
        offsets=sparse(np.int64, (size // smallest_packet >> STRIDE_BITS) + 1),
        words=np.zeros(2, np.int64),
    )
