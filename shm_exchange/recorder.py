"""Shell: the recorder of one engine: event ring -> journal; snapshots from a replica of its own.

Three threads, so that nothing slow delays the next append: the loop appends and stores `recorded`,
one syncs and stores `durable`, one applies events behind it and writes snapshots.

With durability "memory" nobody waits for the recorder: it lets events gather for a moment and
writes them in one go, which costs the matcher and the host least. With "disk" the gateways hold
their messages until `durable`, so it waits as its policy says and syncs without a pause.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from ringbuf import layout
from ringbuf.broadcast import NO_GATE, Broadcast, overwritten, published, record_until
from ringbuf.waiting import (
    LOOKS_PER_PASS,
    YIELD,
    announce_sleep,
    end_sleep,
    idle,
    ring_others,
    sleep_on,
)
from shm_exchange.history import ring_slices
from shm_exchange.journal import Journal
from shm_exchange.journal_segment import JournalError, JournalFull, Owner
from shm_exchange.market import Market
from shm_exchange.operator_line import ERROR, INFO, WARNING, say
from shm_exchange.recording import (
    COUNTER_COUNT,
    VALUE_COUNTERS,
    beat,
    durable_until,
    recorded,
    take_gate,
)
from shm_exchange.recovery import empty_market, warm_up
from shm_exchange.roles import EXIT_DONE, RoleContext
from shm_exchange.snapshotter import Snapshotter
from shm_exchange.sync_times import SyncTimes
from shm_exchange.wiring import PROCESS_MATCHER, PROCESS_SOURCE_FIRST, PROCESS_STANDBY_FIRST

SYNC_EVERY_NS = 5_000_000  # durability "memory": the window that a loss of power may cost
GATHER_SECONDS = 0.0005  # durability "memory": how long events gather
EVENTS_PER_SECOND_MAX = 20_000_000  # bounds the gathering: never more than a part of the ring
FULL_RETRY_NS = 50_000_000
RESERVE_RETRY_NS = 500_000_000
SLEEP_US = 1000
_SWITCH_SECONDS = 0.0005  # how long another thread may keep the appends waiting
_AT_WORK = (layout.STATE_STARTING, layout.STATE_READY, layout.STATE_DRAINING)


class Recorder:
    """The core: `step` appends what is published. Nothing here waits."""

    def __init__(self, ring: Broadcast, journal: Journal) -> None:
        self.ring = ring
        self.journal = journal
        self.full = False  # the disk has no room; the matcher will wait for us
        self.full_count = 0  # how often that began
        self.sync_times = SyncTimes()
        self._data = ring.records.view(np.uint8).data
        self._retry_ns = 0

    def start(self) -> None:
        """Take the ring's gate where the journal ends. Raise JournalError when they do not meet."""
        position = self.journal.position
        end = int(published(self.ring))
        if position > end:
            raise JournalError(
                f"{self.journal.directory}: the journal reaches position {position}, the event"
                f" ring only {end}: they are not of the same run"
            )
        if not take_gate(self.ring, position):
            raise JournalError(
                f"{self.journal.directory}: the journal ends at position {position}, and the event"
                f" ring no longer has what follows (it ends at {end})"
            )
        durable_until(self.ring, self.journal.durable)

    def step(self, now_ns: int) -> int:
        """Append everything that is published; return how many records that was.

        A full disk moves nothing and is tried again later: the matcher never overwrites what is
        not written.
        """
        position = self.journal.position
        count = int(published(self.ring)) - position
        if count <= 0 or (self.full and now_ns < self._retry_ns):
            return 0
        slices = ring_slices(self._data, len(self.ring.records), position, count)
        try:
            end = self.journal.append(slices, now_ns)
        except JournalFull:
            self.full_count += not self.full
            self.full = True
            self._retry_ns = now_ns + FULL_RETRY_NS
            return 0
        self.full = False
        if overwritten(self.ring, position):
            raise JournalError(
                f"{self.journal.directory}: the event ring was overwritten at position {position}"
                " while it was written to the journal: somebody else moves its gate"
            )
        record_until(self.ring, end)
        return count

    def sync(self) -> int:
        """Force to disk what is appended, say so, and return the durable position."""
        began_ns = time.monotonic_ns()
        durable = self.journal.sync()
        self.sync_times.observe(time.monotonic_ns() - began_ns)
        durable_until(self.ring, durable)
        return durable


