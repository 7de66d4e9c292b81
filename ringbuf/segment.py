"""Shell: shared-memory segments: create, attach, verify, unlink.

A segment is reserved in full before it is used (a full /dev/shm is an error at the start, never
a SIGBUS later), its pages exist before its header does, and whoever attaches verifies it first.
A segment of another layout is named in the error and left as it is.

Arrays keep the mapping alive: it goes when `close` was called and the last array over it is gone.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import NamedTuple

import numpy as np
import posix_ipc

from ringbuf import host, layout
from ringbuf.broadcast import NO_GATE, RECORDED, Broadcast
from ringbuf.errors import LayoutError, SegmentError, UsageError
from ringbuf.layout import CONTROL, PROCESS, SEGMENT_HEADER, WORD_SIZE
from ringbuf.spsc import Spsc
from ringbuf.state import State
from ringbuf.writer_lock import initialise

_MODE = 0o600
_CURSORS_SIZE = layout.BROADCAST_CURSORS.size
_PRODUCER_LOCK_SIZE = 2 * layout.WRITER_LOCK.size  # the lock, and its neighbour line unused


@State.register
class Control(NamedTuple):
    """The body of a control segment, as arrays for kernels."""

    lock: np.ndarray  # int32[32], WRITER_LOCK
    doorbells: np.ndarray  # uint8[64]
    processes: np.ndarray  # PROCESS[64]
    words: np.ndarray  # int64[32], CONTROL_WORDS


class Segment:
    """One mapping of a segment. `bytes` is everything behind the header, as uint8."""

    def __init__(self, name: str, mapping: mmap.mmap) -> None:
        self.name = name
        self.size = len(mapping)
        self._mapping: mmap.mmap | None = mapping
        self.header = np.frombuffer(mapping, SEGMENT_HEADER.dtype, count=1)
        self.bytes = np.frombuffer(mapping, np.uint8, offset=SEGMENT_HEADER.size)

    def close(self) -> None:
        """Let go of the mapping; it ends when the last array over it is gone."""
        self.header = self.bytes = np.empty(0, np.uint8)
        mapping, self._mapping = self._mapping, None
        if mapping is not None:
            try:
                mapping.close()
            except BufferError:
                pass  # arrays are still in use; the last one closes it

    def unlink(self) -> None:
        """Remove the name; the memory goes with its last user."""
        remove(self.name)


def exists(name: str) -> bool:
    """True when there is a segment of this name."""
    try:
        os.close(posix_ipc.SharedMemory(name).fd)
    except posix_ipc.ExistentialError:
        return False
    return True


def remove(name: str) -> bool:
    """Remove a segment if it is there; True when it was."""
    try:
        posix_ipc.unlink_shared_memory(name)
    except posix_ipc.ExistentialError:
        return False
    return True


def create_segment(
    name: str,
    size: int,
    digest: int,
    identity: int,
    *,
    kind: int = layout.KIND_PLAIN,
    capacity: int = 0,
    record_size: int = 0,
    lock: bool = False,
    huge: bool = False,
) -> Segment:
    """A new segment of zeros: `size` bytes behind the header, or SegmentError and nothing.

    lock: keep it in memory; huge: ask for huge pages. The caller fills it and then calls
    `seal`; until then nobody can attach.
    """
    total = SEGMENT_HEADER.size + size
    try:
        descriptor = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=_MODE).fd
    except posix_ipc.ExistentialError as error:
        raise SegmentError(f"segment {name} exists: another owner runs, or left it") from error
    try:
        segment = Segment(name, _map_new(descriptor, total, huge=huge))
        if lock:
            host.lock_memory(segment.bytes)
    except OSError as error:
        remove(name)
        raise SegmentError(f"no room for {name}, {total} bytes: {error.strerror}") from error
    except SegmentError:
        remove(name)
        raise
    finally:
        os.close(descriptor)
    header = segment.header[0]
    header["version"] = layout.VERSION
    header["segment_size"] = total
    header["kind"] = kind
    header["digest"] = digest
    header["frame_digest"] = layout.FRAME_DIGEST
    header["identity"] = identity
    header["capacity"] = capacity
    header["record_size"] = record_size
    header["created_ns"] = time.time_ns()
    header["creator"] = os.getpid()
    if kind == layout.KIND_PLAIN:
        seal(segment)
    return segment


def seal(segment: Segment) -> None:
    """Let others attach: the contents are as they must be."""
    segment.header[0]["magic"] = layout.MAGIC


def _map_new(descriptor: int, total: int, *, huge: bool) -> mmap.mmap:
    """Reserve `total` bytes and map them, every page present. Raises OSError."""
    if not huge:
        os.posix_fallocate(descriptor, 0, total)
        return mmap.mmap(descriptor, total, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    os.ftruncate(descriptor, total)
    mapping = mmap.mmap(descriptor, total, flags=mmap.MAP_SHARED)
    try:
        mapping.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        pass  # a kernel without them: small pages do the same work
    host.populate(np.frombuffer(mapping, np.uint8))  # before fallocate would take small ones
    os.posix_fallocate(descriptor, 0, total)
    return mapping


def attach_segment(
    name: str, digest: int | None, identity: int | None = None, *, read_only: bool = False
) -> Segment:
    """Map an existing segment and verify it: SegmentError without it, LayoutError if it differs.

    digest None: any contents (for tools that print). A read-only mapping cannot be changed, and
    its arrays are of another type to a compiled kernel: tools only.
    """
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    protection = mmap.PROT_READ if read_only else mmap.PROT_READ | mmap.PROT_WRITE
    try:
        descriptor = posix_ipc.SharedMemory(name, read_only=read_only).fd
    except posix_ipc.ExistentialError as error:
        raise SegmentError(f"no segment {name}: its owner does not run") from error
    except posix_ipc.PermissionsError as error:
        raise SegmentError(f"segment {name} belongs to another user") from error
    try:
        found = os.fstat(descriptor).st_size
        if found < SEGMENT_HEADER.size:
            raise SegmentError(f"segment {name} has {found} bytes: it is being made, or damaged")
        segment = Segment(name, mmap.mmap(descriptor, found, flags=flags, prot=protection))
    finally:
        os.close(descriptor)
    try:
        _verify(segment, digest, identity)
    except (LayoutError, SegmentError):
        segment.close()
        raise
    return segment


def _verify(segment: Segment, digest: int | None, identity: int | None) -> None:
    header = segment.header[0]
    if header["magic"] == 0:
        raise SegmentError(f"segment {segment.name} is being made, or its maker died")
    expected = {
        "magic": layout.MAGIC,
        "version": layout.VERSION,
        "frame_digest": layout.FRAME_DIGEST,
        "segment_size": segment.size,
        "digest": digest,
        "identity": identity,
    }
    for field, value in expected.items():
        if value is not None and header[field] != value:
            raise LayoutError(
                f"segment {segment.name} has {field} {int(header[field]):#x}, "
                f"expected {value:#x}: it was written by another build or for another owner"
            )


def _expect_kind(segment: Segment, kind: int, record_size: int) -> None:
    header = segment.header[0]
    for field, value in (("kind", kind), ("record_size", record_size)):
        if header[field] != value:
            found = int(header[field])
            segment.close()
            raise LayoutError(f"segment {segment.name} has {field} {found}, expected {value}")


def _expect_capacity(capacity: int) -> None:
    if capacity < 8 or capacity & (capacity - 1):
        raise UsageError(f"the capacity {capacity} is not a power of two from 8 up")


def _broadcast(segment: Segment, dtype: np.dtype) -> Broadcast:
    capacity = int(segment.header[0]["capacity"])
    return Broadcast(
        cursors=segment.bytes[:_CURSORS_SIZE].view(np.int64),
        records=segment.bytes[_CURSORS_SIZE:][: capacity * dtype.itemsize].view(dtype),
    )


def create_broadcast(
    name: str,
    dtype: np.dtype,
    capacity: int,
    digest: int,
    identity: int,
    *,
    lock: bool = False,
    huge: bool = False,
) -> tuple[Segment, Broadcast]:
    """A new, empty broadcast ring that nobody gates."""
    _expect_capacity(capacity)
    size = _CURSORS_SIZE + capacity * dtype.itemsize
    segment = create_segment(
        name,
        size,
        digest,
        identity,
        kind=layout.KIND_BROADCAST,
        capacity=capacity,
        record_size=dtype.itemsize,
        lock=lock,
        huge=huge,
    )
    ring = _broadcast(segment, dtype)
    ring.cursors[RECORDED] = NO_GATE
    seal(segment)
    return segment, ring


def attach_broadcast(
    name: str,
    dtype: np.dtype,
    digest: int | None,
    identity: int | None = None,
    *,
    read_only: bool = False,
) -> tuple[Segment, Broadcast]:
    """An existing broadcast ring of this record type."""
    segment = attach_segment(name, digest, identity, read_only=read_only)
    _expect_kind(segment, layout.KIND_BROADCAST, dtype.itemsize)
    return segment, _broadcast(segment, dtype)


def _spsc(segment: Segment, dtype: np.dtype) -> Spsc:
    capacity = int(segment.header[0]["capacity"])
    start = _CURSORS_SIZE + _PRODUCER_LOCK_SIZE
    return Spsc(
        cursors=segment.bytes[:_CURSORS_SIZE].view(np.int64),
        records=segment.bytes[start:][: capacity * dtype.itemsize].view(dtype),
    )


def producer_lock(segment: Segment) -> np.ndarray:
    """The lock of a queue's producer, int32[32]: at most one process produces into it."""
    start = _CURSORS_SIZE
    return segment.bytes[start : start + layout.WRITER_LOCK.size].view(np.int32)


