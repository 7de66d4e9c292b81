"""A loss of power takes nothing that durability "disk" has acknowledged, and never the whole.

Method: the real recorder, journal and snapshotter run on events of the real matcher while every
change and sync of their files is noted. Before each of them the power may be lost: the directory is
built as the disk may have it then, and recovered by the real code. What was below `durable` must be
there, and the market must be the one of the position that was reached, byte for byte.
"""

from __future__ import annotations

import random
import shutil
from functools import lru_cache
from pathlib import Path

import pytest
from journal_cases import (
    NOW_NS,
    OWNER,
    events,
    fresh_market,
    make_ring,
    publish_events,
    same_market,
)
from recorded_disk import Recording

from ringbuf.broadcast import published
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_layout import PAGE_SIZE
from shm_exchange.journal_reader import JournalReader
from shm_exchange.market import Market
from shm_exchange.recorder import Recorder
from shm_exchange.recording import durable
from shm_exchange.recovery import recover
from shm_exchange.replica import apply_all
from shm_exchange.snapshotter import Snapshotter

CAPACITY = 256
SEGMENT_SIZE = PAGE_SIZE + 64 * 150
SNAPSHOT_EVERY = 400
END = 4000
VARIANTS = ("none", "all", "prefix", "subset")
CUTS_MIN = 1000


@lru_cache(maxsize=64)
def replica_at(position: int) -> Market:
    """The market at a position, from the events alone."""
    market = fresh_market()
    apply_all(market, events()[:position], 0)
    return market


class Run:
    """A recorder's life, cut before every change and every sync."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.directory = folder / "state"
        self.directory.mkdir()
        self.recovered = folder / "recovered"
        self.recovered.mkdir()
        self.ring = make_ring(CAPACITY)
        self.recording = Recording(self.directory)
        self.recording.before_step = self.cut
        self.recording.during_sync = self.meanwhile
        self.ends = {0}  # where appends ended: nothing else is a place to end
        self.cuts = self.states = 0
        self.faults: list[str] = []
        self._found: dict[str, bytes] = {}  # what stands in the folder `recovered`
        self._last: tuple[dict[str, bytes], int] = ({}, 0)
        self._busy = False

    def begin(self) -> None:
        """A recorder starts, finds what is there and goes on."""
        self._busy = True  # it has no other thread yet
        self.recorder = Recorder(
            self.ring, Journal(self.directory, OWNER, segment_size=SEGMENT_SIZE)
        )
        self.recorder.start()
        self.snapshotter = Snapshotter(
            self.ring, self.directory, OWNER, fresh_market, SNAPSHOT_EVERY, kept=2
        )
        self._busy = False

    def step(self) -> None:
        """Some events, and what the threads of a recorder do about them."""
        self.append()
        if self.rng.random() < 0.4:
            self.recorder.sync()
        if self.rng.random() < 0.4:
            position, safe = self.recorder.journal.position, int(durable(self.ring))
            self.snapshotter.step(position, safe, NOW_NS)

    def append(self) -> None:
        """A few more events of the flow go into ring and journal."""
        position = int(published(self.ring))
        count = min(self.rng.choice((1, 2, 5, 20)), END - position)
        self.ends.add(
            position + count
        )  # before the append: it may be whole on disk before it returns
        publish_events(self.ring, position, count)
        self.recorder.step(NOW_NS)

    def meanwhile(self) -> None:
        """While a sync runs, the thread that appends may run too."""
        if not self._busy and self.rng.random() < 0.3 and int(published(self.ring)) < END:
            self._busy = True
            self.append()
            self._busy = False

    def end(self) -> None:
        """A clean end: sealed, with a snapshot."""
        self.recorder.sync()
        self.recorder.journal.close(NOW_NS)
        self.snapshotter.finish(self.recorder.journal.position, NOW_NS)

    def cut(self) -> None:
        """The power is lost now: recover what may be on disk, in several ways."""
        self.cuts += 1
        disk, safe = self.recording.disk, int(durable(self.ring))
        seen: list[dict[str, bytes]] = [self._last[0]] if self._last[1] == safe else []
        for variant in VARIANTS:
            files = disk.after_power_loss(self.rng, variant)
            if files in seen:
                continue
            seen.append(files)
            self.states += 1
            try:
                self.check(files, safe)
            except Exception as error:
                self.faults.append(f"cut {self.cuts}, {variant}: {error!r}")
        self._last = (seen[0], safe)

    def check(self, files: dict[str, bytes], safe: int) -> None:
        """Recover from these files; now and then also go on with them."""
        self.put(files)
        reader = JournalReader(self.recovered, OWNER)
        end = reader.end() or 0
        assert end in self.ends and end >= safe, f"{end} of {safe} that were acknowledged"
        market = fresh_market()
        assert recover(market, self.recovered, OWNER).position == end
        assert same_market(market, replica_at(end)), f"another market at {end}"
        if self.states % 8 == 0:
            self.go_on(end)

    def go_on(self, end: int) -> None:
        """What was found is a journal like any other."""
        journal = Journal(self.recovered, OWNER, segment_size=SEGMENT_SIZE)
        assert journal.position == journal.durable == end
        stop = min(END, end + 200)
        if end < stop:
            journal.append([record_bytes(events()[end:stop])], NOW_NS)
        journal.close(NOW_NS)
        market = fresh_market()
        assert recover(market, self.recovered, OWNER).position == stop
        assert same_market(market, replica_at(stop))
        shutil.rmtree(self.recovered)
        self.recovered.mkdir()
        self._found = {}

    def put(self, files: dict[str, bytes]) -> None:
        """Let the folder `recovered` hold these files and no others."""
        for name in self._found.keys() - files.keys():
            (self.recovered / name).unlink()
        for name, data in files.items():
            if self._found.get(name) != data:
                (self.recovered / name).write_bytes(data)
        self._found = files


def run(folder: Path, patch: pytest.MonkeyPatch, seed: int, stop: int = END) -> Run:
    """Three lives of a recorder: one ends by SIGKILL, one by an error, one as it should."""
    it = Run(folder, seed)
    with it.recording.installed(patch):
        it.begin()
        for part in (1, 2, 3):
            while int(published(it.ring)) < stop * part // 3:
                it.step()
            if part < 3:
                it.recorder.journal.abandon()
                it.begin()
        it.end()
    return it


@pytest.mark.parametrize("seed", [1, 2])
def test_power_is_lost_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, record_property
) -> None:  # type: ignore[no-untyped-def]
    """Goal: whatever the disk has of what was not synced, what was acknowledged is there, and
    nothing is refused."""
    it = run(tmp_path, monkeypatch, seed)
    record_property("cut_points", it.cuts)
    record_property("states", it.states)
    print(f"seed {seed}: power lost at {it.cuts} points, {it.states} states of the disk recovered")
    assert it.faults == []
    assert it.cuts >= CUTS_MIN and it.states >= 2 * CUTS_MIN


def test_a_missing_sync_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the emulation finds the loss when names are not synced, and when data is not."""
    faults = []
    with monkeypatch.context() as patch:
        patch.setattr("shm_exchange.journal.sync_directory", lambda directory: None)
        (tmp_path / "names").mkdir()
        faults.append(run(tmp_path / "names", patch, 3, stop=600).faults)
    with monkeypatch.context() as patch:
        (tmp_path / "data").mkdir()
        patch.setattr(Recording, "fdatasync", lambda self, descriptor: None)
        faults.append(run(tmp_path / "data", patch, 3, stop=600).faults)
    assert all(any("that were acknowledged" in each for each in found) for found in faults)
