"""What the matcher's work costs as the market and its audience grow: curves, a picture each.

Instruments, resting orders: enters and cancels in one process, 64 to a publish, into a ring that
nobody reads. Included: every check, matching, the events, the state hash. Not included: sockets,
command rings, readers. Beyond 50,000 instruments two markets take turns on this core, as two
engines of one host would not: they have a core each. What grows is the memory that is touched: with
one instrument all of it is in the first caches, with 100,000 hardly any.

Readers: a generated flow into a ring that 0 to 64 processes read. They are stopped and continued,
so that each round has all numbers of them one after the other, and a step is judged within each
round: what the first reader costs, what each further one costs on average, and what it costs in the
worst of the steps, which no average hides. Two cores can show what one running reader costs, which
copies each record from the cache that wrote it, and that those which wait cost nothing more: all
readers share the core that the matcher does not have, so at most one of them runs at a time. Each
round has the matcher beside a process that reads nothing and counts, too: that the core is busy is
not the reason. They cannot show 64 readers at once, each pulling the line of `published` to a core
of its own: there each step may cost something. The middle rounds count here.

Command rings: an order in a command ring to its event, with that many rings to be polled, of which
one has work; nothing reads events but the one who waits. Both sides spin, a core each. Between two
rounds the matcher is stopped, and the bare C ping-pong has the cores.

Elsewhere the best of several rounds counts. Rounds of the smallest size are taken between those of
each other one: their curve is flat, or the machine was not the same all the time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from perf import baseline
from perf.live_engine import engine_cores, spinning_engine
from perf.order_sides import time_orders
from perf.results_file import curve, in_turns
from ringbuf.broadcast import NO_GATE, RECORDED, Broadcast, published
from ringbuf.schema import combined_digest
from ringbuf.segment import create_broadcast
from shm_exchange.flow import generate
from shm_exchange.flow_commands import COMMANDS_PER_PUBLISH, SOURCE, Tape, market_of, tape_of
from shm_exchange.messages import EVENT, EVENT_DTYPE, SLOT_BITS, SOURCE_GATEWAY_FIRST
from shm_exchange.tape import play

READERS = (0, 1, 4, 16, 64)
READER_ROUNDS = 12
MESSAGES = 400_000
WARM_UP_SECONDS = 1.0
SETTLE_SECONDS = 0.02  # until readers that were continued run
COMMAND_RINGS = (1, 4, 16)
ORDERS, ORDER_ROUNDS = 2_000, 15
C_TRIPS = 10_000  # between two rounds
MEMORY_SIZES = (1_000_000, 10_000_000)
IN_NO_ARRAY = "in no array"
_ROOT = Path(__file__).resolve().parent.parent
_RING_RECORDS = 1 << 16


def _grown(kind: str) -> dict[float, dict[str, Any]]:
    """What `perf.market_growth` prints, by size."""
    command = [sys.executable, "-m", "perf.market_growth", kind]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    return {float(size): figures for size, figures in json.loads(done.stdout).items()}


def _smallest(found: dict[float, dict[str, Any]]) -> dict[float, float]:
    """Best rounds of the smallest size between those of each."""
    return {size: min(each["smallest"]) for size, each in found.items()}


def _largest_beside_smallest(found: dict[float, dict[str, Any]]) -> dict[str, Any]:
    last = found[max(found)]
    return in_turns(last["rounds"], last["smallest"])


def test_instruments(benchmark: Any) -> None:
    """ns per command, each in any of so many instruments."""
    found = benchmark.pedantic(_grown, args=("instruments",), rounds=1)
    costs = {size: each["ns_per_command"] for size, each in found.items()}
    benchmark.extra_info.update(
        curve("ns per command, by instruments", {"ns": costs, "one, in turns": _smallest(found)}),
        rounds=_largest_beside_smallest(found),
    )
    assert all(each > 0 for each in costs.values())


def _by_array(figures: dict[str, Any]) -> dict[str, float]:
    """Resident bytes per order: of each array that grew, and what the process has beside them."""
    arrays = figures["bytes_by_array"]
    beside = figures["bytes_per_order"] - sum(arrays.values())
    shown = {name: round(each, 3) for name, each in arrays.items()}
    return {name: each for name, each in shown.items() if each} | {IN_NO_ARRAY: round(beside, 3)}


def test_resting_orders(benchmark: Any) -> None:
    """ns per command on any of so many resting orders; resident bytes that an order takes.

    Of the process, and of each array by its pages that exist: the two must agree.
    """
    found = benchmark.pedantic(_grown, args=("resting",), rounds=1)
    costs = {size: each["ns_per_command"] for size, each in found.items()}
    benchmark.extra_info.update(
        bytes_per_order={
            f"{size:,} orders": round(found[size]["bytes_per_order"], 1) for size in MEMORY_SIZES
        },
        bytes_per_order_at_10_million=round(found[MEMORY_SIZES[-1]]["bytes_per_order"], 1),
        bytes_by_array_at_1_million=_by_array(found[MEMORY_SIZES[0]]),
        bytes_by_array_at_10_million=_by_array(found[MEMORY_SIZES[-1]]),
        **curve(
            "ns per command, by resting orders", {"ns": costs, "100, in turns": _smallest(found)}
        ),
        rounds=_largest_beside_smallest(found),
    )
    assert all(each > 0 for each in costs.values())
    assert abs(benchmark.extra_info["bytes_by_array_at_10_million"][IN_NO_ARRAY]) < 1


@contextmanager
def _readers(name: str, cpu: int) -> Iterator[tuple[list[int], subprocess.Popen[str]]]:
    """So many processes that read the ring, all stopped. End its input for what they copied."""
    command = [sys.executable, "-m", "perf.ring_readers", name, str(max(READERS)), str(cpu)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=_ROOT) as process:
        assert process.stdout is not None and process.stdin is not None
        pids = [int(each) for each in process.stdout.readline().split()]
        try:
            _signal(pids, signal.SIGSTOP)
            yield pids, process
        finally:
            if process.poll() is None:
                _signal(pids, signal.SIGCONT)
            process.stdin.close()


@contextmanager
def _counting(cpu: int) -> Iterator[int]:
    """The id of a process that counts on that core and touches no ring, stopped."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            os.sched_setaffinity(process.pid, {cpu})
            process.send_signal(signal.SIGSTOP)
            yield process.pid
        finally:
            process.kill()


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def _play(tape: Tape, ring: Broadcast) -> float:
    """Seconds for the whole tape."""
    market = market_of(tape)
    count = len(tape.commands)
    position = int(published(ring))
    start = time.perf_counter()
    done = play(market, tape.commands, 0, count, SOURCE, ring, position, COMMANDS_PER_PUBLISH)
    seconds = time.perf_counter() - start
    assert done == count
    return seconds