def create_spsc(
    name: str,
    dtype: np.dtype,
    capacity: int,
    digest: int,
    identity: int,
    *,
    lock: bool = False,
    huge: bool = False,
) -> tuple[Segment, Spsc]:
    """A new, empty queue of one producer and one consumer, its producer lock free."""
    _expect_capacity(capacity)
    size = _CURSORS_SIZE + _PRODUCER_LOCK_SIZE + capacity * dtype.itemsize
    segment = create_segment(
        name,
        size,
        digest,
        identity,
        kind=layout.KIND_SPSC,
        capacity=capacity,
        record_size=dtype.itemsize,
        lock=lock,
        huge=huge,
    )
    initialise(producer_lock(segment))
    seal(segment)
    return segment, _spsc(segment, dtype)


def attach_spsc(
    name: str,
    dtype: np.dtype,
    digest: int | None,
    identity: int | None = None,
    *,
    read_only: bool = False,
) -> tuple[Segment, Spsc]:
    """An existing queue of this record type."""
    segment = attach_segment(name, digest, identity, read_only=read_only)
    _expect_kind(segment, layout.KIND_SPSC, dtype.itemsize)
    return segment, _spsc(segment, dtype)


def control_of(segment: Segment) -> Control:
    """The arrays of a control segment."""

    def part(field: str, dtype: np.dtype | type) -> np.ndarray:
        start = CONTROL.offset_of(field)
        size = next(each.size for each in CONTROL.fields if each.name == field)
        return segment.bytes[start : start + size].view(dtype)

    return Control(
        lock=part("lock", np.int32),
        doorbells=part("doorbells", np.uint8),
        processes=part("processes", PROCESS.dtype),
        words=part("words", np.int64),
    )


