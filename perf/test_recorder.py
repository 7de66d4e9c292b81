"""The recorder beside a publisher that never pauses, each in a process of its own.

Included: the ring's gate, the recorder's copy, its checksums, writes and syncs, through this host's
file system. Not included: the matcher (see `test_sustained.py`), readers, replicas, snapshots, a
device that something else uses. The baseline writes the same bytes, 64 KiB at a time, into a
preallocated file of the same folder and syncs it, in turns with ours; the best round counts.

Method: a compiled publisher copies the events of a generated flow into the ring as fast as the
recorder's gate lets it, or at a given rate; the recorder is the real role. `extra_info` has events
per second until the last was written, and the share of a core that the recorder took.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perf.flow_events import events_of
from perf.live_recorder import LiveRecorder, recording
from perf.results_file import in_turns
from ringbuf.bits import at
from ringbuf.broadcast import claim, publish
from ringbuf.jit import kernel
from shm_exchange.flow import generate
from shm_exchange.flow_commands import tape_of
from shm_exchange.recording import durable, recorded

MESSAGES = 1_000_000
ROUNDS = 5  # as fast as the gate lets us; at a rate, which takes its time, once
RING_RECORDS = 1 << 20
BATCH = 64
PIECE = 1 << 16


@kernel
def feed(ring, events, position, end):
    """Publish events from `position` on, in batches, until `end` or the gate; the new position.

    events: EVENT[n], of which that at `position` is number `position` modulo n.
    """
    mask = len(ring.records) - 1
    while position < end:
        part = min(BATCH, end - position)
        if claim(ring, position, part) == 0:
            break
        for offset in range(part):
            event = events[at((position + offset) % len(events))]
            ring.records[at((position + offset) & mask)] = event
        position += part
        publish(ring, position)
    return position


@lru_cache(maxsize=1)
def events() -> np.ndarray:
    """Events of the flow, from position 0 on."""
    return events_of(tape_of(generate(MESSAGES, seed=1)))


def publish_all(ring, first: int, per_second: int) -> int:  # type: ignore[no-untyped-def]
    """Publish all events at a rate (0: as fast as the gate lets us); return the largest lag."""
    last, position, lag_max = first + len(events()), first, 0
    begin = time.perf_counter()
    while position < last:
        due = first + int((time.perf_counter() - begin) * per_second) if per_second else last
        position = int(feed(ring, events(), position, min(last, due)))
        lag_max = max(lag_max, position - int(recorded(ring)))
        if per_second or position < last:
            time.sleep(0.0002)
    return lag_max


def write_bare(folder: Path) -> float:
    """Seconds to write the bytes of the events, and to sync them."""
    data = events().view(np.uint8)
    path = folder / "bare"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.posix_fallocate(descriptor, 0, len(data))
    begin = time.perf_counter()
    for start in range(0, len(data), PIECE):
        os.pwrite(descriptor, data[start : start + PIECE], start)
    os.fdatasync(descriptor)
    seconds = time.perf_counter() - begin
    os.close(descriptor)
    path.unlink()
    return seconds


def record_once(it: LiveRecorder, first: int, per_second: int) -> dict[str, float]:
    """Publish all events from position `first` on, and wait until they are durable."""
    ring, last = it.wiring.ring, first + len(events())
    begin, before = time.perf_counter(), it.process.cpu_times()
    lag_max = publish_all(ring, first, per_second)
    while int(recorded(ring)) < last:
        time.sleep(0.0005)
    seconds, after = time.perf_counter() - begin, it.process.cpu_times()
    while int(durable(ring)) < last:
        time.sleep(0.0005)
    return {
        "seconds": seconds,
        "durable_seconds": time.perf_counter() - begin,
        "core_share": (after.user + after.system - before.user - before.system) / seconds,
        "lag_max": lag_max,
    }


@pytest.mark.parametrize("per_second", [1_000_000, 5_000_000, 0])
def test_record(benchmark: Any, per_second: int, tmp_path: Path) -> None:
    """All events published, written and durable."""
    ours: list[dict[str, float]] = []
    bare: list[float] = []

    def measure() -> None:
        for number in range(1 if per_second else ROUNDS):
            ours.append(record_once(it, number * len(events()), per_second))
            bare.append(write_bare(tmp_path))

    events()
    with recording(tmp_path, RING_RECORDS) as it:
        feed(it.wiring.ring, events(), 0, 0)
        benchmark.pedantic(measure, rounds=1)
    best = min(ours, key=lambda each: each["seconds"])
    benchmark.extra_info.update(
        events_per_second=round(len(events()) / best["seconds"]),
        bare_write_per_second=round(len(events()) / min(bare)),
        core_share=round(best["core_share"], 3),
        lag_max=int(max(each["lag_max"] for each in ours)),
        durable_after_ms=round((best["durable_seconds"] - best["seconds"]) * 1e3, 1),
    )
    if not per_second:
        durable_seconds = [each["durable_seconds"] for each in ours]
        benchmark.extra_info.update(rounds=in_turns(durable_seconds, bare))
    assert all(each["durable_seconds"] > 0 for each in ours)
