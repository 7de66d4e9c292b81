"""Shell: who of a running exchange may still read a journal, and from which position on.

A replica that the ring has lapped goes on from the journal. Where it is stands in its line in
shared memory, and is at most a moment old: replicas only move on. One that begins anew begins where
`journal_kept.py` says, or later; who encodes a feed says from where on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringbuf import layout
from ringbuf.errors import SegmentError
from shm_exchange import presence, wiring
from shm_exchange.errors import NotRunningError
from shm_exchange.recording import COUNTER_REPLICA
from shm_exchange.status import living_pid
from shm_exchange.wiring import COUNTER_PAST, PROCESS_RECORDER, PROCESS_STANDBY_FIRST, ROLE_NAMES

_ENDED = (layout.STATE_NONE, layout.STATE_STOPPED, layout.STATE_FAILED)


class Need(NamedTuple):
    """What a process may read: everything from `position` on."""

    role: str
    pid: int
    position: int


def needs(state_directory: Path, engine: int) -> list[Need]:
    """Of all processes that may read an engine's journal now; none where nothing runs.

    Raises ForeignExchangeError when it is not ours to look at.
    """
    try:
        text = (state_directory / presence.RUNNING).read_bytes()
        name = json.loads(text)["name"]
        if not state_directory.samefile(presence.find(name)["state_directory"]):
            return []  # that one is another; ours has died
        shared = wiring.attach(name, engine, read_only=True)
    except (FileNotFoundError, NotRunningError, SegmentError):
        return []
    try:
        return list(_of_lines(shared.control.processes))
    finally:
        shared.close()


def _of_lines(rows: np.ndarray) -> Iterator[Need]:
    for number, row in enumerate(rows):
        pid = living_pid(row)
        is_reader = number == PROCESS_RECORDER or number >= PROCESS_STANDBY_FIRST
        if is_reader and pid is not None and row["state"] not in _ENDED:
            yield Need(ROLE_NAMES[row["role"]], pid, _from(row))


def _from(row: np.void) -> int:
    role = row["role"]
    if role == wiring.ROLE_RECORDER:
        return int(row["counter"][COUNTER_REPLICA])
    position = int(row["position"])
    if role == wiring.ROLE_MARKET_DATA and row["counter"][COUNTER_PAST]:
        return min(position, int(row["counter"][COUNTER_PAST]) - 1)
    return position
