"""How fast events go to disk and come back: append, replay, snapshot.

Method: the events of a generated flow, written and read through the page cache of this host. The
baselines are a bare write of the same bytes and a replay from memory, in the same run.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from shm_exchange.flow import generate
from shm_exchange.flow_commands import Player, Tape, market_of, tape_of
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_segment import Owner
from shm_exchange.market import Market
from shm_exchange.messages import EVENT_DTYPE
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
    player = Player(tape())
    parts = [part.view(np.uint8).copy() for part in player.until(len(tape().commands))]
    return np.concatenate(parts).view(EVENT_DTYPE)


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


def test_snapshot_write(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The state at the end of the flow, to disk and synced."""
    market = fresh()
    apply_all(market, events(), 0)
    benchmark.pedantic(lambda: write_snapshot(market, tmp_path, OWNER, 0), rounds=ROUNDS)


def test_snapshot_load(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The same state from disk into an empty market."""
    market = fresh()
    apply_all(market, events(), 0)
    path = write_snapshot(market, tmp_path, OWNER, 0)
    benchmark.pedantic(
        lambda market: load_snapshot(path, market, OWNER),
        setup=lambda: ((fresh(),), {}),
        rounds=ROUNDS,
    )