class _Worker(threading.Thread, ABC):
    """Calls `step` until told to stop; an error is kept for the main thread."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.error: BaseException | None = None
        self.stop = threading.Event()

    def run(self) -> None:
        """The loop of the thread."""
        try:
            while not self.stop.is_set():
                self.step()
        except BaseException as error:  # the main thread raises it
            self.error = error

    @abstractmethod
    def step(self) -> None:
        """One pass; may wait a moment."""

    def end(self) -> None:
        """Stop, wait, and raise what went wrong."""
        self.stop.set()
        if self.is_alive():
            self.join()
        self.check()

    def check(self) -> None:
        """Raise what went wrong in the thread."""
        if self.error is not None:
            raise self.error


class SyncWorker(_Worker):
    """Group commit: everything appended while one sync runs is made durable by the next."""

    def __init__(self, recorder: Recorder, context: RoleContext, *, disk: bool) -> None:
        super().__init__("sync")
        self._recorder = recorder
        self._context = context
        self._disk = disk
        self._said = -1
        self.appended = threading.Event()

    def step(self) -> None:
        """Wait for an append (or for the interval), sync, wake those who wait for it."""
        if self._disk:
            self.appended.wait(0.1)
            self.appended.clear()
        else:
            self.stop.wait(SYNC_EVERY_NS / 1e9)
        if self._recorder.journal.position == self._said:
            return
        self._said = self._recorder.sync()
        if self._disk:
            context = self._context
            ring_others(context.control.doorbells, context.bells, context.process)


class SnapshotWorker(_Worker):
    """The replica, behind the appends.

    Not at a lower priority: on a busy host it would lose the core while it holds the
    interpreter's lock, and the appends would wait for it (seconds were measured).
    """

    def __init__(self, recorder: Recorder, snapshotter: Snapshotter, words: np.ndarray) -> None:
        """words: the engine's control words, which say when and how often one is wanted."""
        super().__init__("snapshots")
        self._recorder = recorder
        self._words = words
        self._every = snapshotter.every
        self.snapshotter = snapshotter

    def step(self) -> None:
        """Apply a bounded batch, or rest."""
        journal = self._recorder.journal
        self.snapshotter.wanted_position = int(self._words[layout.SNAPSHOT])
        self.snapshotter.every = int(self._words[layout.SNAPSHOT_EVERY]) or self._every
        if self.snapshotter.step(journal.position, journal.durable, time.time_ns()) == 0:
            self.stop.wait(0.01)


