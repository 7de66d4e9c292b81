"""Spoilt files give the last good state or are refused by name and position: never a wrong book.

Method: a small state directory of a real event stream; journal and snapshot are cut at every byte
of their last blocks, and every single bit of a block is flipped; each time the market is recovered.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from journal_cases import NOW_NS, OWNER, events, fresh_market, same_market

from ringbuf.errors import LayoutError
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_layout import CELL_SIZE, PAGE_SIZE
from shm_exchange.journal_segment import JournalDamaged, JournalError
from shm_exchange.market import Market
from shm_exchange.recovery import recover
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import write_snapshot

ENDS = [40, 43, 45, 46]  # where appends end: the last blocks are small


@lru_cache(maxsize=8)
def replica_at(position: int) -> Market:
    market = fresh_market()
    apply_all(market, events()[:position], 0)
    return market


def write(directory: Path, *, sync: bool) -> Path:
    """A journal of four appends, the later ones each with a word that the earlier are on disk."""
    journal = Journal(directory, OWNER)
    for end in ENDS:
        journal.append([record_bytes(events()[journal.position : end])], NOW_NS)
        if sync:
            journal.sync()
    journal.abandon()
    (path,) = directory.glob("*.shmj")
    os.truncate(path, PAGE_SIZE + CELL_SIZE * (ENDS[-1] + len(ENDS)))
    return path


def block_starts() -> list[int]:
    """Where the blocks begin in the file, and where the last one ends."""
    starts = [PAGE_SIZE]
    for first, end in zip([0, *ENDS], ENDS, strict=False):
        starts.append(starts[-1] + CELL_SIZE * (1 + end - first))
    return starts


def outcome(directory: Path, path: Path) -> int:
    """The position that was recovered, with the right market; of a refusal: -1 - its position."""
    market = fresh_market()
    try:
        position = recover(market, directory, OWNER).position
    except JournalDamaged as error:
        assert path.name in str(error) and re.search(r"at position \d+", str(error))
        return -1 - error.position
    assert same_market(market, replica_at(position)), f"a wrong book at {position}"
    return position


def flips(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(byte, file) with one bit of [start, end) flipped, for every bit."""
    spoilt = bytearray(data)
    for bit in range(8 * start, 8 * end):
        spoilt[bit // 8] ^= 1 << bit % 8
        yield bit // 8, spoilt
        spoilt[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("sync", [True, False])
def test_every_cut_and_every_bit_of_the_last_blocks(tmp_path: Path, sync: bool) -> None:
    """Goal: a cut or a flipped bit in what was never known to be synced ends the journal before it;
    in what was synced it is refused at the block's position."""
    path = write(tmp_path, sync=sync)
    data = path.read_bytes()
    starts = block_starts()
    for length in range(starts[1], len(data) + 1):
        path.write_bytes(data[:length])
        whole = max(number for number, start in enumerate(starts) if start <= length)
        assert outcome(tmp_path, path) == ENDS[whole - 1]
    for number in (1, 2, 3):
        vouched = sync and number < 3  # the last block is the first to say so of the one before
        before = ENDS[number - 1]
        for _, spoilt in flips(data, starts[number], starts[number + 1]):
            path.write_bytes(spoilt)
            assert outcome(tmp_path, path) == (-1 - before if vouched else before)
    path.write_bytes(data)
    assert outcome(tmp_path, path) == ENDS[-1]


def test_every_bit_behind_a_snapshot(tmp_path: Path) -> None:
    """Goal: the journal that a snapshot relies on is proven from there on."""
    path = write(tmp_path, sync=True)
    write_snapshot(replica_at(43), tmp_path, OWNER, NOW_NS)
    data = path.read_bytes()
    starts = block_starts()
    for _, spoilt in flips(data, starts[2], starts[3]):
        path.write_bytes(spoilt)
        assert outcome(tmp_path, path) == -1 - 43
    for _, spoilt in flips(data, starts[3], starts[4]):
        path.write_bytes(spoilt)
        assert outcome(tmp_path, path) == 45


def test_a_spoilt_snapshot_is_never_loaded(tmp_path: Path) -> None:
    """Goal: with any bit of header and list flipped, thousands elsewhere, and cut anywhere, the
    state is that of the journal; another layout or another exchange is refused by name."""
    path = write(tmp_path, sync=True)
    snapshot = write_snapshot(replica_at(43), tmp_path, OWNER, NOW_NS)
    data = snapshot.read_bytes()
    used = int(np.frombuffer(data, np.uint8)[: 1024 + 64 * 13].nonzero()[0][-1]) + 1
    rng = random.Random(7)
    places = [
        *range(96),
        *rng.sample(range(96, used), 250),
        *rng.sample(range(used, len(data)), 900),
    ]
    spoilt = bytearray(data)
    refused = 0
    for place in places:
        bit = 1 << rng.randrange(8)
        spoilt[place] ^= bit
        snapshot.write_bytes(spoilt)
        try:
            recovered = outcome(tmp_path, path)
        except (LayoutError, JournalError) as error:
            assert snapshot.name in str(error)
            refused += 1
        else:
            assert recovered == ENDS[-1]
        spoilt[place] ^= bit
    assert refused < 40, "of the version and the digest alone"
    for length in [*range(0, 2048, 37), *range(len(data) - 300, len(data))]:
        snapshot.write_bytes(data[:length])
        assert outcome(tmp_path, path) == ENDS[-1]
