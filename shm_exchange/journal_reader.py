"""Shell: the journal's reader: finds a position, proves what it reads, never writes.

Works beside a live recorder: it looks only at blocks up to the one that holds the position asked
for, and the caller asks only for what `recorded` says is written. Files are read, not mapped: a
segment that is cut by its writer, or a bad disk, is an error here and not a signal.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from shm_exchange.journal_layout import BLOCK_RECORDS_MAX, CELL_SIZE, PAGE_SIZE
from shm_exchange.journal_runs import Run, read_runs, warm_up
from shm_exchange.journal_segment import (
    Block,
    JournalDamaged,
    JournalError,
    Owner,
    SegmentHeader,
    read_header,
    segment_paths,
    unpack_block,
)
from shm_exchange.journal_tail import find_tail
from shm_exchange.messages import EVENT_DTYPE

BATCH_RECORDS_MAX = BLOCK_RECORDS_MAX


class _Segment:
    """One open segment and the index of its blocks, as far as anybody asked."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.header: SegmentHeader = read_header(self.descriptor, path, owner)
        except BaseException:
            os.close(self.descriptor)
            raise
        self.positions: list[int] = []  # first position of each block that has records
        self.offsets: list[int] = []
        self.end_offset = PAGE_SIZE
        self.end_position = self.header.first_position
        self.end_checksum = self.header.checksum

    def find(self, position: int) -> Block | None:
        """The header of the block that holds `position`, or None where the segment ends."""
        while self.end_position <= position:
            block = self._header_at(self.end_offset)
            chain = (self.end_position, self.end_checksum)
            if block is None or (block.first_position, block.previous_checksum) != chain:
                return None
            if block.record_count:
                self.positions.append(block.first_position)
                self.offsets.append(block.offset)
            self.end_offset = block.end_offset
            self.end_position = block.end_position
            self.end_checksum = block.checksum
        return self._header_at(self.offsets[bisect_right(self.positions, position) - 1])

    def load(self, block: Block) -> np.ndarray | None:
        """The records of a block, or None when they are not what its header says."""
        records = np.empty(block.record_count, EVENT_DTYPE)
        view = records.view(np.uint8).data
        got = os.preadv(self.descriptor, [view], block.offset + CELL_SIZE)
        if got != len(view) or xxh3_64_intdigest(view) != block.records_checksum:
            return None
        return records

    def close(self) -> None:
        os.close(self.descriptor)

    def _header_at(self, offset: int) -> Block | None:
        return unpack_block(os.pread(self.descriptor, CELL_SIZE, offset), 0, offset)


class JournalReader:
    """Reads the journal of one engine. Not for two threads at once."""

    def __init__(self, directory: Path, owner: Owner) -> None:
        self.directory = directory
        self.owner = owner
        self._segments: list[tuple[int, Path]] = []
        self._open: _Segment | None = None  # the segment used last
        self._block: Block | None = None  # the block read last, and its records
        self._records = np.empty(0, EVENT_DTYPE)
        warm_up()  # here: whoever may have to read one day does not compile then
        self.refresh()

    def refresh(self) -> None:
        """Look for new segments."""
        self._segments = segment_paths(self.directory, self.owner.engine)

    @property
    def first_position(self) -> int | None:
        """The oldest position that is kept, or None when there is no journal."""
        return self._segments[0][0] if self._segments else None

    def end(self) -> int | None:
        """Where the journal ends (its last commit), or None when there is none.

        Checks what a crash may have torn; raise JournalDamaged as opening it for writing would.
        """
        tail = find_tail(self.directory, self.owner)
        return None if tail is None else tail.position

    def read(self, position: int, count: int) -> np.ndarray:
        """Up to `count` records from `position` on; fewer where the proof ends (see `end`)."""
        parts: list[np.ndarray] = []
        while count > 0:
            records, first = self._block_with(position)
            if records is None:
                break
            part = records[position - first : position - first + count]
            parts.append(part)
            position += len(part)
            count -= len(part)
        if len(parts) == 1:
            return parts[0]
        together = np.empty(sum(len(part) for part in parts), EVENT_DTYPE)
        target, start = together.view(np.uint8), 0
        for part in parts:
            source = part.view(np.uint8)
            target[start : start + len(source)] = source
            start += len(source)
        return together

    def batches(self, position: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """All records of [position, stop) in order, as (first position, EVENT array).

        An array holds at most BATCH_RECORDS_MAX and is valid until the next step. Raise
        JournalDamaged when the journal does not prove right up to `stop`.
        """
        for run in self._runs(position, stop):
            first = run.end_position
            records = run.records()
            first -= len(records)
            records = records[max(0, position - first) : stop - first]
            if len(records):
                yield position, records
                position += len(records)

    def close(self) -> None:
        """Close the files."""
        if self._open is not None:
            self._open.close()
            self._open = None

    # ------------------------------------------------------------ within

    def _segment_with(self, position: int) -> _Segment | None:
        """The segment in which `position` is or would be."""
        if not self._segments:
            return None
        if position < self._segments[0][0]:
            raise self._is_gone(position)
        number = bisect_right(self._segments, position, key=lambda each: each[0]) - 1
        first, path = self._segments[number]
        if self._open is None or self._open.header.first_position != first:
            self.close()
            try:
                self._open = _Segment(path, self.owner)
            except FileNotFoundError as error:  # removed since we looked
                self.refresh()
                raise self._is_gone(position) from error
        return self._open

    def _is_gone(self, position: int) -> JournalError:
        begins = f"begins at position {self._segments[0][0]}" if self._segments else "is gone"
        return JournalError(
            f"{self.directory}: the journal of engine {self.owner.engine} {begins};"
            f" position {position} is no longer kept"
        )

    def _block_with(self, position: int) -> tuple[np.ndarray | None, int]:
        """The records of the block that holds `position`, and the position of its first."""
        if self._block is not None and 0 <= position - self._block.first_position < len(
            self._records
        ):
            return self._records, self._block.first_position
        for _ in range(2):
            segment = self._segment_with(position)
            block = segment.find(position) if segment is not None else None
            if segment is not None and block is not None:
                records = segment.load(block)
                if records is None:
                    return None, 0
                self._block, self._records = block, records
                return records, block.first_position
            self.refresh()  # perhaps a segment began since we looked
        return None, 0

    def _runs(self, position: int, stop: int) -> Iterator[Run]:
        """Every block with records of [position, stop), over all segments."""
        self.refresh()
        checksums: tuple[int, ...] = ()
        path = self.directory
        while position < stop:
            segment = self._segment_with(position)
            block = segment.find(position) if segment is not None else None
            if segment is None or block is None:
                raise JournalDamaged(path, position, f"ends here; it must reach {stop}")
            path = segment.path
            if checksums and segment.header.previous_checksum not in checksums:
                raise JournalDamaged(path, position, "does not follow the segment before it")
            before = position
            start = (block.offset, block.first_position, block.previous_checksum)
            for run in read_runs(segment.descriptor, *start, stop):
                # A seal is written later than the next segment, which names the block before it.
                last = run.block(-1)
                checksums = (last.checksum, last.previous_checksum)
                position = run.end_position
                yield run
            if position == before:
                raise JournalDamaged(path, position, "the checksum of the records is wrong")
