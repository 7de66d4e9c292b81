"""Rings between two processes on two cores, each beside bare C in the same run.

Included: both sides' stores, publishes and polls, and the lines that go from core to core. Not
included: the clock, matching, more than one reader, readers that sleep, a full ring of the market's
records. Single round trips are a closed loop, in HDR histograms; the C program sorts its own.

Method: rounds of some milliseconds, the C program before, between and after ours, and the best
round of each counts: what another tenant of the machine takes away says nothing about the ring.
`extra_info` has the ratio, the budget of the design and the percentiles of single round trips.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from perf import baseline
from perf.latency_figures import figures
from perf.results_file import MORE, in_turns
from perf.ring_sides import (
    DIGEST,
    IDENTITY,
    LAST,
    RECORD_DTYPE,
    ask,
    ask_each,
    consume_each,
    create_copies,
)
from ringbuf import segment, spsc
from ringbuf.broadcast import record_until

ROUNDS = 8  # of each kind, alternating with the C program
TRIPS = 2_000  # in one timed stretch
STRETCHES = 50
RECORDS = 1 << 20  # in one timed stretch
SPEED_STRETCHES = 25  # without a pause between them, as in the C program
CAPACITY = 65_536
C_PERCENTS = ("p50", "p90", "p99", "p99_9", "p99_99", "p100")
ROUND_TRIP_BUDGET = 1.5  # times the C program, at most
THROUGHPUT_BUDGET = 0.5  # of the C program, at least
_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return baseline.build("ring_baseline", tmp_path_factory.mktemp("c"))


@pytest.fixture
def cores() -> Iterator[tuple[int, int]]:
    """Ours and the other side's; this process is on the first."""
    before = os.sched_getaffinity(0)
    ours, other = sorted(before)[:2]
    os.sched_setaffinity(0, {ours})
    yield ours, other
    os.sched_setaffinity(0, before)


@pytest.fixture
def name() -> Iterator[str]:
    prefix = f"/rbperf.{os.getpid()}"
    yield prefix
    segment.remove(prefix + ".ring")
    segment.remove(prefix + ".requests")


