"""Shell: what the service manager learns of an exchange: ready, its status, all well, stopping.

The supervisor's own loop tells it, so a supervisor that hangs is silent; and it feeds the watchdog
only when every matcher, recorder and gateway has moved since it did so before, so an exchange that
stands still is silent as well. A start that compiles asks for more time, as long as the loop goes
round.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from ringbuf import layout
from shm_exchange.notify_socket import ServiceManager
from shm_exchange.progress import Progress
from shm_exchange.status import living_pid, published
from shm_exchange.wiring import (
    PROCESS_MATCHER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    Wiring,
)

_STATUS_SECONDS = 1.0
_MORE_TIME_USEC = 300_000_000  # from each time it is asked for: a stopped machine is no failure
_COMPILING_SECONDS_MAX = 3600.0  # whoever compiles for longer will not end


class UnitReport:
    """Everything that is told, each thing when it is due."""

    def __init__(
        self, manager: ServiceManager, wirings: Mapping[int, Wiring], *, compiling: bool = False
    ) -> None:
        """compiling: this start compiles first, which takes as long as the host is slow."""
        self._manager = manager
        self._wirings = wirings
        self._compiling = compiling
        self._progress = Progress(wirings)
        self._is_ready = self._is_stopping = self._is_reloading = False
        self._feed_due = self._status_due = self._looked = self._more_due = 0.0
        self._since: float | None = None
        self._status = ""
        self._positions: dict[int, int] = {}

    def tell(self, state: str, *, opened: bool, now: float) -> None:
        """Called in every pass. opened: the market was open once; now: of a monotonic clock."""
        if not self._manager.is_there:
            return
        if self._compiling and state == "starting" and now >= self._more_due:
            self._ask_for_time(now)
        opens = opened and not self._is_ready
        if opens or now >= self._status_due:
            status = self._line(state, now)
            if (opens or status != self._status) and self._manager.tell(
                f"STATUS={status}", *(["READY=1"] if opens else [])
            ):
                self._status, self._is_ready = status, opened
        self.say_ready()  # again, if it was not heard
        if state == "draining" and not self._is_stopping:
            self._is_stopping = self._manager.tell("STOPPING=1", "STATUS=draining")
        # The first feed starts the manager's clock, also of a unit that is only starting: a start
        # that compiles has minutes, and a limit of its own.
        if self._is_ready and self._manager.feed_seconds is not None and now >= self._feed_due:
            moves = state == "draining" or self._progress.everywhere(now)
            if moves and self._manager.tell("WATCHDOG=1"):
                self._progress.mark()
                self._feed_due = now + self._manager.feed_seconds

    def say_reloading(self) -> None:
        """What follows is between the old configuration and the new one, until `say_ready`."""
        if self._is_ready:
            now_us = time.monotonic_ns() // 1000
            self._is_reloading = self._manager.tell("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def say_ready(self) -> None:
        """The reload is over, whatever came of it; nothing is said unless one was announced."""
        if self._is_reloading and self._manager.tell("READY=1"):
            self._is_reloading = False

    def close(self) -> None:
        """Say no more."""
        self._manager.close()

    def _ask_for_time(self, now: float) -> None:
        self._since = now if self._since is None else self._since
        if now - self._since < _COMPILING_SECONDS_MAX:
            self._manager.tell(f"EXTEND_TIMEOUT_USEC={_MORE_TIME_USEC}")
        self._more_due = now + _STATUS_SECONDS

    def _line(self, state: str, now: float) -> str:
        seconds = max(now - self._looked, 0.001)
        engines = [self._describe(number, each, seconds) for number, each in self._wirings.items()]
        self._looked, self._status_due = now, now + _STATUS_SECONDS
        return f"{state}: {'; '.join(engines)}"

    def _describe(self, number: int, engine: Wiring, seconds: float) -> str:
        """Who plays which role, the reign, the position and the events per second."""
        rows, position = engine.control.processes, published(engine)
        rate = (position - self._positions.get(number, position)) / seconds
        self._positions[number] = position
        standbys = sum(
            living_pid(row) is not None for row in rows[PROCESS_STANDBY_FIRST:PROCESS_SOURCE_FIRST]
        )
        epoch = int(engine.control.words[layout.EPOCH])
        return (
            f"engine {number}: matcher {living_pid(rows[PROCESS_MATCHER]) or 'none'},"
            f" standbys {standbys}, epoch {epoch}, sequence {position}, {rate:.0f} events/s"
        )
