"""Shell: the recorder's own replica, and a snapshot of it every so many events and at each roll."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ringbuf.broadcast import Broadcast
from shm_exchange.history import History
from shm_exchange.journal_segment import NO_ROOM, Owner
from shm_exchange.market import Market
from shm_exchange.messages import EventKind
from shm_exchange.recovery import CHUNK_RECORDS, catch_up, recover
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import remove_old_snapshots, write_snapshot

SNAPSHOTS_KEPT = 3  # should one be damaged, there is the one before


class Snapshotter:
    """Follows the journal with a replica; `step` does a bounded part. One thread uses it.

    A snapshot is taken only of a state that is durable: one that was ahead of the journal after
    a loss of power would know of events that never happened. One is taken right behind ROLLED, and
    kept for the day: with it, whoever tells the feed from message 1 on needs no older journal.
    """

    def __init__(
        self,
        ring: Broadcast,
        directory: Path,
        owner: Owner,
        make_market: Callable[[], Market],
        every: int,
        kept: int = SNAPSHOTS_KEPT,
    ) -> None:
        self.every = every  # events between two snapshots
        self.position = 0  # of the replica
        self.snapshot_position = 0  # of the newest snapshot
        self.snapshot_time_ns = 0  # when that was written, since the epoch; 0: there is none
        self.count = 0  # snapshots written
        self.failures = 0  # snapshots for which the disk had no room
        self.paused = False  # no snapshots: the disk has no room to spare
        self.wanted_position = 0  # an operator wants a snapshot from here or later
        self.market: Market | None = None
        self._history = History(ring, directory, owner)
        self._ring = ring
        self._directory = directory
        self._owner = owner
        self._make_market = make_market
        self._kept = kept
        self._failed_position = 0
        self._commit = 0  # where an append ended: no half command lies before it

    def step(self, recorded: int, durable: int, now_ns: int) -> int:
        """Apply up to CHUNK_RECORDS of what lies below `recorded`; take a snapshot when due.

        Returns how much was done: 0 means that there is nothing to do. Raises JournalError when
        neither ring nor journal has the next event, OSError when the disk fails.
        """
        if self.market is None:
            return self._rebuild()
        if self.position >= self._commit:
            self._commit = recorded
        before = self.position
        if not self._day_begins(self.market):  # else it stands still until that is durable
            self._follow(self.market, min(self._commit, self.position + CHUNK_RECORDS))
        since = self.position - max(self.snapshot_position, self._failed_position)
        asked = self.snapshot_position < self.wanted_position <= self.position
        asked = asked and self._failed_position < self.position
        due = (since >= self.every or asked) and self.position == self._commit and not self.paused
        if (due or self._day_begins(self.market)) and self.position <= durable:
            self._write(now_ns)
            return 1
        return self.position - before

    def finish(self, end: int, now_ns: int) -> None:
        """Apply everything up to `end`, which is durable, and take the last snapshot."""
        if self.market is None:
            self._rebuild()
        assert self.market is not None
        self.position = catch_up(self.market, self._history, self.position, end)
        if self.position > self.snapshot_position:
            self._write(now_ns)
        self._history.close()

    def _follow(self, market: Market, stop: int) -> None:
        """Apply what comes next, up to `stop` or to where the day rolls."""
        records = self._history.read(self.position, stop - self.position)
        rolled = np.flatnonzero(records["kind"] == EventKind.ROLLED)
        if len(rolled):
            records = records[: rolled[0] + 1]
        self.position = int(apply_all(market, records, self.position))

    def _day_begins(self, market: Market) -> bool:
        """Whether the day has just rolled, and a snapshot of that is still to be taken."""
        tried = max(self.snapshot_position, self._failed_position)
        return tried < self.position == int(market.scalars[0]["rolled"]) and not self.paused

    def _rebuild(self) -> int:
        market = self._make_market()
        found = recover(market, self._directory, self._owner, self._ring)
        self.position = self._commit = found.position
        if found.snapshot is not None:
            self.snapshot_position = found.position - found.replayed
            self.snapshot_time_ns = _written_ns(found.snapshot)
        self.market = market
        return 1

    def _write(self, now_ns: int) -> None:
        """Take a snapshot; without room on the disk do without it until the next is due."""
        assert self.market is not None
        try:
            write_snapshot(self.market, self._directory, self._owner, now_ns)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self.failures += 1
            self._failed_position = self.position
            return
        self.snapshot_position = self.position
        self.snapshot_time_ns = now_ns
        self.count += 1
        rolled = int(self.market.scalars[0]["rolled"])
        remove_old_snapshots(self._directory, self._owner.engine, self._kept, rolled)


def _written_ns(path: Path) -> int:
    """When a snapshot was written, as far as anybody remembers."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # removed since it was loaded, as a newer one is there
        return 0
