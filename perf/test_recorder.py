"""The recorder beside a publisher that never pauses, each in a process of its own.

Method: a compiled publisher copies the events of a generated flow into the ring as fast as the
recorder's gate lets it, or at a given rate; the recorder is the real role. `extra_info` has events
per second until the last was written, and the share of a core that the recorder took.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import psutil
import pytest

from ringbuf import layout
from ringbuf.bits import at
from ringbuf.broadcast import claim, publish
from ringbuf.jit import kernel
from shm_exchange import wiring
from shm_exchange.flow import generate
from shm_exchange.flow_commands import Player, tape_of
from shm_exchange.messages import EVENT_DTYPE
from shm_exchange.recording import durable, recorded

MESSAGES = 1_000_000
RING_RECORDS = 1 << 20
BATCH = 64
READY_SECONDS = 60
_ROOT = Path(__file__).resolve().parent.parent


@kernel
def feed(ring, events, position, count):
    """Publish `count` events from `position` on, in batches, until the gate; the new position."""
    mask = len(ring.records) - 1
    end = position + count
    while position < end:
        part = min(BATCH, end - position)
        if claim(ring, position, part) == 0:
            break
        for offset in range(part):
            ring.records[at((position + offset) & mask)] = events[at(position + offset)]
        position += part
        publish(ring, position)
    return position


@lru_cache(maxsize=1)
def events() -> np.ndarray:
    """Events of the flow, from position 0 on."""
    tape = tape_of(generate(MESSAGES, seed=1))
    parts = [part.view(np.uint8).copy() for part in Player(tape).until(len(tape.commands))]
    return np.concatenate(parts).view(EVENT_DTYPE)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[tuple[wiring.Wiring, psutil.Process]]:
    """An engine's memory and its recorder, ready."""
    name = f"perf-recorder-{os.getpid()}"
    made = wiring.create(
        name,
        1,
        1,
        0,
        event_records=RING_RECORDS,
        command_records=256,
        gateway_count=2,
        gated=True,
    )
    command = [sys.executable, "-m", "shm_exchange.roles", "recorder", "--name", name]
    command += ["--state", str(tmp_path), "--engine", "1:1:", "--policy", "park"]
    child = subprocess.Popen(command, cwd=_ROOT)
    try:
        give_up = time.monotonic() + READY_SECONDS
        while made.control.processes["state"][wiring.PROCESS_RECORDER] != layout.STATE_READY:
            assert time.monotonic() < give_up and child.poll() is None
            time.sleep(0.01)
        yield made, psutil.Process(child.pid)
        made.control.words[layout.STOP] = wiring.STOP_RECORDER
        assert child.wait(READY_SECONDS) == 0
    finally:
        child.kill()
        child.wait()
        made.close()
        wiring.remove(name, 1)


def publish_all(ring, per_second: int) -> int:  # type: ignore[no-untyped-def]
    """Publish all events at a rate (0: as fast as the gate lets us); return the largest lag."""
    total, position, lag_max = len(events()), 0, 0
    begin = time.perf_counter()
    while position < total:
        due = int((time.perf_counter() - begin) * per_second) if per_second else total
        position = int(feed(ring, events(), position, min(total, due) - position))
        lag_max = max(lag_max, position - int(recorded(ring)))
        if per_second or position < total:
            time.sleep(0.0002)
    return lag_max


@pytest.mark.parametrize("per_second", [1_000_000, 5_000_000, 0])
def test_record(benchmark, recorder, per_second: int) -> None:  # type: ignore[no-untyped-def]
    """All events published and written."""
    made, process = recorder
    total = len(events())
    feed(made.ring, events(), 0, 0)
    times: list[float] = []

    def run() -> None:
        begin, before = time.perf_counter(), process.cpu_times()
        lag_max = publish_all(made.ring, per_second)
        while int(recorded(made.ring)) < total:
            time.sleep(0.0005)
        seconds, after = time.perf_counter() - begin, process.cpu_times()
        used = after.user + after.system - before.user - before.system
        benchmark.extra_info["events_per_second"] = round(total / seconds)
        benchmark.extra_info["core_share"] = round(used / seconds, 3)
        benchmark.extra_info["lag_max"] = lag_max
        while int(durable(made.ring)) < total:
            time.sleep(0.0005)
        times.append(time.perf_counter() - begin - seconds)

    benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["durable_after_ms"] = round(times[0] * 1e3, 1)
