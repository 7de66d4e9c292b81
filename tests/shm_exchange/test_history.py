"""History gives the events of any position, whether the ring still has them or only the journal.

Method: a small ring that was overwritten many times, with and without a journal behind it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from journal_cases import NOW_NS, OWNER, events, make_ring, publish_events

from ringbuf.broadcast import CLAIMED, claim, record_until
from shm_exchange.history import History, ring_slices
from shm_exchange.journal import Journal
from shm_exchange.journal_segment import JournalDamaged, JournalError
from shm_exchange.recorder import Recorder

CAPACITY = 64
STEP = 8  # an eighth of the ring: what a claim may run ahead


def record_all(ring, recorder: Recorder, total: int) -> None:
    position = recorder.journal.position
    while position < total:
        position = publish_events(ring, position, min(STEP, total - position))
        recorder.step(NOW_NS)


def is_flow(records: np.ndarray, first: int, count: int) -> bool:
    return records.tobytes() == events()[first : first + count].tobytes()


def test_slices() -> None:
    """Goal: one piece, or two at the wrap, never an empty one."""
    data = memoryview(bytes(range(8)) * 64)[: 8 * 64]
    assert [len(piece) // 64 for piece in ring_slices(data, 8, 6, 2)] == [2]
    assert [len(piece) // 64 for piece in ring_slices(data, 8, 14, 3)] == [2, 1]
    assert [len(piece) // 64 for piece in ring_slices(data, 8, 8, 8)] == [8]
    assert [len(piece) // 64 for piece in ring_slices(data, 8, 9, 8)] == [7, 1]


def test_ring_and_journal(tmp_path: Path) -> None:
    """Goal: every position and length gives the flow's own events, from wherever they come."""
    ring = make_ring(CAPACITY)
    journal = Journal(tmp_path, OWNER, segment_size=4096 + 64 * 200)
    recorder = Recorder(ring, journal)
    recorder.start()
    record_all(ring, recorder, 1000)
    history = History(ring, tmp_path, OWNER)
    assert history.end() == 1000
    for position in (0, 1, 199, 200, 500, 900, 935, 936, 950, 999):
        for limit in (1, 3, 17, 64, 5000):
            found = history.read(position, limit)
            assert 1 <= len(found) <= limit
            assert is_flow(found, position, len(found))
            if position + limit <= 936:
                assert len(found) == limit
    assert len(history.read(1000, 10)) == 0
    assert len(history.read(1001, 10)) == 0
    publish_events(ring, 1000, 8)
    assert is_flow(history.read(996, 100), 996, 12), "the ring is ahead of the journal"
    history.close()
    journal.close(NOW_NS)


def test_overwritten_while_copied(tmp_path: Path) -> None:
    """Goal: what was claimed during the copy is taken from the journal instead."""
    ring = make_ring(CAPACITY)
    journal = Journal(tmp_path, OWNER)
    recorder = Recorder(ring, journal)
    recorder.start()
    record_all(ring, recorder, 200)

    class Racing(History):
        def _from_ring(self, position: int, count: int) -> np.ndarray | None:
            found = super()._from_ring(position, count)
            assert found is not None
            assert claim(ring, 200, 16)
            ring.records[: STEP + 8]["price"] = -1
            return super()._from_ring(position, count)

    position = int(ring.cursors[CLAIMED]) - CAPACITY
    history = Racing(ring, tmp_path, OWNER)
    assert is_flow(history.read(position, 20), position, 20)
    history.close()
    journal.close(NOW_NS)


def test_nobody_records(tmp_path: Path) -> None:
    """Goal: without a recorder, what the ring has lost is an error that says so."""
    ring = make_ring(CAPACITY, gated=False)
    publish_events(ring, 0, 300)
    history = History(ring, tmp_path, OWNER)
    assert is_flow(history.read(290, 100), 290, 10)
    with pytest.raises(JournalError, match="position 5 is no longer in the ring"):
        history.read(5, 1)


def test_journal_too_short(tmp_path: Path) -> None:
    """Goal: a journal that lacks what the ring says is recorded is an error with its position."""
    ring = make_ring(CAPACITY)
    journal = Journal(tmp_path, OWNER)
    recorder = Recorder(ring, journal)
    recorder.start()
    record_all(ring, recorder, 40)
    for position in range(40, 200, STEP):
        record_until(ring, position)
        publish_events(ring, position, STEP)
    record_until(ring, 200)
    history = History(ring, tmp_path, OWNER)
    assert is_flow(history.read(30, 100), 30, 10)
    with pytest.raises(JournalDamaged, match="damaged at position 40: the journal must reach 200"):
        history.read(40, 1)
    history.close()
    journal.close(NOW_NS)
