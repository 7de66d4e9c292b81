"""The recorder loses nothing, whatever happens to it, and never lets the ring be overwritten early.

Method: the core step by step on a private ring; the role in this process on real segments; the real
process killed at random moments and started again.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from journal_cases import (
    NOW_NS,
    OWNER,
    events,
    fresh_market,
    make_ring,
    publish_events,
    same_market,
)

from ringbuf import layout
from ringbuf.broadcast import CLAIMED, Broadcast, claim, published, record_until
from ringbuf.waiting import PARK
from shm_exchange import recorder as module
from shm_exchange import wiring
from shm_exchange.config import Configuration, built_in
from shm_exchange.journal import Journal
from shm_exchange.journal_layout import PAGE_SIZE
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_segment import JournalError, Owner
from shm_exchange.market import Market
from shm_exchange.recorder import Recorder
from shm_exchange.recording import (
    COUNTER_DURABLE,
    COUNTER_FULL,
    COUNTER_SNAPSHOT,
    durable,
    recorded,
)
from shm_exchange.recovery import empty_market, recover
from shm_exchange.replica import apply_all
from shm_exchange.roles import RoleContext
from shm_exchange.snapshot import snapshot_paths
from shm_exchange.snapshotter import Snapshotter

IDENTITY = 0x1234_5678_9ABC  # of OWNER
CAPACITY = 64


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def journal_is_flow(directory: Path, count: int, owner: Owner = OWNER) -> bool:
    reader = JournalReader(directory, owner)
    found = reader.read(0, count + 1)
    reader.close()
    return found.tobytes() == events()[:count].tobytes()


def begin(directory: Path, ring: Broadcast, **options: int) -> Recorder:
    recorder = Recorder(ring, Journal(directory, OWNER, **options))
    recorder.start()
    return recorder


# ------------------------------------------------------------ the core


def test_step_and_sync(tmp_path: Path) -> None:
    """Goal: `recorded` follows the append, `durable` the sync, neither before."""
    ring = make_ring(CAPACITY)
    recorder = begin(tmp_path, ring)
    assert recorder.step(NOW_NS) == 0
    publish_events(ring, 0, 5)
    assert (recorded(ring), durable(ring)) == (0, 0)
    assert recorder.step(NOW_NS) == 5
    assert (recorded(ring), durable(ring)) == (5, 0)
    assert recorder.sync() == 5
    assert (recorded(ring), durable(ring)) == (5, 5)
    recorder.journal.close(NOW_NS)
    assert journal_is_flow(tmp_path, 5)


def test_it_gates_the_publisher(tmp_path: Path) -> None:
    """Goal: nobody overwrites what is not written; with a recorder nothing is ever missing."""
    ring = make_ring(CAPACITY)
    recorder = begin(tmp_path, ring)
    assert publish_events(ring, 0, CAPACITY) == CAPACITY
    assert not claim(ring, CAPACITY, 1)
    assert recorder.step(NOW_NS) == CAPACITY
    assert claim(ring, CAPACITY, 1)
    position = CAPACITY
    random_counts = random.Random(5)
    while position < 3000:
        position = publish_events(ring, position, random_counts.randint(1, CAPACITY // 2))
        recorder.step(NOW_NS)
    recorder.journal.close(NOW_NS)
    assert journal_is_flow(tmp_path, position)


def test_restart_continues(tmp_path: Path) -> None:
    """Goal: a recorder that died after the append and before `recorded` repeats nothing."""
    ring = make_ring(CAPACITY)
    recorder = begin(tmp_path, ring)
    publish_events(ring, 0, 10)
    recorder.step(NOW_NS)
    publish_events(ring, 10, 7)
    recorder.step(NOW_NS)
    record_until(ring, 10)  # as if it had died before this store
    recorder.journal.abandon()
    publish_events(ring, 17, 3)
    recorder = begin(tmp_path, ring)
    assert recorded(ring) == durable(ring) == 17
    assert recorder.step(NOW_NS) == 3
    recorder.journal.close(NOW_NS)
    assert journal_is_flow(tmp_path, 20)


def test_restart_after_a_torn_append(tmp_path: Path) -> None:
    """Goal: what a dying recorder wrote half is cut and taken from the ring again."""
    ring = make_ring(CAPACITY)
    recorder = begin(tmp_path, ring)
    publish_events(ring, 0, 10)
    recorder.step(NOW_NS)
    publish_events(ring, 10, 10)
    Recorder.step(recorder, NOW_NS)
    recorder.journal.abandon()
    record_until(ring, 10)
    (path,) = tmp_path.glob("*.shmj")
    with open(path, "r+b") as file:
        file.seek(PAGE_SIZE + 64 * 15)
        file.write(bytes(64 * 10))
    recorder = begin(tmp_path, ring)
    assert recorder.journal.position == 10
    assert recorder.step(NOW_NS) == 10
    recorder.journal.close(NOW_NS)
    assert journal_is_flow(tmp_path, 20)


def test_journal_and_ring_do_not_meet(tmp_path: Path) -> None:
    """Goal: a journal ahead of the ring, or a ring that lost what follows it, is refused."""
    recorder = begin(tmp_path, ring := make_ring(CAPACITY))
    publish_events(ring, 0, 40)
    recorder.step(NOW_NS)
    recorder.journal.close(NOW_NS)
    for other in (make_ring(CAPACITY), make_ring(CAPACITY, 200)):
        journal = Journal(tmp_path, OWNER)
        with pytest.raises(JournalError, match="the journal (reaches|ends at) position 40"):
            Recorder(other, journal).start()
        journal.abandon()


def test_overwritten_ring_is_noticed(tmp_path: Path) -> None:
    """Goal: should the gate ever fail, the recorder ends instead of saying that all is well."""
    ring = make_ring(CAPACITY)
    recorder = begin(tmp_path, ring)
    publish_events(ring, 0, 10)
    ring.cursors[CLAIMED] = CAPACITY + 1
    with pytest.raises(JournalError, match="overwritten at position 0"):
        recorder.step(NOW_NS)
    assert recorded(ring) == 0
    recorder.journal.abandon()


def test_full_disk(tmp_path: Path) -> None:
    """Goal: without room the gate stays closed, and everything is written once there is room."""
    ring = make_ring(CAPACITY)
    recorder = begin(tmp_path, ring, segment_size=PAGE_SIZE + 64 * 30)
    publish_events(ring, 0, 20)
    recorder.step(NOW_NS)
    publish_events(ring, 20, 20)
    with file_size_limit(PAGE_SIZE + 64 * 20):
        assert recorder.step(NOW_NS) == 0
        assert recorder.full and recorded(ring) == 20
        assert recorder.step(NOW_NS + 1) == 0
        assert recorder.step(NOW_NS + 10**9) == 0
        assert recorder.full_count == 1
    assert recorder.step(NOW_NS + 10**9) == 0, "not tried again at once"
    publish_events(ring, 40, 20)
    assert recorder.step(NOW_NS + 2 * 10**9) == 40
    assert not recorder.full
    recorder.journal.close(NOW_NS)
    assert journal_is_flow(tmp_path, 60)


# ------------------------------------------------------------ snapshots


def replica_at(position: int) -> Market:
    market = fresh_market()
    apply_all(market, events()[:position], 0)
    return market


def test_snapshotter(tmp_path: Path) -> None:
    """Goal: a snapshot every so many events, only of what is durable, and at the end."""
    ring = make_ring(CAPACITY)
    recorder = begin(tmp_path, ring)
    snapshotter = Snapshotter(ring, tmp_path, OWNER, fresh_market, every=100, kept=2)
    position = 0
    while position < 500:
        position = publish_events(ring, position, 8)
        recorder.step(NOW_NS)
        if position in (120, 360):
            recorder.sync()
        if position % 40 == 0:
            while snapshotter.step(position, recorder.journal.durable, NOW_NS):
                pass
            assert snapshotter.position == position
            assert snapshotter.snapshot_position <= recorder.journal.durable
    assert snapshotter.count == 2
    assert [found for found, _ in snapshot_paths(tmp_path, 1)] == [360, 120]
    recorder.sync()
    publish_events(ring, position, 3)
    recorder.step(NOW_NS)
    end = position + 3
    recorder.journal.close(NOW_NS)
    snapshotter.finish(end, NOW_NS)
    assert [found for found, _ in snapshot_paths(tmp_path, 1)][0] == end
    assert len(snapshot_paths(tmp_path, 1)) == 2
    market = fresh_market()
    assert recover(market, tmp_path, OWNER).replayed == 0
    assert same_market(market, replica_at(end))
    again = Snapshotter(ring, tmp_path, OWNER, fresh_market, every=100)
    again.finish(end, NOW_NS)
    assert again.count == 0, "there is one of this position already"
    assert same_market(again.market or fresh_market(), replica_at(end))


def test_snapshot_that_is_wanted(tmp_path: Path) -> None:
    """Goal: one that is asked for is taken once, as soon as what it is to have is durable."""
    ring = make_ring(CAPACITY)
    recorder = begin(tmp_path, ring)
    snapshotter = Snapshotter(ring, tmp_path, OWNER, fresh_market, every=1000)
    snapshotter.wanted_position = 20
    for position, synced in ((0, 0), (16, 16), (24, 16), (24, 24), (40, 40)):
        publish_events(ring, recorder.journal.position, position - recorder.journal.position)
        recorder.step(NOW_NS)
        recorder.sync()
        while snapshotter.step(position, synced, NOW_NS):
            pass
        assert snapshotter.snapshot_position == (24 if synced >= 24 else 0)
    assert snapshotter.count == 1
    recorder.journal.abandon()


def test_snapshot_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a snapshot that finds no room is left out; the recorder lives on."""
    ring = make_ring(CAPACITY)
    recorder = begin(tmp_path, ring)
    snapshotter = Snapshotter(ring, tmp_path, OWNER, fresh_market, every=10)
    publish_events(ring, 0, 30)
    recorder.step(NOW_NS)
    recorder.sync()
    snapshotter.step(30, 30, NOW_NS)

    def fail(*_arguments: object) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shm_exchange.snapshotter.write_snapshot", fail)
        for _ in range(4):
            snapshotter.step(30, 30, NOW_NS)
    assert (snapshotter.failures, snapshotter.count) == (1, 0)
    publish_events(ring, 30, 10)
    recorder.step(NOW_NS)
    recorder.sync()
    for _ in range(3):
        snapshotter.step(40, 40, NOW_NS)
    assert (snapshotter.snapshot_position, snapshotter.count) == (40, 1)
    recorder.journal.abandon()


