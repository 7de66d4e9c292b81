"""Shell: room on the disk that is held back for the journal when all other room is used up.

A preallocated file that is never written. Giving some of it back makes room for the next segment;
it is made whole again only when the disk has room for it and for a segment besides.
"""

from __future__ import annotations

import os
from pathlib import Path

from shm_exchange.journal_segment import NO_ROOM


class Reserve:
    """The reserve of one engine's journal. One thread uses it, under the journal's lock."""

    def __init__(self, directory: Path, engine: int, size: int) -> None:
        """size: bytes when it is whole; 0: none is kept."""
        self.path = directory / f"reserve-e{engine}"
        self.size = size

    @property
    def held(self) -> int:
        """Bytes that it holds now."""
        try:
            return self.path.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def make(self, spare: int) -> bool:
        """Make it whole if `spare` bytes are left then; whether it is. Raises OSError."""
        missing = max(0, self.size - self.held)
        if self._free() < missing + spare:
            return False
        if missing == 0:
            return True
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(descriptor, 0, self.size)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return False
        finally:
            os.close(descriptor)
        return True

    def take(self, count: int) -> bool:
        """Give up to `count` bytes back to the disk; False when there is nothing left to give."""
        held = self.held
        if held == 0:
            return False
        os.truncate(self.path, max(0, held - count))
        return True

    def release(self) -> None:
        """Give all of it back: nobody writes for now."""
        self.path.unlink(missing_ok=True)

    def _free(self) -> int:
        found = os.statvfs(self.path.parent)
        return found.f_bavail * found.f_frsize
