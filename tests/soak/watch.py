"""What can be seen of an exchange's processes without asking anybody: its shared memory."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ringbuf import layout
from ringbuf.spsc import CONSUMED, PUBLISHED
from shm_exchange import status, wiring
from shm_exchange.messages import EventKind
from shm_exchange.wiring import (
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
)
from tests.process.conftest import is_alive

ENGINE = 1


class Watch:
    """An engine's segments, read-only. Good for one life of the exchange."""

    def __init__(self, name: str) -> None:
        self._wiring = wiring.attach(name, ENGINE, read_only=True)
        self._rows = self._wiring.control.processes

    def close(self) -> None:
        """Let go."""
        del self._rows
        self._wiring.close()

    @property
    def epoch(self) -> int:
        """Number of the present reign."""
        return int(self._wiring.control.words[layout.EPOCH])

    @property
    def published(self) -> int:
        """Position of the next event."""
        return status.published(self._wiring)

    @property
    def matcher(self) -> int:
        """The matcher's process, once it serves; otherwise 0."""
        return self._ready_pid(PROCESS_MATCHER)

    @property
    def standbys(self) -> list[int]:
        """Standbys that are warm."""
        numbers = range(PROCESS_STANDBY_FIRST, PROCESS_SOURCE_FIRST)
        return [pid for number in numbers if (pid := self._ready_pid(number))]

    @property
    def recorder(self) -> int:
        """The recorder's process, once it serves; otherwise 0."""
        return self._ready_pid(PROCESS_RECORDER)

    def gateway(self, source: int) -> int:
        """A gateway's process, once it serves; otherwise 0."""
        return self._ready_pid(PROCESS_SOURCE_FIRST + source)

    def committed(self, source: int) -> int:
        """Commands that a gateway has ever given."""
        return int(self._wiring.command_ring(source).cursors[PUBLISHED])

    def backlog(self, source: int) -> int:
        """Commands in a gateway's ring that no matcher has finished."""
        cursors = self._wiring.command_ring(source).cursors
        return int(cursors[PUBLISHED] - cursors[CONSUMED])

    def processes(self) -> Iterator[Any]:
        """The lines of those who live."""
        return (row for row in self._rows if row["pid"] and is_alive(int(row["pid"])))

    def reign_began_ns(self, epoch: int) -> int | None:
        """When the first event of a reign was made, if the ring still has it."""
        events = self._wiring.ring.records
        found = events["time_ns"][(events["kind"] == EventKind.EPOCH) & (events["epoch"] == epoch)]
        return int(np.min(found)) if len(found) else None

    def _ready_pid(self, number: int) -> int:
        row = self._rows[number]
        pid = int(row["pid"])
        return pid if pid and row["state"] == layout.STATE_READY and is_alive(pid) else 0


def strike(pid: int, number: signal.Signals) -> int:
    """Send a signal; return when, in ns since the epoch. Nothing happens to who is gone."""
    now_ns = time.time_ns()
    with contextlib.suppress(ProcessLookupError):
        if pid > 1:  # 0 would be ourselves
            os.kill(pid, number)
    return now_ns
