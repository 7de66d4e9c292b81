"""Shell: where a journal ends, and whether it may end there.

A journal ends at the last good block that closes an append. What comes after may be the torn tail
of a crash, and is cut; or bytes that were safe on disk have changed, and the journal is refused.
Which of the two: every block header says up to which position everything was synced when it was
written. A later good block that vouches for the bad one proves the damage.

A segment gets a seal, its last block, once it is synced; so a journal is a row of sealed segments,
then one or a few that a crash may have torn. Only those are read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shm_exchange.journal_layout import (
    BLOCK_COMMIT,
    BLOCK_ENDED,
    BLOCK_MAGIC,
    BLOCK_SEAL,
    CELL_SIZE,
    PAGE_SIZE,
)
from shm_exchange.journal_runs import read_runs
from shm_exchange.journal_segment import (
    Block,
    JournalDamaged,
    Owner,
    TornHeader,
    read_header,
    segment_paths,
    unpack_block,
)

_CHUNK_SIZE = 4 << 20


class Tail(NamedTuple):
    """Where a segment ends, or the journal as a whole."""

    path: Path
    offset: int  # where the next block goes
    position: int
    checksum: int  # of the last header
    checksum_before: int  # of the one before it, when the last one is a seal; else the same
    torn_records: int  # good records behind the last commit
    is_ended: bool = False  # writing ended here in good order: nothing is missing
    unsealed: tuple[Tail, ...] = ()  # segments before it whose seal is missing
    torn_paths: tuple[Path, ...] = ()  # segments behind it: nothing in them counts

    @property
    def torn_bytes(self) -> int:
        """What was written behind the end."""
        behind = sum(_written_bytes(path, 0) for path in self.torn_paths)
        return behind + _written_bytes(self.path, self.offset)


def find_tail(directory: Path, owner: Owner) -> Tail | None:
    """Where the journal of an engine ends; None: there is none, or one that holds nothing.

    Reads only. Raise JournalDamaged when it cannot have ended there by a crash, LayoutError or
    JournalError when it is not ours to read.
    """
    paths = [path for _, path in segment_paths(directory, owner.engine)]
    number = 0
    while number < len(paths) - 1 and _is_sealed(paths[number], paths[number + 1], owner):
        number += 1
    tails: list[Tail] = []
    for path in paths[number:]:
        found = _segment_end(path, owner, tails[-1] if tails else None)
        if found is None:
            break
        tails.append(found)
    if not tails:
        if paths:
            _refuse_if_proven(paths, PAGE_SIZE, int(paths[0].stem.rsplit("-", 1)[1]))
        return None
    tail = tails[-1]
    torn = tuple(paths[number + len(tails) :])
    _refuse_if_proven([tail.path, *torn], tail.offset, tail.position + tail.torn_records)
    return tail._replace(unsealed=tuple(tails[:-1]), torn_paths=torn)


def _is_sealed(path: Path, next_path: Path, owner: Owner) -> bool:
    """Whether `path` ends with a seal and `next_path` follows it."""
    with open(path, "rb") as file, open(next_path, "rb") as after:
        try:
            read_header(file.fileno(), path, owner)
            header = read_header(after.fileno(), next_path, owner)
        except TornHeader:
            return False
        offset = os.fstat(file.fileno()).st_size - CELL_SIZE
        seal = unpack_block(os.pread(file.fileno(), CELL_SIZE, offset), 0, offset)
        if seal is None or seal.kind != BLOCK_SEAL:
            return False
    return header.first_position == seal.end_position and header.previous_checksum in (
        seal.checksum,
        seal.previous_checksum,
    )


def _segment_end(path: Path, owner: Owner, before: Tail | None) -> Tail | None:
    """Where a segment ends; None when it was never begun or does not follow `before`."""
    with open(path, "rb") as file:
        try:
            header = read_header(file.fileno(), path, owner)
        except TornHeader:
            return None
        if before is not None and (
            before.torn_records
            or header.first_position != before.position
            or header.previous_checksum not in (before.checksum, before.checksum_before)
        ):
            return None
        position, checksum = header.first_position, header.checksum
        tail = Tail(path, PAGE_SIZE, position, checksum, checksum, 0)
        for run in read_runs(file.fileno(), PAGE_SIZE, position, checksum):
            position = run.end_position
            commits = np.flatnonzero(run.headers["flags"] & BLOCK_COMMIT)
            if len(commits):
                block = run.block(int(commits[-1]))
                sealed = block.kind == BLOCK_SEAL
                earlier = block.previous_checksum if sealed else block.checksum
                ended = block.flags & BLOCK_ENDED != 0
                end = (block.end_offset, block.end_position)
                tail = Tail(path, *end, block.checksum, earlier, 0, ended)
        return tail._replace(torn_records=position - tail.position)


def _refuse_if_proven(paths: list[Path], offset: int, position: int) -> None:
    """Raise JournalDamaged if a good block behind `offset` says that `position` was synced."""
    for path in paths:
        with open(path, "rb") as file:
            later = _proof(file.fileno(), offset, position)
        if later is not None:
            raise JournalDamaged(
                paths[0],
                position,
                "what was synced there has changed or is missing (the block at byte"
                f" {later.offset} of {path.name} says that all before position"
                f" {later.durable} was on disk)",
            )
        offset = PAGE_SIZE


def _proof(descriptor: int, offset: int, position: int) -> Block | None:
    """A good block header behind `offset` which says that `position` was once safe on disk."""
    magic = np.uint32(BLOCK_MAGIC)
    while chunk := os.pread(descriptor, _CHUNK_SIZE, offset):
        whole = len(chunk) // CELL_SIZE * CELL_SIZE
        cells = np.frombuffer(chunk, np.uint32, whole // 4)[:: CELL_SIZE // 4]
        for cell in np.flatnonzero(cells == magic):
            start = int(cell) * CELL_SIZE
            block = unpack_block(chunk, start, offset + start)
            if block is not None and block.durable > position:
                return block
        if whole == 0:
            return None
        offset += whole
    return None


def _written_bytes(path: Path, offset: int) -> int:
    """Bytes from `offset` to the last one that is not zero."""
    start, last = offset, offset
    with open(path, "rb") as file:
        while chunk := os.pread(file.fileno(), _CHUNK_SIZE, offset):
            stripped = len(chunk.rstrip(b"\0"))
            if stripped:
                last = offset + stripped
            offset += len(chunk)
    return last - start