# ------------------------------------------------------------ the role


@contextmanager
def engine_memory(name: str, position: int = 0) -> Iterator[wiring.Wiring]:
    """The segments of an engine with a small ring."""
    made = wiring.create(
        name,
        1,
        IDENTITY,
        position,
        event_records=1024,
        command_records=256,
        gateway_count=2,
        gated=True,
    )
    try:
        yield made
    finally:
        made.close()
        wiring.remove(name, 1)


def context_of(made: wiring.Wiring, directory: Path, configuration: Configuration) -> RoleContext:
    """What the recorder of that engine is given, registered."""
    context = RoleContext(
        name="test",
        engine=1,
        role="recorder",
        process=wiring.PROCESS_RECORDER,
        source=0,
        configuration=configuration,
        state_directory=directory,
        policy=PARK,
        wiring=made,
        bells=np.full(64, -1, np.int64),
    )
    context.register()
    return context


def publish_slowly(ring: Broadcast, position: int, end: int, deadline_s: float = 60) -> int:
    """Publish the flow's events up to `end`, waiting at the gate."""
    give_up = time.monotonic() + deadline_s
    while position < end:
        count = min(random.randint(1, 100), end - position)
        while not claim(ring, position, count):
            assert time.monotonic() < give_up, "the recorder does not move the gate"
            time.sleep(0.0005)
        position = publish_events(ring, position, count)
    return position


