"""How fast events go to disk and come back: append, replay, snapshot.

Included: groups and their checksums, writes, syncs; of a replay the read, the proof of every group,
the replica. Not included: rings and the recorder's loop, a cold disk (what is read lies in the page
cache of this host), the start of a process, a device that something else uses.

Method: the events of a generated flow. The baselines are a bare write of the same bytes and a
replay from memory, in the same run; of snapshots a bare write and read of the same bytes, in turns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perf.flow_events import events_of
from perf.results_file import in_turns
from shm_exchange.flow import generate
from shm_exchange.flow_commands import Tape, market_of, tape_of
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_segment import Owner
from shm_exchange.market import Market
from shm_exchange.recovery import recover
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import load_snapshot, write_snapshot

OWNER = Owner.of(1, 1)
MESSAGES = 1_000_000
ROUNDS = 5


@lru_cache(maxsize=1)
def tape() -> Tape:
    """The commands of the flow."""
    return tape_of(generate(MESSAGES, seed=1))


@lru_cache(maxsize=1)
def events() -> np.ndarray:
    """Its events, from position 0 on."""
    return events_of(tape())


def fresh() -> Market:
    """An empty market whose pages exist, as in a process that has warmed up."""
    market = market_of(tape())
    apply_all(market, events()[:0], 0)
    return market


def write_journal(directory: Path, group: int) -> Journal:
    """The whole flow, `group` events in an append, one sync at the end."""
    journal = Journal(directory, OWNER)
    for first in range(0, len(events()), group):
        journal.append([record_bytes(events()[first : first + group])], time.time_ns())
    journal.sync()
    return journal


def rate(benchmark, count: int) -> None:  # type: ignore[no-untyped-def]
    """Note events per second of the best round, beside the seconds."""
    if benchmark.stats is not None:
        benchmark.extra_info["events"] = count
        benchmark.extra_info["events_per_second"] = round(count / benchmark.stats.stats.min)


@pytest.mark.parametrize("group", [100, 1_000, 10_000, 100_000])
def test_append(benchmark, tmp_path: Path, group: int) -> None:  # type: ignore[no-untyped-def]
    """Appends of `group` events with checksums, and a sync at the end."""
    events()
    numbers = iter(range(1000))

    def setup() -> tuple[tuple[Path, int], dict[str, object]]:
        directory = tmp_path / str(next(numbers))
        directory.mkdir()
        return (directory, group), {}

    benchmark.pedantic(
        lambda directory, group: write_journal(directory, group).abandon(),
        setup=setup,
        rounds=ROUNDS,
    )
    rate(benchmark, len(events()))


def test_append_baseline(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The same bytes by bare writes of 64 KiB into a preallocated file, and a sync."""
    data = record_bytes(events())

    def write() -> None:
        descriptor = os.open(tmp_path / "bare", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.posix_fallocate(descriptor, 0, len(data))
        for start in range(0, len(data), 1 << 16):
            os.pwrite(descriptor, data[start : start + (1 << 16)], start)
        os.fdatasync(descriptor)
        os.close(descriptor)

    benchmark.pedantic(write, rounds=ROUNDS)
    rate(benchmark, len(events()))


@pytest.mark.parametrize("group", [20, 100, 1_000, 100_000])
def test_replay(benchmark, tmp_path: Path, group: int) -> None:  # type: ignore[no-untyped-def]
    """Journal -> market: read, prove, apply. Budget: 10 M events/s."""
    write_journal(tmp_path, group).close(0)
    benchmark.pedantic(
        lambda market: recover(market, tmp_path, OWNER),
        setup=lambda: ((fresh(),), {}),
        rounds=ROUNDS,
    )
    rate(benchmark, len(events()))


def test_replay_baseline(benchmark) -> None:  # type: ignore[no-untyped-def]
    """The same events applied from memory."""
    benchmark.pedantic(
        lambda market: apply_all(market, events(), 0),
        setup=lambda: ((fresh(),), {}),
        rounds=ROUNDS,
    )
    rate(benchmark, len(events()))


def _state() -> Market:
    market = fresh()
    apply_all(market, events(), 0)
    return market


def _in_turns(benchmark: Any, ours: list[float], bare: list[float], size: int) -> None:
    benchmark.extra_info.update(
        snapshot_bytes=size,
        seconds_best=round(min(ours), 4),
        bare_seconds_best=round(min(bare), 4),
        ratio=round(min(ours) / min(bare), 2),
        rounds=in_turns(ours, bare),
    )


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _write_bare(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for start in range(0, len(data), 1 << 20):
        os.write(descriptor, data[start : start + (1 << 20)])
    os.fdatasync(descriptor)
    os.close(descriptor)


def test_snapshot_write(benchmark: Any, tmp_path: Path) -> None:
    """The state at the end of the flow, to disk and synced; a bare write of as many bytes."""
    market = _state()
    data = write_snapshot(market, tmp_path, OWNER, 0).read_bytes()
    ours: list[float] = []
    bare: list[float] = []

    def measure() -> None:
        for _ in range(ROUNDS):
            ours.append(_timed(lambda: write_snapshot(market, tmp_path, OWNER, 0)))
            bare.append(_timed(lambda: _write_bare(tmp_path / "bare", data)))

    benchmark.pedantic(measure, rounds=1)
    _in_turns(benchmark, ours, bare, len(data))


def test_snapshot_load(benchmark: Any, tmp_path: Path) -> None:
    """The same state from disk into an empty market; a bare read of the file."""
    path = write_snapshot(_state(), tmp_path, OWNER, 0)
    ours: list[float] = []
    bare: list[float] = []

    def measure() -> None:
        for _ in range(ROUNDS):
            market = fresh()
            ours.append(_timed(lambda market=market: load_snapshot(path, market, OWNER)))
            bare.append(_timed(path.read_bytes))

    benchmark.pedantic(measure, rounds=1)
    _in_turns(benchmark, ours, bare, path.stat().st_size)
