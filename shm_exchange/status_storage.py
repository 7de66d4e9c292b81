"""Shell: how full the rings of an engine are, and how its journal does; from shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ringbuf import layout
from ringbuf.broadcast import CLAIMED, DURABLE, NO_GATE, PUBLISHED, RECORDED
from shm_exchange.messages import SOURCE_MATCHER, SOURCE_SUPERVISOR
from shm_exchange.recording import (
    COUNTER_SNAPSHOT,
    COUNTER_SNAPSHOT_TIME_NS,
    COUNTER_SYNC_LAST_NS,
    COUNTER_SYNC_LONGEST_NS,
    COUNTER_SYNC_NS,
    COUNTER_SYNCS,
)
from shm_exchange.wiring import (
    COUNTER_DISK_FULL,
    COUNTER_DISK_SHORT,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    ROLE_NAMES,
    Wiring,
)

_NS_PER_SECOND = 1e9
EVENTS = "events"


def rings_of(number: int, engine: Wiring) -> Iterator[dict[str, Any]]:
    """The event ring, which is full when the recorder is a ring behind, and the command rings.

    depth: records that wait. producer: of an event ring the matcher.
    """
    cursors = engine.ring.cursors
    recorded = int(cursors[RECORDED])
    published = int(cursors[PUBLISHED])
    yield {
        "engine": number,
        "ring": EVENTS,
        "source": SOURCE_MATCHER,
        "producer": "matcher",
        "published": published,
        "depth": 0 if recorded == NO_GATE else max(0, published - recorded),
        "capacity": len(engine.ring.records),
    }
    rows = engine.command_cursors.view(layout.SPSC_CURSORS.dtype)
    capacity = len(engine.commands) // len(rows)
    for source in range(SOURCE_SUPERVISOR, len(rows)):
        consumed = int(rows["consumed"][source])  # before `published`: no depth is negative
        yield {
            "engine": number,
            "ring": "commands",
            "source": source,
            "producer": _producer(engine, source),
            "published": int(rows["published"][source]),
            "depth": max(0, int(rows["published"][source]) - consumed),
            "capacity": capacity,
        }


def _producer(engine: Wiring, source: int) -> str:
    """Who asks through a command ring."""
    if source == SOURCE_SUPERVISOR:
        return "supervisor"
    return ROLE_NAMES[engine.control.processes["role"][PROCESS_SOURCE_FIRST + source]]


def journal_of(number: int, engine: Wiring, now_ns: int) -> dict[str, Any]:
    """Syncs and snapshots of the recorder that runs or ran last.

    window: events that a loss of power now would cost; window_s: age of the oldest. snapshot: the
    newest's position, from which a start would go on.
    """
    counters = engine.control.processes["counter"][PROCESS_RECORDER]
    durable = int(engine.ring.cursors[DURABLE])
    written_ns = int(counters[COUNTER_SNAPSHOT_TIME_NS])
    return {
        "engine": number,
        "disk": disk_of(counters),
        "window": max(0, int(engine.ring.cursors[PUBLISHED]) - durable),
        "window_s": window_seconds(engine, now_ns),
        "syncs": int(counters[COUNTER_SYNCS]),
        "sync_seconds": int(counters[COUNTER_SYNC_NS]) / _NS_PER_SECOND,
        "sync_seconds_last": int(counters[COUNTER_SYNC_LAST_NS]) / _NS_PER_SECOND,
        "sync_seconds_longest": int(counters[COUNTER_SYNC_LONGEST_NS]) / _NS_PER_SECOND,
        "snapshot": int(counters[COUNTER_SNAPSHOT]) if written_ns else None,
        "snapshot_age_s": max(0, now_ns - written_ns) // 1_000_000_000 if written_ns else None,
    }


def window_seconds(engine: Wiring, now_ns: int) -> float | None:
    """Age of the oldest event that a loss of power would cost; 0: none would be lost.

    None: it was overwritten, so it is a whole ring old, or it was while we looked.
    """
    cursors, records = engine.ring.cursors, engine.ring.records
    durable = int(cursors[DURABLE])
    if durable >= int(cursors[PUBLISHED]):
        return 0.0
    time_ns = int(records["time_ns"][durable % len(records)])
    if int(cursors[CLAIMED]) > durable + len(records):
        return None
    return max(0, now_ns - time_ns) / _NS_PER_SECOND


def disk_of(counters: np.ndarray) -> str:
    """Whether the journal has room: `ok`, `short` (new orders are refused) or `full`."""
    if counters[COUNTER_DISK_FULL]:
        return "full"
    return "short" if counters[COUNTER_DISK_SHORT] else "ok"