def wait_until(condition, deadline_s: float = 60) -> None:  # type: ignore[no-untyped-def]
    give_up = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.002)


@pytest.mark.parametrize("durability", ["memory", "disk"])
def test_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str) -> None:
    """Goal: the role records, syncs, says so in its line, and at the stop leaves a sealed journal
    and a snapshot of its end."""
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    configuration = built_in()
    exchange = configuration.exchange.model_copy(update={"durability": durability})
    object.__setattr__(configuration, "exchange", exchange)
    with engine_memory(f"test-recorder-{os.getpid()}") as made:
        context = context_of(made, tmp_path, configuration)
        codes: list[int] = []
        thread = threading.Thread(
            target=lambda role: codes.append(module.run(role)), args=(context,), daemon=True
        )
        thread.start()
        line = made.control.processes[wiring.PROCESS_RECORDER : wiring.PROCESS_RECORDER + 1].copy
        try:
            wait_until(lambda: line()["state"] == layout.STATE_READY)
            end = publish_slowly(made.ring, 0, 3000)
            wait_until(lambda: durable(made.ring) == end)
            wait_until(lambda: line()["counter"][0, COUNTER_DURABLE] == end)
            assert recorded(made.ring) == line()["position"] == line()["work"] == end
            assert time.time_ns() - int(line()["heartbeat_ns"][0]) < 10**9
            end = publish_slowly(made.ring, end, 3100)
        finally:
            made.control.words[layout.STOP] = wiring.STOP_RECORDER
            thread.join(60)
        assert codes == [0]
        assert line()["state"] == layout.STATE_STOPPED
        assert line()["counter"][0, COUNTER_SNAPSHOT] == end
        assert line()["counter"][0, COUNTER_FULL] == 0
    assert journal_is_flow(tmp_path, end)
    market = empty_market(built_in(), 1)
    found = recover(market, tmp_path, OWNER)
    assert (found.position, found.replayed) == (end, 0)
    assert market.scalars[0]["hash"] == replica_at(end).scalars[0]["hash"]


