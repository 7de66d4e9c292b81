"""A quoting client beside one that floods the same gateway with valid orders and cancels.

The flood is open loop: it sends whatever its socket takes, without waiting for answers, so that the
gateway is never without input of it. The quoting client sends one order at a time. Rounds with the
flood and without it take turns; the median of the rounds' 99th percentiles counts, and the best
round of each kind and all of them stand beside it. The gateway has a core of its own; matcher,
flood and the quoting client share the other, so what the flood takes from them as a process is in
the figure too. Included: both clients, loopback TCP, gateway, rings and matcher. Not included: a
network, recorder and standby, a core for each process, several clients that flood. The quoting
client is a closed loop, in HDR histograms.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from perf.exchange import ROOT, Exchange, Placement, log_in, orders, running
from perf.latency_figures import figures
from perf.results_file import in_turns
from perf.tcp_client import round_trips
from ringbuf.waiting import PARK

TAIL_BUDGET = 1.5  # times the 99th percentile without a flood
ROUNDS = 10
TRIPS = 2_000
GATEWAY_CORE, OTHER_CORE = 0, 1


class Flood:
    """The process that floods."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def turn(self) -> tuple[int, int]:
        """On or off; messages sent and answered so far."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(".")
        self._process.stdin.flush()
        sent, answered = self._process.stdout.readline().split()
        return int(sent), int(answered)


@contextmanager
def flooding(exchange: Exchange) -> Iterator[Flood]:
    """A flood that is off."""
    address = f"{exchange.address[0]}:{exchange.address[1]}"
    command = [sys.executable, "-m", "perf.flood", address, "T02", str(OTHER_CORE)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield Flood(process)
        process.stdin.close()
        assert process.wait(30) == 0


def _rounds(exchange: Exchange) -> tuple[np.ndarray, np.ndarray, int]:
    """ns of each trip, [rounds, trips], without and with the flood; answers the flood was sent."""
    request = orders(1)[0]
    inbox, scratch = np.zeros(1 << 16, np.uint8), np.zeros(2, np.int64)
    samples = np.zeros((2, ROUNDS, TRIPS), np.int64)
    answered = 0
    with log_in(exchange.address, "T01") as client, flooding(exchange) as flood:
        number = 1
        warm_up = np.zeros(200, np.int64)
        for row in (warm_up, *(samples[kind, each] for each in range(ROUNDS) for kind in (0, 1))):
            before = 0
            floods = row.base is samples and bool(np.shares_memory(row, samples[1]))
            if floods:
                _, before = flood.turn()
            args = (PARK, request, number, inbox, row, scratch)
            assert round_trips(client.fileno(), *args) > 0, "the quoting client lost its connection"
            if floods:
                sent, after = flood.turn()
                assert after > before and sent >= after
                answered += after - before
            number += len(row)
    return samples[0], samples[1], answered


def test_a_flood_beside_a_quoting_client(benchmark: Any, tmp_path: Path) -> None:
    """How much longer the quoting client waits."""
    cores = os.sched_getaffinity(0)
    with running(tmp_path, Placement("yield", OTHER_CORE, GATEWAY_CORE)) as exchange:
        os.sched_setaffinity(0, {OTHER_CORE})
        try:
            alone, beside, answered = benchmark.pedantic(_rounds, args=(exchange,), rounds=1)
        finally:
            os.sched_setaffinity(0, cores)
    tails = [np.percentile(each, 99, axis=1) for each in (alone, beside)]
    # Of the rounds in the middle: the best one of either kind is luck, the worst one the machine's.
    ratio = float(np.median(tails[1]) / np.median(tails[0]))
    benchmark.extra_info.update(
        alone_ns=figures(alone[np.argmin(tails[0])]),
        flooded_ns=figures(beside[np.argmin(tails[1])]),
        alone_all_rounds_ns=figures(alone),
        flooded_all_rounds_ns=figures(beside),
        flood_answers_per_second=round(answered / (beside.sum() / 1e9)),
        tail_ratio=round(ratio, 2),
        budget=TAIL_BUDGET,
        met=ratio <= TAIL_BUDGET,
        rounds=in_turns(tails[1], tails[0]),
    )
    assert (alone > 0).all() and (beside > 0).all()