def create_control(
    name: str, digest: int, identity: int, *, lock: bool = False
) -> tuple[Segment, Control]:
    """A new control segment: the writer lock free, nobody asleep, no process."""
    segment = create_segment(
        name,
        CONTROL.size,
        digest,
        identity,
        kind=layout.KIND_CONTROL,
        capacity=layout.PROCESS_LIMIT,
        record_size=PROCESS.size,
        lock=lock,
    )
    control = control_of(segment)
    initialise(control.lock)
    seal(segment)
    host.register_barrier()
    return segment, control


def attach_control(
    name: str, digest: int | None, identity: int | None = None, *, read_only: bool = False
) -> tuple[Segment, Control]:
    """An existing control segment. From now on sleepers' barriers reach this process."""
    segment = attach_segment(name, digest, identity, read_only=read_only)
    _expect_kind(segment, layout.KIND_CONTROL, PROCESS.size)
    if not read_only:
        host.register_barrier()
    return segment, control_of(segment)


def process_line(control: Control, number: int) -> np.ndarray:
    """The line of process `number` as int64[32], for its own counters (`layout.PROCESS_*`)."""
    words = control.processes.view(np.int64)
    start = number * PROCESS.size // WORD_SIZE
    return words[start : start + PROCESS.size // WORD_SIZE]
