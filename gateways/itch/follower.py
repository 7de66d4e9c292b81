"""Shell: a replica of its own that stands still while a snapshot of it is taken.

The pump's replica may not stand still: the feed would. So whoever offers snapshots has another one
that follows the ring, or the journal, in a thread with less priority. Who asks within a moment gets
the same snapshot, so that a crowd costs no more than one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from gateways.itch.snapshot import can_be_told, encode_snapshot, snapshot_size_max
from shm_exchange.errors import ExchangeError
from shm_exchange.history import History
from shm_exchange.market import Market
from shm_exchange.recovery import empty_market, load_snapshot_only
from shm_exchange.replica import apply_all
from shm_exchange.roles import RoleContext

EVENTS_PER_READ = 4_096
FRESH_SECONDS = 0.25  # a snapshot is given to whoever asks within this time
SNAPSHOTS_MAX = 8  # that are still being sent; while there are as many no other one is taken
_IDLE_SECONDS = 0.002
_RETRY_SECONDS = 1.0
_NICENESS = 5  # the matcher and the pumps come first


class Snapshot:
    """The packets of one snapshot, and how many messages of the feed are in it."""

    def __init__(self, data: memoryview, messages: int) -> None:
        self.data = data
        self.messages = messages


def take_snapshot(market: Market) -> Snapshot:
    """What GLIMPSE says of a market. It must not change meanwhile."""
    buffer = np.empty(int(snapshot_size_max(market)), np.uint8)
    size = int(encode_snapshot(market, buffer))
    data = buffer[:size].copy() if 2 * size < len(buffer) else buffer[:size]
    return Snapshot(data.data, int(market.scalars[0]["feed_messages"]))


class Follower(threading.Thread):
    """Follows an engine's events until the exchange stops."""

    def __init__(
        self, context: RoleContext, told: Callable[[], int], report: Callable[[str], None]
    ) -> None:
        """told: how many messages of the feed its clients may have; no snapshot is ahead of it."""
        super().__init__(name=f"follower {context.engine}", daemon=True)
        self._context = context
        self._told = told
        self._report = report
        self._lock = threading.Lock()
        self._asking: list[Future[Snapshot]] = []
        self._target = -1
        self._latest: tuple[float, weakref.ref[Snapshot]] | None = None
        self._alive: weakref.WeakSet[Snapshot] = weakref.WeakSet()

    def ask(self) -> Future[Snapshot]:
        """The snapshot of a moment that is not before this one, but for FRESH_SECONDS."""
        future: Future[Snapshot] = Future()
        with self._lock:
            self._asking.append(future)
        return future

    def run(self) -> None:
        """Follow; after a failure begin anew."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._context.stopping():
            try:
                self._follow()
            except (ExchangeError, OSError) as error:
                self._report(f"no snapshots now: {error}")
                self._refuse(error)
                time.sleep(_RETRY_SECONDS)

    def _follow(self) -> None:
        """Until the exchange stops, or the replica is not what the matcher has."""
        context = self._context
        market = empty_market(context.configuration, context.engine)
        ring, directory = context.wiring.ring, context.state_directory
        load_snapshot_only(market, directory, context.owner, ring)
        history = History(ring, directory, context.owner, held=context.holds)
        with contextlib.closing(history):
            while not context.stopping():
                position = int(market.scalars[0]["position"])
                if self._asking and self._target < 0:
                    self._target = history.end()
                if self._asking and position >= self._target and self._answer(market):
                    continue
                events = history.read(position, EVENTS_PER_READ)
                if len(events) == 0:
                    time.sleep(_IDLE_SECONDS)
                    continue
                apply_all(market, events, position)
                if market.scalars[0]["differs"]:
                    raise ExchangeError(f"the replica differs at position {position}")

    def _answer(self, market: Market) -> bool:
        """Give everybody who asks a snapshot; False when that is not possible yet."""
        if not can_be_told(market) or self._told() < int(market.scalars[0]["feed_messages"]):
            return False
        snapshot = self._recent() or self._take(market)
        with self._lock:
            asking, self._asking = self._asking, []
        self._target = -1
        for future in asking:
            if future.set_running_or_notify_cancel():
                future.set_result(snapshot)
        return True

    def _recent(self) -> Snapshot | None:
        """The latest one, if it will do."""
        if self._latest is None:
            return None
        taken, reference = self._latest
        is_fresh = time.monotonic() - taken < FRESH_SECONDS
        return reference() if is_fresh or len(self._alive) >= SNAPSHOTS_MAX else None

    def _take(self, market: Market) -> Snapshot:
        snapshot = take_snapshot(market)
        self._alive.add(snapshot)
        self._latest = (time.monotonic(), weakref.ref(snapshot))
        return snapshot

    def _refuse(self, error: Exception) -> None:
        with self._lock:
            asking, self._asking = self._asking, []
        self._target = -1
        for future in asking:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
