"""Kernel: the blocks of a journal that lie in a buffer, one behind the other: proven, put together.

A block of few events costs as much as the walk to it, so the walk is compiled: a recorder that
keeps up writes blocks of some tens, and a journal has them by the million.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ringbuf.bits import at, copy_bytes, load_raw_8
from ringbuf.checksum import Checksum, create_checksum, xxh3
from ringbuf.jit import cold_kernel, kernel
from ringbuf.state import State
from shm_exchange.journal_layout import (
    BLOCK_EVENTS,
    BLOCK_HEADER,
    BLOCK_MAGIC,
    BLOCK_RECORDS_MAX,
    BLOCK_SEAL,
    CELL_SIZE,
)

BUFFER_CELLS = 1 + BLOCK_RECORDS_MAX  # the largest block; so one buffer has no more events either
POSITION, CHECKSUM, STOP = 0, 1, 2  # words of a chain
_CHECKED_SIZE = BLOCK_HEADER.offset_of("checksum")
_PREVIOUS = BLOCK_HEADER.offset_of("previous_checksum")
_OF_RECORDS = BLOCK_HEADER.offset_of("records_checksum")


@State.register
class Blocks(NamedTuple):
    """A buffer and what was found in it."""

    data: np.ndarray  # uint8[64 * BUFFER_CELLS]
    cells: np.ndarray  # the same bytes, as BLOCK_HEADER[BUFFER_CELLS]
    found: np.ndarray  # int64[BUFFER_CELLS]: the cell of each proven block's header
    chain: np.ndarray  # int64[3]: what the next block must say; and where it is enough
    checksum: Checksum


def create_blocks() -> Blocks:
    """All of its memory. Cold."""
    data = np.empty(BUFFER_CELLS * CELL_SIZE, np.uint8)
    found, chain = np.zeros(BUFFER_CELLS, np.int64), np.zeros(3, np.int64)
    return Blocks(data, data.view(BLOCK_HEADER.dtype), found, chain, create_checksum())


@kernel
def _proves_right(blocks, cell, filled):
    """1 when the block at `cell` is whole and right, and follows what was before."""
    header, first = blocks.cells[at(cell)], cell * CELL_SIZE
    if header["magic"] != BLOCK_MAGIC or header["count"] > BLOCK_RECORDS_MAX:
        return 0
    if header["kind"] != BLOCK_EVENTS and header["kind"] != BLOCK_SEAL:
        return 0
    if header["first_position"] != blocks.chain[POSITION]:
        return 0
    if load_raw_8(blocks.data, first + _PREVIOUS) != blocks.chain[CHECKSUM]:
        return 0
    found = xxh3(blocks.data, first, _CHECKED_SIZE, blocks.checksum)
    if found != load_raw_8(blocks.data, first + _CHECKED_SIZE):
        return 0
    count = np.int64(header["count"])
    if cell + 1 + count > filled:
        return 0
    found = xxh3(blocks.data, first + CELL_SIZE, count * CELL_SIZE, blocks.checksum)
    return 1 if found == load_raw_8(blocks.data, first + _OF_RECORDS) else 0


@cold_kernel
def prove(blocks, filled):
    """How many blocks prove right from the first cell on; `found` has where, `chain` moves on.

    Ends at the first that does not, at one that is not wholly in cells 0 ... filled - 1, and once
    the chain's STOP is reached.
    """
    cell, count = 0, 0
    while cell < filled and blocks.chain[POSITION] < blocks.chain[STOP]:
        if _proves_right(blocks, cell, filled) == 0:
            break
        records = np.int64(blocks.cells[at(cell)]["count"])
        blocks.found[at(count)] = cell
        blocks.chain[POSITION] += records
        blocks.chain[CHECKSUM] = load_raw_8(blocks.data, cell * CELL_SIZE + _CHECKED_SIZE)
        cell += 1 + records
        count += 1
    return count


@cold_kernel
def put_together(blocks, count):
    """Let the events of the first `count` blocks lie without headers, from cell 1 on; how many.

    Those of the first block stay where they are, the others move down over the headers.
    """
    end = 1
    for number in range(count):
        cell = blocks.found[at(number)]
        records = np.int64(blocks.cells[at(cell)]["count"])
        if cell + 1 != end:
            source = (cell + 1) * CELL_SIZE
            copy_bytes(blocks.data, end * CELL_SIZE, blocks.data, source, records * CELL_SIZE)
        end += records
    return end - 1
