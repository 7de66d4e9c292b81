"""Shell: whether an exchange whose roles are all there can take orders, by shared memory alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ringbuf import layout
from ringbuf.broadcast import NO_GATE, PUBLISHED, RECORDED
from shm_exchange.status_storage import disk_of
from shm_exchange.wiring import PROCESS_RECORDER, Wiring

SILENT_SECONDS = 10.0  # far more than any process is silent for, on a busy machine too


def has_room(engine: Wiring) -> bool:
    """Whether the disk takes the journal without its reserve: new orders are not refused."""
    return disk_state(engine) == "ok"


def disk_state(engine: Wiring) -> str:
    """As `status_storage.disk_of`; `ok` where nothing is recorded."""
    if int(engine.ring.cursors[RECORDED]) == NO_GATE:
        return "ok"
    return disk_of(engine.control.processes[PROCESS_RECORDER]["counter"])


def is_silent(age_ms: int, state: str) -> bool:
    """Whether a process that says it is at work has not been heard of for too long."""
    return state == layout.STATE_NAMES[layout.STATE_READY] and age_ms > SILENT_SECONDS * 1e3


def silent(row: np.void, now_ns: int) -> bool:
    """The same of a PROCESS line. now_ns: since the epoch."""
    return is_silent((now_ns - heard_ns(row)) // 1_000_000, layout.STATE_NAMES[row["state"]])


def heard_ns(row: np.void) -> int:
    """When a process was heard of last: who has just begun has no heartbeat yet."""
    return max(int(row["heartbeat_ns"]), int(row["started_ns"]))


class Opening:
    """The last step of a start: what the roles said by starting is in the journal.

    Without this nobody would know yet whether the disk has any room at all.
    """

    def __init__(self, wirings: Mapping[int, Wiring]) -> None:
        self._wirings = wirings
        self._ends: dict[int, int] = {}

    def is_over(self) -> bool:
        """Asked while every role is there."""
        return all([self._is_written(number, each) for number, each in self._wirings.items()])

    def _is_written(self, number: int, engine: Wiring) -> bool:
        recorded = int(engine.ring.cursors[RECORDED])
        end = self._ends.setdefault(number, int(engine.ring.cursors[PUBLISHED]))
        return recorded == NO_GATE or (recorded >= end and disk_state(engine) != "full")
