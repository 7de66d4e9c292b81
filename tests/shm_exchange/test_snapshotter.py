"""Where the day rolls there is a snapshot, and it stays for the day, whatever comes behind it.

Method: the recorder's core and its snapshotter step by step, on a flow in which the day rolls.
(What it does on other days is in `test_recorder.py`.)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from journal_cases import (
    NOW_NS,
    OWNER,
    fresh_market,
    make_ring,
    publish_events,
    same_market,
    with_rolls,
)

from shm_exchange.journal import Journal
from shm_exchange.recorder import Recorder
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import load_snapshot, snapshot_path, snapshot_paths
from shm_exchange.snapshotter import Snapshotter

CAPACITY = 4096
NEVER = 1 << 40


class Recording:
    """A recorder of such events, and its snapshotter."""

    def __init__(self, directory: Path, *behind: int) -> None:
        self.rows, self.rolled = with_rolls(*behind)
        self.directory = directory
        self._ring = make_ring(CAPACITY)
        self._recorder = Recorder(self._ring, Journal(directory, OWNER))
        self._recorder.start()
        self.restart()

    def restart(self) -> None:
        """Another snapshotter, which has recovered what there is."""
        args = (self._ring, self.directory, OWNER, fresh_market, NEVER)
        self.snapshotter = Snapshotter(*args, kept=1)
        self.snapshotter.step(self._recorder.journal.position, 0, NOW_NS)

    def record(self, end: int) -> None:
        """Everything before position `end` is in the journal."""
        begin = self._recorder.journal.position
        publish_events(self._ring, begin, end - begin, self.rows)
        self._recorder.step(NOW_NS)

    def step(self, durable: int) -> None:
        """All that the snapshotter can do now."""
        while self.snapshotter.step(self._recorder.journal.position, durable, NOW_NS):
            pass

    @property
    def snapshots(self) -> list[int]:
        """Their positions, newest first."""
        return [position for position, _ in snapshot_paths(self.directory, 1)]


def test_at_the_roll(tmp_path: Path) -> None:
    """Goal: of that very position, once it is durable; the replica waits for that and goes on."""
    it = Recording(tmp_path, 200, 600)
    first, second = it.rolled
    it.record(1000)
    it.step(first - 1)
    assert (it.snapshotter.position, it.snapshots) == (first, [])
    it.step(first)
    assert (it.snapshotter.position, it.snapshots) == (second, [first])
    it.step(1000)
    assert (it.snapshotter.position, it.snapshots) == (1000, [second])
    market, expected = fresh_market(), fresh_market()
    assert load_snapshot(snapshot_path(tmp_path, 1, second), market, OWNER) == second
    apply_all(expected, it.rows[:second], 0)
    assert same_market(market, expected)
    assert market.scalars[0]["rolled"] == second and not np.any(market.sessions["messages"])


def test_it_stays_until_the_next(tmp_path: Path) -> None:
    """Goal: the others go as ever; a recorder that begins anew keeps it, too."""
    it = Recording(tmp_path, 200, 1500)
    first, second = it.rolled
    for end in (800, 900, 1000):
        it.record(end)
        it.snapshotter.wanted_position = end
        it.step(end)
        assert it.snapshots == [end, first]
    it.restart()
    it.record(1200)
    it.snapshotter.wanted_position = 1200
    it.step(1200)
    assert it.snapshots == [1200, first]
    it.record(1800)
    it.step(1800)
    assert it.snapshots == [second]


@pytest.mark.parametrize("paused", [True, False])
def test_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paused: bool) -> None:
    """Goal: where it cannot be taken the one before stays instead."""
    it = Recording(tmp_path, 600)
    it.record(300)
    it.snapshotter.wanted_position = 300
    it.step(300)

    def fail(*_arguments: object) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shm_exchange.snapshotter.write_snapshot", fail)
        it.snapshotter.paused = paused
        it.record(800)
        it.step(800)
    assert (it.snapshotter.position, it.snapshotter.failures) == (800, 0 if paused else 1)
    it.snapshotter.paused = False
    for end in (900, 1000):
        it.record(end)
        it.snapshotter.wanted_position = end
        it.step(end)
    assert it.snapshots == [1000, 300]