@contextmanager
def _other_side(kind: str, name: str, cpu: int, count: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "perf.ring_sides", kind, name, str(cpu), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "READY\n"
            yield process
        except BaseException:
            process.kill()
            raise
        assert process.wait(60) == 0


def _bare(program: Path, other: subprocess.Popen[str], *arguments: object) -> dict[str, float]:
    """The C program's figures. Our other side would take its core from it: it is stopped."""
    other.send_signal(signal.SIGSTOP)
    try:
        return baseline.run(program, *arguments)
    finally:
        other.send_signal(signal.SIGCONT)


def _ring(name: str):  # type: ignore[no-untyped-def]
    segment.remove(name + ".ring")
    return segment.create_broadcast(name + ".ring", RECORD_DTYPE, CAPACITY, DIGEST, IDENTITY)[1]


def test_round_trip(benchmark, program, cores, name) -> None:  # type: ignore[no-untyped-def]
    """A record into a queue, answered in a broadcast ring: at most 1.5 times the C ping-pong."""
    ring = _ring(name)
    _, requests = segment.create_spsc(name + ".requests", RECORD_DTYPE, 1024, DIGEST, IDENTITY)
    record, out = np.zeros(1, RECORD_DTYPE), np.zeros(1, RECORD_DTYPE)
    samples, scratch = np.zeros(TRIPS, np.int64), np.zeros(2, np.int64)
    state = {"position": 0}
    ask_each(requests, ring, 0, samples[:0], record, out, scratch)
    bare, records, single = [], [], []

    def trips() -> None:
        state["position"] = ask(requests, ring, state["position"], TRIPS, record, out)
        assert state["position"] > 0

    def setup() -> None:
        if len(bare) * STRETCHES <= state["position"] // (2 * TRIPS):
            bare.append(_bare(program, other, "pingpong", 4 * TRIPS * 10, *cores))
            records.append(_bare(program, other, "records", 2 * TRIPS * 10, *cores))
        at = state["position"]
        state["position"] = ask_each(requests, ring, at, samples, record, out, scratch)
        single.append(samples.copy())

    with _other_side("serve", name, cores[1], 0) as other:
        benchmark.pedantic(trips, setup=setup, rounds=ROUNDS * STRETCHES, warmup_rounds=2)
        record[0]["word_0"] = LAST
        assert spsc.offer(requests, state["position"], record) != spsc.FULL
    best_ns = benchmark.stats.stats.min / TRIPS * 1e9
    c_ns = min(each["best_ns"] for each in bare)
    c_records_ns = min(each["best_ns"] for each in records)
    ratio = best_ns / c_ns
    quiet = min(single, key=np.sum)
    turns = np.array_split(benchmark.stats.stats.data, len(bare))
    benchmark.extra_info.update(
        round_trip_ns=round(best_ns, 1),
        c_ns=c_ns,
        ratio=round(ratio, 3),
        c_with_records_ns=c_records_ns,
        ratio_to_c_with_records=round(best_ns / c_records_ns, 3),
        budget=ROUND_TRIP_BUDGET,
        met=bool(ratio <= ROUND_TRIP_BUDGET),
        percentiles_ns=figures(quiet),
        percentiles_all_ns=figures(single),
        c_percentiles_ns={key: min(each[f"{key}_ns"] for each in bare) for key in C_PERCENTS},
        rounds=in_turns(
            [each.min() / TRIPS * 1e9 for each in turns], [each["best_ns"] for each in bare]
        ),
    )
    assert best_ns > 0 and c_ns > 0


def test_broadcast_throughput(benchmark, program, cores, name) -> None:  # type: ignore[no-untyped-def]
    """Published and copied record by record: at least half of the C queue.

    Each side moves a record as one value, as the C program does: by words of eight bytes both
    have three times the instructions, and are bound by these.
    """
    ring = _ring(name)
    record_until(ring, 0)
    totals, clock = np.zeros(1, np.int64), np.zeros(2, np.int64)
    stretches = np.zeros((ROUNDS, SPEED_STRETCHES), np.int64)
    copies = create_copies()
    consume_each(ring, 0, 0, stretches[0], copies, totals, clock)
    rows = iter(stretches)
    count = ROUNDS * (SPEED_STRETCHES + 1) * RECORDS
    state = {"position": 0}
    bare = []

    def records() -> None:
        state["position"] = consume_each(
            ring, state["position"], RECORDS, next(rows), copies, totals, clock
        )
        assert state["position"] > 0

    def setup() -> None:
        bare.append(_bare(program, other, "spsc", SPEED_STRETCHES * RECORDS, *cores))
        # What was waiting in the ring meanwhile is not measured.
        args = (ring, state["position"], RECORDS, np.zeros(1, np.int64), copies, totals, clock)
        state["position"] = consume_each(*args)

    with _other_side("produce", name, cores[1], count) as other:
        benchmark.pedantic(records, setup=setup, rounds=ROUNDS)
    speeds = RECORDS / stretches.min(axis=1) * 1e9
    speed = float(speeds.max())
    c_speed = max(each["records_per_second"] for each in bare)
    benchmark.extra_info.update(
        records_per_second=round(speed),
        records_per_second_all=round(RECORDS / float(np.median(stretches)) * 1e9),
        c_records_per_second=round(c_speed),
        c_records_per_second_all=round(
            float(np.median([each["median_per_second"] for each in bare]))
        ),
        ratio=round(speed / c_speed, 3),
        budget=THROUGHPUT_BUDGET,
        met=bool(speed / c_speed >= THROUGHPUT_BUDGET),
        rounds=in_turns(speeds, [each["records_per_second"] for each in bare], MORE),
    )
    last = state["position"]
    assert last == count
    assert totals[0] == last * (last - 1) // 2 + 28 * last, "every record, once"
