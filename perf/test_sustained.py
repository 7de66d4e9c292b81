"""The matcher for a minute with the recorder writing: what it keeps up, not what it reaches.

Included: matching, events, state hash, publishing to the ring whose gate waits for the recorder;
the recorder, which copies, sums up, writes and syncs every event through this host's file system;
whenever it cannot follow, the matcher waits, and that counts. Not included: sockets, command rings,
replicas, snapshots. The matcher has one core, the recorder the other. The flow is played again and
again, each time into an empty market: making that market is not in `messages_per_second`, and is in
`messages_per_second_of_all`. Between two passes the segments of the journal are deleted that the
recorder's own replica, which makes snapshots, has read, and where the disk is so fast that it is
25 GB behind, it is waited for: that is not in `messages_per_second` either. Beside it, in the same
run: the same matcher into a ring without a recorder, before the minute and after it.

SHMX_PERF_SUSTAINED_SECONDS shortens the minute.
"""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from perf.live_engine import engine_cores
from perf.live_recorder import LiveRecorder, recording
from ringbuf import host
from ringbuf.broadcast import published
from shm_exchange.flow import CANCEL, Flow, generate
from shm_exchange.flow_commands import (
    COMMANDS_PER_PUBLISH,
    MESSAGES_FROM,
    SOURCE,
    Player,
    Tape,
    market_of,
    tape_of,
)
from shm_exchange.journal_segment import segment_paths
from shm_exchange.market import RESTING
from shm_exchange.messages import SLOT_BITS
from shm_exchange.recording import COUNTER_REPLICA, recorded
from shm_exchange.tape import play
from shm_exchange.wiring import PROCESS_RECORDER

SECONDS = float(os.environ.get("SHMX_PERF_SUSTAINED_SECONDS", "60"))
MESSAGES = 1_000_000
RING_RECORDS = 1 << 18  # as in an exchange
SEGMENTS_KEPT = 200  # 25 GB
ENGINE = 1


def _closed(flow: Flow) -> Flow:
    """The flow, and a cancel of each order that it leaves in the book.

    The recorder's replica, of which it makes snapshots, goes from one pass into the next.
    """
    player = Player(tape_of(flow))
    for _ in player.until(MESSAGES_FROM + flow.messages):
        pass
    orders = player.market.orders[SOURCE << SLOT_BITS :][: 1 << 20]
    resting = np.flatnonzero(orders["state"] == RESTING)
    ids = flow.order_id[orders["user_ref"][resting].astype(np.int64) - 1]
    zeros = np.zeros(len(ids), np.int64)
    columns = {"kind": zeros + CANCEL, "order_id": ids}
    return Flow(
        **{
            name: np.concatenate((column, columns.get(name, zeros).astype(column.dtype)))
            for name, column in flow._asdict().items()
            if column is not None and name != "time_ns"
        }
    )


def _unrecorded(tape: Tape) -> float:
    """Messages per second into a private ring."""
    player = Player(tape)
    began = time.perf_counter()
    for _ in player.until(len(tape.commands)):
        pass
    return len(tape.commands) / (time.perf_counter() - began)


def _play(tape: Tape, it: LiveRecorder) -> float:
    """Seconds for the whole tape, with every wait for the gate."""
    market, ring = market_of(tape), it.wiring.ring
    done, count = 0, len(tape.commands)
    position = int(published(ring))
    market.scalars[0]["position"] = position
    began = time.perf_counter()
    while done < count or int(market.scalars[0]["continuing_kind"]):
        done = play(
            market, tape.commands, done, count, SOURCE, ring, position, COMMANDS_PER_PUBLISH
        )
        position = int(market.scalars[0]["position"])
        if done < count:
            assert it.process.status() != psutil.STATUS_ZOMBIE, "the recorder has ended"
            os.sched_yield()
    return time.perf_counter() - began


def _drop_segments(it: LiveRecorder) -> None:
    """What the recorder's replica has behind it; it is waited for when it is gigabytes behind."""
    found = segment_paths(it.folder, ENGINE)
    for number, ((_, path), (end, _)) in enumerate(pairwise(found)):
        while _replica_position(it) < end:
            if len(found) - number <= SEGMENTS_KEPT:
                return
            assert it.process.status() != psutil.STATUS_ZOMBIE, "the recorder has ended"
            time.sleep(0.01)
        path.unlink()


def _replica_position(it: LiveRecorder) -> int:
    return int(it.wiring.control.processes["counter"][PROCESS_RECORDER, COUNTER_REPLICA])


def test_sustained(benchmark: Any, tmp_path: Path) -> None:
    """Messages per second, of the whole time."""
    tape = tape_of(_closed(generate(MESSAGES, 1)))
    cores = os.sched_getaffinity(0)
    matcher_core, recorder_core = engine_cores()
    passes: list[float] = []
    unrecorded = [_unrecorded(tape)]

    def measure() -> None:
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            passes.append(_play(tape, it))
            _drop_segments(it)

    with recording(tmp_path, RING_RECORDS) as it:
        it.process.cpu_affinity([recorder_core])
        host.pin(matcher_core)
        try:
            benchmark.pedantic(measure, rounds=1)
        finally:
            os.sched_setaffinity(0, cores)
        last = int(published(it.wiring.ring))
        while int(recorded(it.wiring.ring)) < last:
            time.sleep(0.001)
    unrecorded.append(_unrecorded(tape))
    messages = len(passes) * len(tape.commands)
    benchmark.extra_info.update(
        seconds=round(sum(passes), 1),
        messages_per_second=round(messages / sum(passes)),
        messages_per_second_of_all=round(messages / benchmark.stats.stats.total),
        without_recorder_messages_per_second=round(max(unrecorded)),
        slowest_pass_messages_per_second=round(len(tape.commands) / max(passes)),
        bytes_recorded=64 * last,
    )
    assert last > len(passes) * MESSAGES, passes
