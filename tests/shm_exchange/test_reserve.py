"""When the disk is full, the reserve keeps the journal going; then nothing moves, nothing is lost.

Method: a real file system of a few megabytes, and the recorder's core on a private ring.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_cases import NOW_NS, OWNER, events, make_ring, publish_events

from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_segment import JournalFull
from shm_exchange.recorder import Recorder
from tests.small_disk import fill, may_mount, small_disk

SEGMENT_SIZE = 1 << 16  # 1000 events
RESERVE_SIZE = 1 << 17
DISK_SIZE = 1 << 20


def open_journal(directory: Path) -> Journal:
    return Journal(directory, OWNER, segment_size=SEGMENT_SIZE, reserve_size=RESERVE_SIZE)


def journal_is_flow(directory: Path, end: int) -> bool:
    reader = JournalReader(directory, OWNER)
    found = reader.read(0, end + 1)
    reader.close()
    return found.tobytes() == events()[:end].tobytes()


def test_short_then_full_then_room(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Goal: first it is short and goes on, then it is full and changes nothing, then there is room
    again; every event is in the journal once."""
    if not may_mount(request):
        return
    disk = tmp_path / "disk"
    with small_disk(disk, DISK_SIZE):
        journal = open_journal(disk)
        recorder = Recorder(make_ring(64), journal)
        recorder.start()
        ballast = None
        position = full_at = 0
        now = NOW_NS
        short_at = None
        while position < 4000 and not recorder.full:
            position = publish_events(recorder.ring, position, 40)
            now += 10**9
            recorder.step(now)
            if ballast is None and position >= 100:
                assert not journal.short and (disk / "reserve-e1").stat().st_blocks > 0
                ballast = fill(disk)
            if journal.short and short_at is None:
                short_at = position
                journal.make_reserve()
                assert journal.short, "there is no room for it"
        full_at = journal.position
        assert short_at is not None and 900 < short_at <= 1100, "a segment was there already"
        assert full_at - short_at > 1500, "most of the reserve became journal"
        for _ in range(3):
            now += 10**9
            assert recorder.step(now) == 0 and recorder.full and journal.position == full_at
        assert ballast is not None
        ballast.unlink()
        now += 10**9
        assert recorder.step(now) == position - full_at and not recorder.full
        assert journal.short, "until the reserve is whole again"
        journal.make_reserve()
        assert not journal.short
        journal.close(now)
        assert not (disk / "reserve-e1").exists(), "nobody needs it while nobody writes"
        assert journal_is_flow(disk, position)
        again = open_journal(disk)
        assert again.position == position
        again.close(now)


def test_started_on_a_full_disk(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Goal: with the reserve of the recorder that was killed it goes on; without any it says so."""
    if not may_mount(request):
        return
    disk = tmp_path / "disk"
    with small_disk(disk, DISK_SIZE):
        journal = open_journal(disk)
        journal.append([record_bytes(events()[:100])], NOW_NS)
        ballast = fill(disk)
        journal.abandon()
        journal = open_journal(disk)
        journal.append([record_bytes(events()[100:1500])], NOW_NS)
        assert journal.short and journal.position == 1500
        journal.abandon()
        (disk / "reserve-e1").unlink()
        journal = open_journal(disk)
        assert journal.short
        with pytest.raises(JournalFull, match="No space left"):
            while True:
                journal.append(
                    [record_bytes(events()[journal.position : journal.position + 100])], 1
                )
        end = journal.position
        journal.abandon()
        ballast.unlink()
        assert journal_is_flow(disk, end)


def test_no_reserve_wanted(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Goal: without a reserve it is short as soon as there is no room for a whole segment."""
    if not may_mount(request):
        return
    disk = tmp_path / "disk"
    with small_disk(disk, DISK_SIZE):
        journal = Journal(disk, OWNER, segment_size=SEGMENT_SIZE)
        assert not journal.short
        fill(disk, 3 << 14)
        journal.append([record_bytes(events()[:100])], NOW_NS)
        assert journal.short
        with pytest.raises(JournalFull):
            while True:
                journal.append(
                    [record_bytes(events()[journal.position : journal.position + 50])], 1
                )
        end = journal.position
        assert end > 300
        journal.abandon()
        assert journal_is_flow(disk, end)
