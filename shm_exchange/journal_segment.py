"""Shell: one segment file of the journal: its name, its header, its blocks.

A block proves itself: its header and its records are checksummed, and each header names the
checksum of the one before.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from xxhash import xxh3_64_intdigest

from ringbuf.errors import LayoutError
from shm_exchange.errors import ExchangeError
from shm_exchange.journal_layout import (
    BLOCK_COMMIT,
    BLOCK_ENDED,
    BLOCK_EVENTS,
    BLOCK_HEADER,
    BLOCK_MAGIC,
    BLOCK_RECORDS_MAX,
    BLOCK_SEAL,
    CELL_SIZE,
    IDENTITY_SIZE,
    JOURNAL_DIGEST,
    JOURNAL_HEADER,
    JOURNAL_MAGIC,
    JOURNAL_VERSION,
    PAGE_SIZE,
    STREAM_SIZE,
)
from shm_exchange.messages import EVENT

_CODES = {"u1": "B", "u2": "H", "u4": "I", "i8": "q", "u8": "Q"}
_BLOCK = struct.Struct("<" + "".join(_CODES[each.type] for each in BLOCK_HEADER.fields))
_CHECKED_SIZE = BLOCK_HEADER.offset_of("checksum")
_BLOCK_NAMES = (
    *("kind", "flags", "first_position", "count", "written_ns", "durable"),
    *("records_checksum", "previous_checksum", "checksum"),
)
_REMEDY = (
    "copy the state directory before anything else, then restore a backup"
    ' (docs/operations.md, "Backup and disaster recovery")'
)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class JournalError(ExchangeError):
    """The journal cannot be opened, read or written: the message names the file."""


class JournalFull(JournalError):
    """No room on the disk. Nothing was written; the same append may be tried again."""


class JournalDamaged(JournalError):
    """Bytes that were safe on disk have changed, or a file is missing. Nothing is touched."""

    def __init__(self, path: Path, position: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at position {position}: {reason}; {_REMEDY}")
        self.path = path
        self.position = position


class TornHeader(JournalDamaged):
    """A file header of which a part never reached the disk."""


class Owner(NamedTuple):
    """Whose journal it is."""

    identity: bytes  # 16 bytes, of the state directory
    engine: int

    @classmethod
    def of(cls, identity: int, engine: int) -> Owner:
        """An owner whose identity is a number, as in the header of a segment in memory."""
        return cls(identity.to_bytes(IDENTITY_SIZE, "little"), engine)


class Block(NamedTuple):
    """A block header and where it stands. The fields are those of BLOCK_HEADER."""

    offset: int
    kind: int
    flags: int
    first_position: int
    record_count: int
    written_ns: int
    durable: int
    records_checksum: int
    previous_checksum: int
    checksum: int

    @property
    def end_offset(self) -> int:
        """Where the next block header stands."""
        return self.offset + CELL_SIZE + self.record_count * EVENT.size

    @property
    def end_position(self) -> int:
        """Position of the first record behind the block."""
        return self.first_position + self.record_count


class SegmentEnd(NamedTuple):
    """A segment to which nothing will be appended, and where its seal goes."""

    descriptor: int
    path: Path
    offset: int
    position: int
    checksum: int  # of its last header
    now_ns: int


class SegmentHeader(NamedTuple):
    """What the first page of a segment says."""

    first_position: int
    previous_checksum: int
    checksum: int
    stream: bytes


def segment_path(directory: Path, engine: int, first_position: int) -> Path:
    """The file of the segment whose first record has `first_position`."""
    return directory / f"journal-e{engine}-{first_position:020d}.shmj"


def segment_paths(directory: Path, engine: int) -> list[tuple[int, Path]]:
    """(first position, file) of every segment of an engine, oldest first."""
    found = []
    for path in directory.glob(f"journal-e{engine}-*.shmj"):
        number = path.stem.rsplit("-", 1)[1]
        if number.isdigit():
            found.append((int(number), path))
    return sorted(found)


def raise_for(error: OSError, path: Path) -> NoReturn:
    """Raise `error` as the journal's own, naming the file: JournalFull when there is no room."""
    kind = JournalFull if error.errno in NO_ROOM else JournalError
    raise kind(f"{path}: cannot be written: {error.strerror}") from error