class Process:
    """A recorder and its threads, as one process runs it."""

    def __init__(self, context: RoleContext, recorder: Recorder, snapshotter: Snapshotter) -> None:
        self._context = context
        self._recorder = recorder
        self._disk = context.configuration.exchange.durability == "disk"
        self._sync = SyncWorker(recorder, context, disk=self._disk)
        self._snapshots = SnapshotWorker(recorder, snapshotter, context.control.words)
        capacity = len(recorder.ring.records)
        self._many = capacity // 8
        self._nap_seconds = min(GATHER_SECONDS, capacity // 4 / EVENTS_PER_SECOND_MAX)
        self._loops = self._work = self._idle_count = 0
        self._said = "there is room again"
        self._reserve_ns = 0
        self._patience = np.zeros(2, np.int64)
        self._values = np.zeros(VALUE_COUNTERS + COUNTER_COUNT, np.int64)

    def warm_up(self) -> None:
        """Compile, or load, what the loop calls; on scratch memory."""
        doorbells = np.zeros(layout.DOORBELLS.size, np.uint8)
        ring_others(doorbells, self._context.bells, self._context.process)
        announce_sleep(doorbells, self._context.process)
        end_sleep(doorbells, self._context.process)
        idle(YIELD, 0, self._patience)
        sleep_on(-1, 0)
        self._beat(time.time_ns())

    def serve(self) -> None:
        """Record until the stop word is set and the matcher is gone; then seal and snapshot."""
        self._sync.start()
        self._snapshots.start()
        while True:
            stopping = self._context.stopping() and self._publishers_are_gone()
            count = self.step()
            if stopping and count == 0 and not self._recorder.full:
                break
            self._wait(count)
        self._sync.end()
        self._snapshots.end()
        self._recorder.sync()
        self._recorder.journal.close(time.time_ns())
        position = self._recorder.journal.position
        self._snapshots.snapshotter.finish(position, time.time_ns())
        self._beat(time.time_ns())

    def step(self) -> int:
        """One pass: append, say so; return how many records."""
        self._sync.check()
        self._snapshots.check()
        now_ns = time.time_ns()
        count = self._recorder.step(now_ns)
        if count:
            self._sync.appended.set()
        self._loops += 1
        self._work += count
        self._idle_count = 0 if count else self._idle_count + 1
        if count or not self._disk or self._idle_count & 255 == 1:
            self._beat(now_ns)
        self._look_after_reserve(now_ns)
        return count

    def _wait(self, count: int) -> None:
        if not self._disk:
            if count < self._many:
                # After a while without events there is less to lose by looking less often.
                time.sleep(self._nap_seconds * (1 if self._idle_count < 100 else 2))
            return
        context, me = self._context, self._context.process
        looks = self._idle_count * LOOKS_PER_PASS
        if count or not idle(context.policy, looks, self._patience):
            return
        announce_sleep(context.control.doorbells, me)
        nothing = int(published(self._recorder.ring)) == self._recorder.journal.position
        if (nothing or self._recorder.full) and not context.stopping():
            sleep_on(int(context.bells[me]), SLEEP_US)
        end_sleep(context.control.doorbells, me)

    def _publishers_are_gone(self) -> bool:
        """True when nobody publishes any more, and nobody is left to take over."""
        rows = self._context.control.processes
        for number in (PROCESS_MATCHER, *range(PROCESS_STANDBY_FIRST, PROCESS_SOURCE_FIRST)):
            pid = int(rows[number]["pid"])
            if int(rows[number]["state"]) in _AT_WORK and Path(f"/proc/{pid}").exists():
                return False
        return True

    def _beat(self, now_ns: int) -> None:
        recorder, snapshotter = self._recorder, self._snapshots.snapshotter
        self._values[:] = (
            now_ns,
            recorder.journal.position,
            self._loops,
            self._work,
            recorder.full_count,
            recorder.journal.durable,
            int(recorder.full),
            snapshotter.position,
            snapshotter.snapshot_position,
            snapshotter.count,
            int(recorder.journal.short),
            *recorder.sync_times.words(),
            snapshotter.snapshot_time_ns,
        )
        beat(self._context.line, self._values)

    def _look_after_reserve(self, now_ns: int) -> None:
        """While the disk is short, look for room now and then; say when that has changed."""
        recorder, journal = self._recorder, self._recorder.journal
        if journal.short and now_ns >= self._reserve_ns:
            self._reserve_ns = now_ns + RESERVE_RETRY_NS
            journal.make_reserve()
        self._snapshots.snapshotter.paused = journal.short
        state, priority = "there is room again", INFO
        if recorder.full:
            priority = ERROR
            state = "no room on the disk, and no reserve: the matcher waits"
        elif journal.short:
            priority = WARNING
            state = "no room on the disk but the reserve: new orders are refused"
        if state != self._said:
            self._said = state
            say(f"recorder: {journal.directory}: {state}", priority)


def run(context: RoleContext) -> int:
    """Be the recorder of an engine until it stops. Raises JournalError, LayoutError, OSError."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    identity = int(context.wiring.segments[0].header[0]["identity"])
    owner = Owner.of(identity, context.engine)
    ring = context.wiring.ring
    configured = context.configuration.engine(context.engine)
    journal = Journal(
        context.state_directory,
        owner,
        first_position=_first_position(ring),
        segment_size=configured.journal_segment_bytes,
        reserve_size=configured.disk_reserve_bytes,
    )
    try:
        if journal.torn_bytes:
            say(
                f"recorder: {context.state_directory}: cut {journal.torn_bytes} bytes behind"
                f" position {journal.position}: the tail of an append that was not finished",
                WARNING,
            )
        recorder = Recorder(ring, journal)
        recorder.start()

        def make_market() -> Market:
            return empty_market(context.configuration, context.engine)

        every = configured.snapshot_every_events
        snapshotter = Snapshotter(ring, context.state_directory, owner, make_market, every)
        process = Process(context, recorder, snapshotter)
        process.warm_up()
        warm_up(make_market())
        context.set_state(layout.STATE_READY)
        process.serve()
        context.set_state(layout.STATE_STOPPED)
    finally:
        journal.abandon()
    return EXIT_DONE


def _first_position(ring: Broadcast) -> int:
    """Where a journal begins that does not exist yet: where the last recorder came to."""
    written = int(recorded(ring))
    return int(published(ring)) if written == NO_GATE else written
