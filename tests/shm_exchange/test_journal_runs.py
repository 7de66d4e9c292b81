"""Goal: blocks that are proven many at a time are the blocks that were written, wherever they lie.

Method: appends of seeded sizes, over several buffers and segments; what is read, against what was
written; a bit changed anywhere in a block, and an append of two blocks that lacks its second.
"""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_blocks import BUFFER_CELLS
from shm_exchange.journal_layout import BLOCK_RECORDS_MAX, CELL_SIZE, PAGE_SIZE
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_runs import read_runs
from shm_exchange.journal_segment import Owner, read_header
from shm_exchange.messages import EVENT_DTYPE

OWNER = Owner(bytes(range(16)), 1)
NOW_NS = 1_700_000_000_000_000_000
SIZES = (1, 2, 3, 4, 20, 500, 5_000, BLOCK_RECORDS_MAX)


def make_events(first: int, count: int) -> np.ndarray:
    """Records of which each byte is a function of the position."""
    words = np.arange(first * 8, (first + count) * 8, dtype=np.int64) * 0x9E3779B97F4A7C1
    return words.view(EVENT_DTYPE)


def write(folder: Path, counts: list[int], **options: int) -> None:
    journal = Journal(folder, OWNER, **options)
    for count in counts:
        journal.append([record_bytes(make_events(journal.position, count))], NOW_NS)
    journal.abandon()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_written_is_read(tmp_path: Path, seed: int) -> None:
    """Every batch is of one buffer at most; from any position to any other."""
    random_ = random.Random(seed)
    counts = random_.choices(SIZES, k=60) + [1] * 3000 + [BLOCK_RECORDS_MAX - 1, 1, 2, 20]
    write(tmp_path, counts, segment_size=8 << 20)
    reader, end = JournalReader(tmp_path, OWNER), sum(counts)
    assert reader.end() == end
    for start, stop in [(0, end), *(sorted(random_.sample(range(end), 2)) for _ in range(5))]:
        at = start
        for position, records in reader.batches(start, stop):
            assert position == at and 0 < len(records) < BUFFER_CELLS
            assert records.tobytes() == make_events(at, len(records)).tobytes()
            at += len(records)
        assert at == stop
    reader.close()


def test_a_changed_bit_ends_the_run(tmp_path: Path) -> None:
    """In a header or in a record of the third of five blocks: two prove right."""
    write(tmp_path, [20] * 5)
    path = next(tmp_path.glob("*.shmj"))
    third = PAGE_SIZE + 2 * 21 * CELL_SIZE
    with path.open("r+b") as file:
        header = read_header(file.fileno(), path, OWNER)
        for place in (*range(third, third + CELL_SIZE), third + CELL_SIZE, third + 21 * 64 - 1):
            before = os.pread(file.fileno(), 1, place)
            os.pwrite(file.fileno(), bytes([before[0] ^ 4]), place)
            runs = list(read_runs(file.fileno(), PAGE_SIZE, 0, header.checksum))
            os.pwrite(file.fileno(), before, place)
            assert [len(each.headers) for each in runs] == [2], place
        runs = list(read_runs(file.fileno(), PAGE_SIZE, 0, header.checksum))
        assert [len(each.headers) for each in runs] == [5] and runs[0].end_position == 100


def test_half_an_append_does_not_count(tmp_path: Path) -> None:
    """The journal ends before it, though its first block is whole and right."""
    journal = Journal(tmp_path, OWNER)
    journal.append([record_bytes(make_events(0, 7))], NOW_NS)
    parts = [record_bytes(make_events(7, 5)), record_bytes(make_events(12, 3))]
    journal.append(parts, NOW_NS)
    journal.abandon()
    path = next(tmp_path.glob("*.shmj"))
    assert JournalReader(tmp_path, OWNER).end() == 15
    os.truncate(path, PAGE_SIZE + (1 + 7 + 1 + 5 + 1 + 2) * CELL_SIZE)
    assert JournalReader(tmp_path, OWNER).end() == 7
