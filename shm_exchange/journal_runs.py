"""Shell: reads a segment of the journal as runs: as many blocks as one buffer holds, at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from shm_exchange.journal_blocks import (
    CHECKSUM,
    POSITION,
    STOP,
    Blocks,
    create_blocks,
    prove,
    put_together,
)
from shm_exchange.journal_layout import CELL_SIZE
from shm_exchange.journal_segment import Block, block_of
from shm_exchange.messages import EVENT_DTYPE

NO_STOP = (1 << 63) - 1


class Run(NamedTuple):
    """Blocks that follow each other and prove right; at least one."""

    headers: np.ndarray  # BLOCK_HEADER[n], of these blocks
    offsets: np.ndarray  # int64[n]: where they stand in the file
    blocks: Blocks  # the buffer that they were read into

    @property
    def end_position(self) -> int:
        """Position of the first record behind them."""
        last = self.headers[-1]
        return int(last["first_position"]) + int(last["count"])

    def block(self, number: int) -> Block:
        """One of them, by its number; -1: the last one."""
        return block_of(self.headers[number], int(self.offsets[number]))

    def records(self) -> np.ndarray:
        """EVENT[n], all of theirs: at most BLOCK_RECORDS_MAX; to be called once.

        A view of the buffer, valid until the next step.
        """
        count = int(put_together(self.blocks, len(self.headers)))
        return self.blocks.data[CELL_SIZE : (1 + count) * CELL_SIZE].view(EVENT_DTYPE)


@cache
def warm_up() -> None:
    """Compile, or load, what reading needs."""
    blocks = create_blocks()
    prove(blocks, 0)
    put_together(blocks, 0)


def read_runs(
    descriptor: int, offset: int, position: int, checksum: int, stop: int = NO_STOP
) -> Iterator[Run]:
    """Blocks from `offset` on, as long as everything proves right and `stop` is not reached.

    position: of the first record. checksum: of the header before.
    """
    blocks = create_blocks()
    view = blocks.data.data
    blocks.chain[POSITION], blocks.chain[STOP] = position, stop
    blocks.chain.view(np.uint64)[CHECKSUM] = checksum
    filled = 0
    while blocks.chain[POSITION] < stop:
        filled = _fill(descriptor, view, filled, offset)
        count = int(prove(blocks, filled // CELL_SIZE))
        if count == 0:
            return  # the buffer has room for any block: this one is not whole, or not right
        cells = blocks.found[:count]
        headers = blocks.cells[cells]
        yield Run(headers, offset + cells * CELL_SIZE, blocks)
        read = (int(cells[-1]) + 1 + int(headers["count"][-1])) * CELL_SIZE
        view[: filled - read] = view[read:filled]
        filled -= read
        offset += read


def _fill(descriptor: int, view: memoryview, filled: int, offset: int) -> int:
    """Read on from where the buffer ends, until it is full or the file ends; bytes in it then."""
    while filled < len(view):
        got = os.preadv(descriptor, [view[filled:]], offset + filled)
        if got == 0:
            break
        filled += got
    return filled
