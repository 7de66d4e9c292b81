"""Shell: makes segments that a crash left fit to go on with.

After a sync that failed the kernel may call pages clean that never reached the disk, and the next
sync of the same file succeeds without them. So what nobody sealed is written once more before it is
trusted: who comes after a recorder that could not sync repeats the writes, not only the sync.
"""

from __future__ import annotations

import os

from shm_exchange.journal_segment import SegmentEnd, seal_segment
from shm_exchange.journal_tail import Tail

_CHUNK_SIZE = 4 << 20


def write_again(descriptor: int, size: int) -> None:
    """Write the first `size` bytes of a file as they are. Raises OSError."""
    offset = 0
    while offset < size:
        chunk = os.pread(descriptor, min(_CHUNK_SIZE, size - offset), offset)
        written = 0
        while written < len(chunk):
            written += os.pwrite(descriptor, chunk[written:], offset + written)
        offset += len(chunk)


def finish_segment(tail: Tail) -> None:
    """Seal a segment that another one follows, or cut behind a seal that it has already."""
    descriptor = os.open(tail.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        write_again(descriptor, tail.offset)
        if tail.checksum == tail.checksum_before:
            seal_segment(SegmentEnd(descriptor, *tail[:4], 0))
        else:  # one seal more, and the next segment would not follow it any more
            os.ftruncate(descriptor, tail.offset)
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
