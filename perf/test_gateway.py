"""TCP order -> TCP acknowledgement through a whole exchange, beside a bare loopback echo in C.

Included: the client's send, the kernel's loopback, the gateway (recv, frame, decode, check,
command, replica, encode, send), both rings, the matcher, the client's recv. Not included: recorder
and standby (they would share the two cores). The echo is asked by the same compiled client with the
same bytes, in turns with the exchange, which is frozen meanwhile; the best round of each counts.
Single orders are a closed loop, in HDR histograms: see `test_latency.py` for what a stall costs a
stream.

yield: client and gateway share one core, the matcher has the other. park: as a laptop runs it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perf import baseline
from perf.exchange import Exchange, Placement, connect, log_in, orders, running
from perf.latency_figures import distributions, figures, histogram_of
from perf.results_file import in_turns
from perf.tcp_client import number_order, pipeline, round_trips
from ringbuf.jit import cold_kernel
from ringbuf.waiting import POLICY_NAMES, YIELD

MEDIAN_BUDGET, TAIL_BUDGET = 1.15, 1.5  # times the echo
PIPELINED_BUDGET = 500_000  # orders/s
ROUNDS = 12
TRIPS = 2_000
ORDERS = 200_000
WINDOW, BATCH = 4_096, 64
PIPELINED_ROUNDS = 5
ACCEPTED, ORDER = ord("A"), ord("O")
OUR_CORE, MATCHER_CORE = 0, 1


@cold_kernel
def _number_all(packets, size, first):
    for index in range(len(packets) // size):
        number_order(packets, index * size, first + index)


@contextmanager
def _echo(program: Path, waiting: str) -> Iterator[int]:
    command = [str(program), waiting, str(OUR_CORE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with connect(("127.0.0.1", int(process.stdout.readline()))) as client:
            yield client.fileno()
        process.wait(10)


def _alternate(exchange: Exchange, program: Path, waiting: str) -> tuple[np.ndarray, np.ndarray]:
    """Rounds of single orders: [rounds, trips] ns of the exchange, and of the echo."""
    policy = POLICY_NAMES.index(waiting)
    request = orders(1)[0]
    inbox, scratch = np.zeros(1 << 16, np.uint8), np.zeros(2, np.int64)
    ours = np.zeros((ROUNDS, TRIPS), np.int64)
    bare = np.zeros((ROUNDS, TRIPS), np.int64)
    with log_in(exchange.address, "T01") as client, _echo(program, waiting) as echo:
        warm_up = np.zeros(200, np.int64)
        assert round_trips(client.fileno(), policy, request, 1, inbox, warm_up, scratch) > 0
        number = len(warm_up) + 1
        for row in range(ROUNDS):
            sample = ours[row]
            args = (policy, request, number, inbox, sample, scratch)
            assert round_trips(client.fileno(), *args) > 0
            number += TRIPS
            exchange.freeze()
            args = (policy, request, 1, inbox, bare[row], scratch)
            assert round_trips(echo, *args) > 0
            exchange.thaw()
    return ours, bare


@pytest.mark.parametrize("waiting", ["yield", "park"])
def test_acknowledgement(benchmark: Any, waiting: str, tmp_path: Path) -> None:
    """One client, one order at a time."""
    program = baseline.build("tcp_echo", tmp_path)
    cores = os.sched_getaffinity(0)
    with running(tmp_path, Placement(waiting, MATCHER_CORE, OUR_CORE)) as exchange:
        os.sched_setaffinity(0, {OUR_CORE})
        try:
            args = (exchange, program, waiting)
            ours, bare = benchmark.pedantic(_alternate, args=args, rounds=1)
        finally:
            os.sched_setaffinity(0, cores)
    best = figures(ours[np.argmin(np.median(ours, axis=1))])
    echo = figures(bare[np.argmin(np.median(bare, axis=1))])
    median, tail = best["50"] / echo["50"], best["99"] / echo["99"]
    benchmark.extra_info.update(
        best_round_ns=best,
        all_rounds_ns=figures(ours),
        echo_best_round_ns=echo,
        echo_all_rounds_ns=figures(bare),
        median_ratio=round(median, 2),
        median_budget=MEDIAN_BUDGET,
        tail_ratio=round(tail, 2),
        tail_budget=TAIL_BUDGET,
        met=bool(median <= MEDIAN_BUDGET and tail <= TAIL_BUDGET),
        rounds=in_turns(np.median(ours, axis=1), np.median(bare, axis=1)),
        **distributions(
            {
                "orders by ns from sent to acknowledged, all rounds": {
                    "ours": histogram_of(ours),
                    "echo": histogram_of(bare),
                }
            }
        ),
    )
    assert (ours > 0).all() and (bare > 0).all()


def test_pipelined(benchmark: Any, tmp_path: Path) -> None:
    """One client that has many orders on the way; the gateway's core is the client's too.

    The echo is asked by the same client with the same window: it sends whatever comes back at once.
    """
    program = baseline.build("tcp_echo", tmp_path)
    bare: list[float] = []
    packets = orders(ORDERS)
    size = packets.shape[1]
    flat = packets.reshape(-1)
    inbox, counts = np.zeros(1 << 20, np.uint8), np.zeros(256, np.int64)
    cores = os.sched_getaffinity(0)
    with running(tmp_path, Placement("yield", MATCHER_CORE, OUR_CORE)) as exchange:
        with log_in(exchange.address, "T02") as client:
            state = {"next": 1}

            def renumber() -> None:
                _number_all(flat, size, state["next"])
                state["next"] += ORDERS

            def send() -> None:
                args = (size, WINDOW, BATCH, inbox, counts, ACCEPTED)
                assert pipeline(client.fileno(), YIELD, flat, *args) == ORDERS

            def setup() -> None:
                exchange.freeze()
                args = (size, WINDOW, BATCH, inbox, counts, ORDER)
                began = time.perf_counter()
                assert pipeline(echo, YIELD, flat, *args) == ORDERS
                bare.append(time.perf_counter() - began)
                exchange.thaw()
                renumber()

            os.sched_setaffinity(0, {OUR_CORE})
            try:
                with _echo(program, "yield") as echo:
                    benchmark.pedantic(send, setup=setup, rounds=PIPELINED_ROUNDS)
            finally:
                os.sched_setaffinity(0, cores)
    rate = ORDERS / benchmark.stats.stats.min
    benchmark.extra_info.update(
        orders_per_second=round(rate),
        echo_per_second=round(ORDERS / min(bare)),
        budget=PIPELINED_BUDGET,
        met=bool(rate >= PIPELINED_BUDGET),
        rounds=in_turns(benchmark.stats.stats.data, bare),
    )
    assert counts[ACCEPTED] >= PIPELINED_ROUNDS * ORDERS