def _reader_costs(seconds: np.ndarray) -> dict[str, Any]:
    """What readers take of the matcher's speed: of each step its share, within the same round.

    seconds: float64[rounds, numbers of readers]. A worst step that is below 0 is noise: it says 0.
    """
    steps = np.median(seconds[:, 1:] / seconds[:, :-1], axis=0) - 1
    each = steps / np.diff(READERS)
    whole = float(np.median(seconds[:, -1] / seconds[:, 1])) - 1
    names = [f"{low} to {high}" for low, high in zip(READERS, READERS[1:], strict=False)]
    return {
        "first_reader_costs": round(float(steps[0]), 4),
        "one_more_reader_costs": round(whole / (READERS[-1] - READERS[1]), 5),
        "worst_step_costs": round(max(0.0, float(each[1:].max())), 5),
        "steps_cost": {name: round(float(s), 4) for name, s in zip(names, steps, strict=True)},
    }


def _beside(tape: Tape, ring: Broadcast, pids: list[int]) -> float:
    """Seconds for the whole tape while these processes run, which are stopped before and after."""
    _signal(pids, signal.SIGCONT)
    time.sleep(SETTLE_SECONDS)
    seconds = _play(tape, ring)
    _signal(pids, signal.SIGSTOP)
    return seconds