def test_failed_sync_ends_the_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a failed fdatasync is fatal: the role ends with the kernel's error, does not try again,
    `durable` stays; the next recorder loses nothing. (A pipe in the place of the journal's file
    makes the kernel refuse the sync.)"""
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    real = os.fdatasync
    failures: list[int] = []

    def broken(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".shmj"):
            reader, writer = os.pipe()
            os.dup2(reader, descriptor)
            os.close(reader)
            os.close(writer)
        try:
            real(descriptor)
        except OSError:
            failures.append(descriptor)
            raise

    with engine_memory(f"test-recorder-sync-{os.getpid()}") as made:
        context = context_of(made, tmp_path, built_in())
        publish_events(made.ring, 0, 10)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", broken)
            with pytest.raises(OSError, match="Invalid argument"):
                module.run(context)
        assert len(failures) == 1
        assert durable(made.ring) == 0
        recorder = begin(tmp_path, made.ring)
        recorder.step(NOW_NS)
        assert recorder.sync() == durable(made.ring) == 10
        recorder.journal.close(NOW_NS)
    assert journal_is_flow(tmp_path, 10)


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Goal: SIGKILL at random moments loses and repeats nothing; the next one goes on."""
    name = f"test-recorder-kill-{os.getpid()}"
    random_moments = random.Random(11)
    with engine_memory(name) as made:
        command = [sys.executable, "-m", "shm_exchange.roles", "recorder", "--name", name]
        command += ["--state", str(tmp_path), "--engine", "1:1:", "--policy", "park"]
        lines = made.control.processes
        position = 0
        for round_number in range(4):
            lines["state"] = layout.STATE_NONE
            child = subprocess.Popen(command)
            try:
                wait_until(lambda: lines["state"][1] == layout.STATE_READY)
                position = publish_slowly(made.ring, position, 1000 * (round_number + 1))
                if round_number == 3:
                    made.control.words[layout.STOP] = wiring.STOP_RECORDER
                    assert child.wait(60) == 0
                else:
                    time.sleep(random_moments.random() * 0.003)
            finally:
                child.kill()
                child.wait()
            assert recorded(made.ring) <= position == int(published(made.ring))
        assert recorded(made.ring) == durable(made.ring) == position == 4000
    assert journal_is_flow(tmp_path, 4000)
    market = empty_market(built_in(), 1)
    assert recover(market, tmp_path, OWNER).position == 4000
    assert market.scalars[0]["hash"] == replica_at(4000).scalars[0]["hash"]
