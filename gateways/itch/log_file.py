"""Shell: the file behind a feed log, which has its room on the disk before it is written.

Writing to a mapping that has no room behind it would be a signal, not an error; so the pump writes
only below LIMIT, and asks for more.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path

import numpy as np

from gateways.itch.feed_log import FILE, LIMIT, STRIDE_BITS, WORD_COUNT, FeedLog
from gateways.packets import HEADER_SIZE
from shm_exchange.journal_segment import NO_ROOM
from shm_exchange.market import sparse

LOG_SIZE = 1 << 36  # bytes, of address space and of the sparse file
CHUNK_SIZES = (16 << 20, 1 << 20, 1 << 16)  # bytes of room that are asked for: if not, then


def create_feed_log(directory: Path, size: int = LOG_SIZE) -> FeedLog:
    """An empty log in a nameless file of `directory`, without room yet. Raises OSError."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.truncate(size)
        mapping = mmap.mmap(file.fileno(), size)
        descriptor = os.dup(file.fileno())
    smallest_packet = HEADER_SIZE + 12  # the shortest message, a system event
    log = FeedLog(
        data=np.frombuffer(mapping, np.uint8),
        offsets=sparse(np.int64, (size // smallest_packet >> STRIDE_BITS) + 1),
        words=np.zeros(WORD_COUNT, np.int64),
    )
    log.words[FILE] = descriptor
    return log


def extend(log: FeedLog) -> bool:
    """Get room for more; False when the disk has none now. Raises OSError for other reasons."""
    limit = int(log.words[LIMIT])
    found = os.fstatvfs(int(log.words[FILE]))
    for wanted in CHUNK_SIZES:
        size = min(wanted, len(log.data) - limit)
        if found.f_bavail * found.f_frsize < 2 * size and wanted != CHUNK_SIZES[-1]:
            continue  # the journal needs room, too
        try:
            os.posix_fallocate(int(log.words[FILE]), limit, size)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
        else:
            log.words[LIMIT] = limit + size
            return True
    return False


def is_exhausted(log: FeedLog) -> bool:
    """Whether the log cannot be made any longer."""
    return int(log.words[LIMIT]) == len(log.data)


def close_feed_log(log: FeedLog) -> None:
    """Give the disk back what the log has, once nothing of it is mapped any more."""
    os.close(int(log.words[FILE]))