def _with_readers(
    tape: Tape, ring: Broadcast, seconds: np.ndarray, pids: list[int], counting: int
) -> None:
    """Fill in the seconds: float64[rounds, numbers of readers and, last, beside who counts]."""
    for row in seconds:
        for place, count in enumerate(READERS):
            row[place] = _beside(tape, ring, pids[:count])
        row[-1] = _beside(tape, ring, [counting])


def test_readers(benchmark: Any) -> None:
    """Messages per second of the matcher, with so many readers attached."""
    tape = tape_of(generate(MESSAGES, 1))
    name = f"/shmx.growth.{os.getpid()}.events"
    digest = combined_digest(EVENT)
    segment, ring = create_broadcast(name, EVENT_DTYPE, _RING_RECORDS, digest, os.getpid())
    ring.cursors[RECORDED] = NO_GATE
    cores = os.sched_getaffinity(0)
    ours, other = engine_cores()
    measured = np.zeros((READER_ROUNDS, len(READERS) + 1))
    args = (tape, ring, measured)

    try:
        with _readers(name, ours) as (pids, process), _counting(ours) as counting:
            os.sched_setaffinity(0, {other})
            _signal(pids, signal.SIGCONT)  # none has run yet
            time.sleep(WARM_UP_SECONDS)
            _signal(pids, signal.SIGSTOP)
            _play(tape, ring)
            benchmark.pedantic(_with_readers, args=(*args, pids, counting), rounds=1)
            os.sched_setaffinity(0, cores)
            _signal(pids, signal.SIGCONT)
            copied = int(process.communicate()[0])
    finally:
        os.sched_setaffinity(0, cores)
        del ring, args
        segment.unlink()
        segment.close()
    seconds, beside = measured[:, :-1], measured[:, -1]
    middle = np.median(seconds, axis=0)
    rates = {
        "middle round": dict(zip(READERS, MESSAGES / middle, strict=True)),
        "best round": dict(zip(READERS, MESSAGES / seconds.min(axis=0), strict=True)),
    }
    benchmark.extra_info.update(
        records_copied=copied,
        **_reader_costs(seconds),
        counting_costs=round(float(np.median(beside / seconds[:, 0])) - 1, 4),
        rounds=in_turns(seconds[:, -1], seconds[:, 0]),
        # A logarithmic axis has no 0: no reader stands at a half.
        **curve(
            "messages/s, by readers (none: at 0.5)",
            {
                label: {count or 0.5: rate for count, rate in each.items()}
                for label, each in rates.items()
            },
        ),
    )
    assert copied > 0


def test_command_rings(benchmark: Any, tmp_path: Path) -> None:
    """Median ns from an order in one of so many command rings to its event."""
    clock = np.zeros(2, np.int64)
    slot = (SOURCE_GATEWAY_FIRST << SLOT_BITS) + 1
    program = baseline.build("ring_baseline", tmp_path)
    medians: dict[int, list[float]] = {count: [] for count in COMMAND_RINGS}
    bare: dict[int, list[float]] = {count: [] for count in COMMAND_RINGS}

    def measure() -> None:
        for count in COMMAND_RINGS:
            with spinning_engine(count) as engine:
                wiring = engine.wiring
                commands, ring = wiring.command_ring(SOURCE_GATEWAY_FIRST), wiring.ring
                for session in range(ORDER_ROUNDS):
                    samples = np.zeros(ORDERS, np.int64)
                    time_orders(commands, ring, session, slot, ORDERS, samples, clock)
                    medians[count].append(float(np.median(samples)))
                    with engine.stopped():
                        found = baseline.run(program, "pingpong", C_TRIPS, *engine_cores())
                    bare[count].append(found["p50_ns"])

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(
        curve(
            "ns from command ring to visible event, by command rings",
            {
                "best round": {count: min(each) for count, each in medians.items()},
                "middle round": {count: float(np.median(each)) for count, each in medians.items()},
                "bare C, best round": {count: min(each) for count, each in bare.items()},
            },
        ),
        rounds=in_turns(medians[COMMAND_RINGS[-1]], bare[COMMAND_RINGS[-1]]),
    )
    assert all(each > 0 for found in medians.values() for each in found)
