"""Shell: the events from any position on: from the ring while it has them, else from the journal.

For whoever comes late or was lapped: a gateway that replays a session's stream, a replica that
rebuilds. Reads only; works beside a live matcher and a live recorder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ringbuf.broadcast import NO_GATE, Broadcast, overwritten, published
from shm_exchange.groups import whole_groups
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_segment import JournalDamaged, JournalError, Owner
from shm_exchange.messages import EVENT, EVENT_DTYPE
from shm_exchange.recording import durable, recorded


def ring_slices(
    data: memoryview, capacity: int, position: int, count: int
) -> tuple[memoryview, ...]:
    """The bytes of `count` records from `position` on, in a ring's bytes; two pieces at a wrap."""
    size = EVENT.size
    first = position & (capacity - 1)
    until_wrap = capacity - first
    if count <= until_wrap:
        return (data[first * size : (first + count) * size],)
    return data[first * size :], data[: (count - until_wrap) * size]


def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Events behind events. (np.concatenate would lay out anew what shares bytes.)"""
    both = np.empty(len(first) + len(second), EVENT_DTYPE)
    data = both.view(np.uint8)
    data[: first.nbytes] = first.view(np.uint8)
    data[first.nbytes :] = second.view(np.uint8)
    return both


class History:
    """Events by position. Not for two threads at once."""

    def __init__(
        self, ring: Broadcast, directory: Path, owner: Owner, *, held: bool = False
    ) -> None:
        """held: nothing is there before it survives a loss of power."""
        self.ring = ring
        self._held = held
        self._data = ring.records.view(np.uint8).data
        self._journal = JournalReader(directory, owner)

    def end(self) -> int:
        """Position behind the last event that is there."""
        return int(durable(self.ring) if self._held else published(self.ring))

    def begin(self) -> int:
        """Position of the oldest event that is there, as far as the journal goes."""
        self._journal.refresh()
        return self._journal.first_position or 0

    def read(self, position: int, limit: int) -> np.ndarray:
        """A copy of up to `limit` events from `position` on; empty when there is none yet.

        It ends with a whole group: `limit` is not less than the longest.

        Raise JournalError when neither ring nor journal has them.
        """
        count = min(limit, self.end() - position)
        if count <= 0:
            return np.empty(0, EVENT_DTYPE)
        records = self._from_ring(position, count)
        if records is None:
            records = self._from_journal(position, count)
        return records[: whole_groups(records, len(records))]

    def close(self) -> None:
        """Close the journal's files."""
        self._journal.close()

    def _from_ring(self, position: int, count: int) -> np.ndarray | None:
        if overwritten(self.ring, position):
            return None
        records = np.empty(count, EVENT_DTYPE)
        target, start = records.view(np.uint8).data, 0
        for piece in ring_slices(self._data, len(self.ring.records), position, count):
            target[start : start + len(piece)] = piece
            start += len(piece)
        return None if overwritten(self.ring, position) else records

    def _from_journal(self, position: int, count: int) -> np.ndarray:
        written = int(recorded(self.ring))
        if written == NO_GATE:
            raise JournalError(
                f"position {position} is no longer in the ring, and no recorder writes a journal"
            )
        records = self._journal.read(position, min(count, written - position))
        if len(records) == 0:
            raise JournalDamaged(
                self._journal.directory, position, f"the journal must reach {written}"
            )
        return records
