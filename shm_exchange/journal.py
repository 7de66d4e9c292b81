"""Shell: the journal's writer: EVENT records to disk, in blocks, in segments.

Segments follow each other without a gap; a new one begins when the next append does not fit, so an
append is never split over two. `append` makes bytes visible to other processes and waits for no
disk; `sync` makes them survive a loss of power, and seals the segments that are finished. The
journal ends where an append ended: never within a commit.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from shm_exchange.journal_layout import (
    BLOCK_COMMIT,
    BLOCK_EVENTS,
    BLOCK_RECORDS_MAX,
    CELL_SIZE,
    PAGE_SIZE,
)
from shm_exchange.journal_repair import finish_segment, write_again
from shm_exchange.journal_segment import (
    Block,
    JournalError,
    JournalFull,
    Owner,
    SegmentEnd,
    SegmentHeader,
    create_segment,
    pack_block,
    raise_for,
    seal_segment,
    segment_path,
    segment_paths,
    sync_directory,
)
from shm_exchange.journal_tail import find_tail
from shm_exchange.messages import EVENT
from shm_exchange.reserve import Reserve

SEGMENT_SIZE = 128 << 20  # two million events
SHORT_PARTS = 16  # while the disk is short, such a part of a segment is allocated at a time
_LOCK_WAIT_SECONDS = 5.0  # a killed recorder's lock lives until its memory is torn down
_VECTOR_MAX = 1000  # below IOV_MAX


def record_bytes(records: np.ndarray) -> memoryview:
    """The bytes of a contiguous EVENT array, without a copy."""
    return records.view(np.uint8).data


class Journal:
    """The writer. Opening it checks the last segment, cuts a torn tail and takes the lock.

    append and close: one thread. sync: this one or one other. `position` is the next append's
    first; what is below `durable` survives a loss of power.
    """

    def __init__(
        self,
        directory: Path,
        owner: Owner,
        *,
        first_position: int = 0,
        segment_size: int = SEGMENT_SIZE,
        stream: bytes = b"",
        reserve_size: int = 0,
    ) -> None:
        """first_position: where a journal begins that does not exist yet.

        reserve_size: bytes held back, which are used when the disk has no other room.
        """
        self.directory = directory
        self.owner = owner
        self.stream = stream
        self.position = first_position
        self.durable = first_position
        self.torn_bytes = 0  # what opening cut away
        self.torn_records = 0
        self.short = False  # the disk has no room but the reserve
        self._reserve = Reserve(directory, owner.engine, reserve_size)
        self._segment_size = max(segment_size, PAGE_SIZE + 2 * CELL_SIZE)
        self._descriptor = -1
        self._path = directory
        self._offset = 0
        self._allocated = 0
        self._checksum = 0
        self._sealed = False  # nothing was appended since the segment was sealed
        self._finished: list[SegmentEnd] = []  # segments that sync has to seal
        self._new_names = True  # names that sync has to make durable
        # Held for moments only: sync takes over what append leaves to it.
        self._hand_over = threading.Lock()
        self._writer_lock = self._take_writer_lock()
        try:
            self._open_last()
            self.make_reserve()
        except BaseException:
            self._release()
            raise

    def append(self, slices: Sequence[memoryview], now_ns: int) -> int:
        """Write the records of `slices` (bytes of whole EVENTs) as one commit; return `position`.

        Raise JournalFull when the disk has no room: nothing has changed then.
        """
        needed = CELL_SIZE  # room for the seal
        for each in slices:
            count = len(each) // EVENT.size
            needed += len(each) + -(-count // BLOCK_RECORDS_MAX) * CELL_SIZE
        if needed == CELL_SIZE:
            return self.position
        self._make_room(needed, now_ns)
        blocks, vectors = self._blocks(slices, now_ns)
        self._write(vectors)
        self._sealed = False
        self._offset = blocks[-1].end_offset
        self._checksum = blocks[-1].checksum
        self.position = blocks[-1].end_position
        return self.position

    def sync(self) -> int:
        """Force everything appended to the disk; return the new `durable`.

        Raise OSError when the kernel could not: what is on disk is unknown then, and another try
        would report a success that it is not. The caller must end.
        """
        with self._hand_over:
            descriptor, position = self._descriptor, self.position
            if position == self.durable and not self._finished:
                return position
            finished, self._finished = self._finished, []
            new_names, self._new_names = self._new_names, False
        for each in finished:
            seal_segment(each)
            os.close(each.descriptor)
        if new_names:
            sync_directory(self.directory)
        os.fdatasync(descriptor)
        self.durable = position
        return position

    def close(self, now_ns: int) -> None:
        """Sync, seal and give up the lock. No other thread may use the journal any more."""
        self.sync()
        if self._descriptor >= 0 and not self._sealed:
            seal_segment(self._segment_end(now_ns), ended=True)
        if self._reserve.size:
            self._reserve.release()
        self._release()

    def make_reserve(self) -> None:
        """Make the reserve whole and be `short` no longer, if the disk has room. Raises OSError."""
        self.short = not self._reserve.make(self._segment_size)

    def abandon(self) -> None:
        """Give up the lock and write nothing more, as after an error."""
        self._release()

    # ------------------------------------------------------------ within

    def _take_writer_lock(self) -> int:
        path = self.directory / f"journal-e{self.owner.engine}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise_for(error, path)
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise JournalError(f"{path}: another recorder writes this journal") from None
            time.sleep(0.01)

    def _release(self) -> None:
        finished = [each.descriptor for each in self._finished]
        for descriptor in (self._descriptor, self._writer_lock, *finished):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._writer_lock = -1
        self._finished = []

    def _open_last(self) -> None:
        for path in self.directory.glob(f"journal-e{self.owner.engine}-*.new"):
            path.unlink()
        tail = find_tail(self.directory, self.owner)
        if tail is None:
            for _, path in segment_paths(self.directory, self.owner.engine):
                path.unlink()  # never begun
            return
        self.torn_bytes, self.torn_records = tail.torn_bytes, tail.torn_records
        self._path = tail.path
        try:
            for path in reversed(tail.torn_paths):
                path.unlink()
            for each in tail.unsealed:
                finish_segment(each)
            self._descriptor = os.open(tail.path, os.O_RDWR | os.O_CLOEXEC)
            # Cut even when nothing is torn: what is allocated beyond is allocated again on need.
            os.ftruncate(self._descriptor, tail.offset)
            if not tail.is_ended:
                write_again(self._descriptor, tail.offset)
            os.fsync(self._descriptor)
            sync_directory(self.directory)
        except OSError as error:
            raise_for(error, tail.path)
        self._offset = self._allocated = tail.offset
        self.position = self.durable = tail.position
        self._checksum = tail.checksum
        self._sealed = tail.checksum != tail.checksum_before

    def _make_room(self, needed: int, now_ns: int) -> None:
        """Let `needed` bytes be allocated behind `_offset`, from the reserve if need be."""
        if self._descriptor >= 0 and self._offset + needed <= self._allocated:
            return
        while True:
            try:
                return self._allocate(needed, now_ns)
            except JournalFull:
                # Once more in any case: being short, it asks for less.
                again, self.short = not self.short, True
                if not again and not self._reserve.take(PAGE_SIZE + max(needed, self._step)):
                    raise

    @property
    def _step(self) -> int:
        """Bytes that are allocated at a time: a whole segment, or little when there is little."""
        return self._segment_size // (SHORT_PARTS if self.short else 1)

    def _allocate(self, needed: int, now_ns: int) -> None:
        """In this segment or in a new one."""
        end = self._offset + needed
        fits = end <= self._segment_size or self._offset == PAGE_SIZE
        if self._descriptor < 0 or not fits:
            self._begin_segment(max(self._step, PAGE_SIZE + needed), now_ns)
            return
        size = max(end, min(self._segment_size, self._allocated + self._step))
        try:
            os.posix_fallocate(self._descriptor, self._allocated, size - self._allocated)
        except OSError as error:
            raise_for(error, self._path)
        self._allocated = size

    def _begin_segment(self, size: int, now_ns: int) -> None:
        header = SegmentHeader(self.position, self._checksum, 0, self.stream)
        created = create_segment(self.directory, self.owner, header, size, now_ns)
        with self._hand_over:
            if self._descriptor >= 0:
                self._finished.append(self._segment_end(now_ns))
            self._new_names = True
            self._descriptor, self._checksum = created
        self._path = segment_path(self.directory, self.owner.engine, self.position)
        self._offset, self._allocated = PAGE_SIZE, size

    def _segment_end(self, now_ns: int) -> SegmentEnd:
        return SegmentEnd(
            self._descriptor, self._path, self._offset, self.position, self._checksum, now_ns
        )

    def _blocks(
        self, slices: Sequence[memoryview], now_ns: int
    ) -> tuple[list[Block], list[bytes | memoryview]]:
        """The blocks of one append, and what to write for them: headers and the slices' own bytes.

        The last one has the commit flag.
        """
        pieces = []
        size = BLOCK_RECORDS_MAX * EVENT.size
        for each in slices:
            pieces += [each[start : start + size] for start in range(0, len(each), size)]
        blocks: list[Block] = []
        vectors: list[bytes | memoryview] = []
        offset, position, checksum = self._offset, self.position, self._checksum
        for piece in pieces:
            flags = BLOCK_COMMIT if piece is pieces[-1] else 0
            block = Block(
                offset, BLOCK_EVENTS, flags, position, len(piece) // EVENT.size, now_ns,
                self.durable, xxh3_64_intdigest(piece), checksum, 0,
            )  # fmt: skip
            header = pack_block(block)
            block = block._replace(checksum=int.from_bytes(header[-8:], "little"))
            offset, position, checksum = block.end_offset, block.end_position, block.checksum
            blocks.append(block)
            vectors += [header, piece]
        return blocks, vectors

    def _write(self, vectors: list[bytes | memoryview]) -> None:
        """Write all vectors at `_offset`. A partial write is continued."""
        offset = self._offset
        waiting: list[bytes | memoryview] = vectors
        try:
            while waiting:
                written = os.pwritev(self._descriptor, waiting[:_VECTOR_MAX], offset)
                offset += written
                number = 0
                while number < len(waiting) and written >= len(waiting[number]):
                    written -= len(waiting[number])
                    number += 1
                waiting = waiting[number:]
                if written:
                    waiting[0] = waiting[0][written:]
        except OSError as error:
            raise_for(error, self._path)