def sync_directory(directory: Path) -> None:
    """Make names that were created or removed in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_segment(
    directory: Path, owner: Owner, header: SegmentHeader, size: int, now_ns: int
) -> tuple[int, int]:
    """Make a segment of `size` bytes; return its descriptor and its header's checksum.

    Nothing is synced: that would keep the next append waiting. The first sync does it.
    """
    path = segment_path(directory, owner.engine, header.first_position)
    aside = path.with_suffix(".new")
    page = np.zeros(1, JOURNAL_HEADER.dtype)
    row = page[0]
    row["magic"] = JOURNAL_MAGIC
    row["version"] = JOURNAL_VERSION
    row["record_size"] = EVENT.size
    row["layout_digest"] = JOURNAL_DIGEST
    row["identity"] = np.frombuffer(owner.identity, np.uint8)
    row["engine"] = owner.engine
    row["first_position"] = header.first_position
    row["created_ns"] = now_ns
    row["previous_checksum"] = header.previous_checksum
    row["stream"] = np.frombuffer(header.stream.ljust(STREAM_SIZE, b"\0"), np.uint8)
    checksum = xxh3_64_intdigest(page.tobytes()[:-8])
    row["checksum"] = checksum
    descriptor = -1
    try:
        descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        os.posix_fallocate(descriptor, 0, size)
        os.pwrite(descriptor, page.tobytes(), 0)
        os.rename(aside, path)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
            aside.unlink(missing_ok=True)
        raise_for(error, path)
    return descriptor, checksum


def read_header(descriptor: int, path: Path, owner: Owner) -> SegmentHeader:
    """Check the first page of a segment. Raise LayoutError or JournalError; touch nothing."""
    page = os.pread(descriptor, PAGE_SIZE, 0)
    row = np.frombuffer(page.ljust(PAGE_SIZE, b"\0"), JOURNAL_HEADER.dtype)[0]
    named = int(path.stem.rsplit("-", 1)[1])
    if len(page) < PAGE_SIZE or int(row["magic"]) == 0 or int(row["checksum"]) == 0:
        raise TornHeader(path, named, "its header was never wholly written")
    if int(row["magic"]) != JOURNAL_MAGIC:
        raise JournalDamaged(path, named, "this is not the header of a journal segment")
    # Before anything else is believed: it stands at the end of the page in every version.
    if xxh3_64_intdigest(page[:-8]) != int(row["checksum"]):
        raise JournalDamaged(path, named, "its file header has changed, the checksum is wrong")
    if int(row["version"]) != JOURNAL_VERSION:
        raise LayoutError(
            f"{path}: journal version {row['version']}, this build reads {JOURNAL_VERSION};"
            " use the build that wrote it"
        )
    if int(row["layout_digest"]) != JOURNAL_DIGEST or int(row["record_size"]) != EVENT.size:
        raise LayoutError(
            f"{path}: written with another layout of events (digest {int(row['layout_digest']):x},"
            f" this build has {JOURNAL_DIGEST:x}); use the build that wrote it"
        )
    if row["identity"].tobytes() != owner.identity:
        raise JournalError(
            f"{path}: belongs to exchange {row['identity'].tobytes().hex()},"
            f" not to {owner.identity.hex()}; name the --state that it came from"
        )
    if int(row["engine"]) != owner.engine or int(row["first_position"]) != named:
        raise JournalError(
            f"{path}: is of engine {row['engine']} from position {row['first_position']};"
            " its name says otherwise"
        )
    return SegmentHeader(
        named, int(row["previous_checksum"]), int(row["checksum"]), row["stream"].tobytes()
    )


def pack_block(block: Block) -> bytes:
    """The 64 bytes of a block header; `block.checksum` is ignored and computed."""
    body = _BLOCK.pack(
        BLOCK_MAGIC,
        block.kind,
        block.flags,
        0,
        block.first_position,
        block.record_count,
        0,
        block.written_ns,
        block.durable,
        block.records_checksum,
        block.previous_checksum,
        0,
    )[:_CHECKED_SIZE]
    return body + xxh3_64_intdigest(body).to_bytes(8, "little")


def unpack_block(data: bytes | memoryview, start: int, offset: int) -> Block | None:
    """The block header at data[start], which stands at `offset` of its file; None if it is none."""
    if len(data) - start < CELL_SIZE:
        return None
    fields = _BLOCK.unpack_from(data, start)
    if fields[0] != BLOCK_MAGIC:
        return None
    if xxh3_64_intdigest(data[start : start + _CHECKED_SIZE]) != fields[-1]:
        return None
    _, kind, flags, _, first_position, count, _, *rest = fields
    if kind not in (BLOCK_EVENTS, BLOCK_SEAL) or count > BLOCK_RECORDS_MAX:
        return None
    return Block(offset, kind, flags, first_position, count, *rest)


def block_of(header: np.void, offset: int) -> Block:
    """The block whose header, a BLOCK_HEADER that was proven, stands at `offset` of its file."""
    fields = (int(header[name]) for name in _BLOCK_NAMES)
    return Block(offset, *fields)


def seal_segment(end: SegmentEnd, *, ended: bool = False) -> None:
    """Sync a segment, and say so in a last block; give back what it has too much of the disk.

    ended: the journal ends here, in good order.
    """
    os.fdatasync(end.descriptor)
    flags = BLOCK_COMMIT | (BLOCK_ENDED if ended else 0)
    seal = Block(
        end.offset, BLOCK_SEAL, flags, end.position, 0, end.now_ns, end.position,
        xxh3_64_intdigest(b""), end.checksum, 0,
    )  # fmt: skip
    try:
        os.pwrite(end.descriptor, pack_block(seal), end.offset)
        os.ftruncate(end.descriptor, end.offset + CELL_SIZE)
    except OSError as error:
        raise_for(error, end.path)
    os.fdatasync(end.descriptor)
