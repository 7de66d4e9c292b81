"""A quoting client beside one that floods the same gateway with valid orders and cancels.

The flood is open loop: it sends whatever its socket takes, without waiting for answers, so that the
gateway is never without input of it, as it holds the flood to its share (docs/decisions/0027)
and the sockets take more than that. The quoting client sends one order at a time. Three kinds of
rounds take turns: without the flood, with it, and beside its control, which is the same process
taking the same share of the same core with the same calls, but for no gateway. So the flooded tail
over that of the control is what the exchange does (queueing in the gateway, the matcher's work),
and the control's over that without a flood is what the process takes from its core. The median of
the rounds' 99th percentiles counts; the best round of each kind and all of them stand beside it.
Three cases: `placed`, where the gateway has a core of its own, and matcher, flood and the quoting
client share the other; `shipped`, where all is as the built-in configuration is: recorder, standby
and a market-data gateway beside them, wherever the kernel lets them run; in both the flood looks at
its socket 50 times a second; and `woken`, the same as `shipped` with a flood that sleeps until
there is an answer or room, so that its own process is one more that wants a core. Included: both
clients, loopback TCP, gateway, rings and matcher. Not included: a network, a core for each process,
several clients that flood. The quoting client is a closed loop, in HDR histograms.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from perf.exchange import ROOT, Exchange, Placement, log_in, orders, running
from perf.latency_figures import figures
from perf.results_file import in_turns
from perf.tcp_client import round_trips
from ringbuf.waiting import PARK

TAIL_BUDGET = 1.5  # times the 99th percentile without a flood
ROUNDS = 12
TRIPS = 20_000
WARM_UP = 200  # trips before each round: who is to be heard beside a flood trades before it begins
GATEWAY_CORE, OTHER_CORE = 0, 1
ALONE, FLOODED, CONTROL = 0, 1, 2  # kinds of rounds
SHIPPED = Placement("auto", None, None, standbys=1, recorder=True, market_data=True)
CASES = {  # and how many seconds the flood lets pass between two looks at its socket
    "placed": (Placement("yield", OTHER_CORE, GATEWAY_CORE), 0.02),
    "shipped": (SHIPPED, 0.02),
    "woken": (SHIPPED, 0.0),
}
NAMES = {ALONE: "alone", FLOODED: "flooded", CONTROL: "control"}
ORDERS_TO_FLOOD = "-fc"  # by kind


class Said(NamedTuple):
    """The flood's words: messages, and its share of a core."""

    answered_by_then: int
    sent: int
    answered: int
    share: float
    unanswered: int  # the fewest at any look


class Flood:
    """The process that floods."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def turn(self, kind: int) -> Said:
        """What it does from now on, and what it did until now."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(ORDERS_TO_FLOOD[kind])
        self._process.stdin.flush()
        by_then, sent, answered, share, unanswered = self._process.stdout.readline().split()
        return Said(int(by_then), int(sent), int(answered), float(share), int(unanswered))


@contextmanager
def flooding(exchange: Exchange, pause: float, core: int | None) -> Iterator[Flood]:
    """A flood that is off. pause: seconds between its looks; core: its own, None: anywhere."""
    address = f"{exchange.address[0]}:{exchange.address[1]}"
    command = [sys.executable, "-m", "perf.flood", address, "T02", str(pause)]
    command += [] if core is None else [str(core)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield Flood(process)
        process.stdin.close()
        assert process.wait(30) == 0


class Rounds:
    """Some of each kind, in turns."""

    def __init__(self) -> None:
        self.samples = np.zeros((len(ORDERS_TO_FLOOD), ROUNDS, TRIPS), np.int64)  # ns of each trip
        self.shares = np.zeros(self.samples.shape[:2])  # of its core that the flood took
        self.answered = 0
        self.unanswered = 1 << 62
        self._number = 1

    def run(self, exchange: Exchange, pause: float, core: int | None) -> None:
        """Measure all of them. pause, core: of the flood."""
        with flooding(exchange, pause, core) as flood, log_in(exchange.address, "T01") as client:
            for each in range(ROUNDS):
                for kind in (ALONE, FLOODED, CONTROL):
                    self._quote(client.fileno(), np.zeros(WARM_UP, np.int64))
                    before = flood.turn(kind).answered
                    self._quote(client.fileno(), self.samples[kind, each])
                    said = flood.turn(ALONE)
                    count = said.answered_by_then - before
                    assert said.sent == said.answered and (count > 0) == (kind == FLOODED)
                    self.shares[kind, each] = said.share
                    self.answered += count
                    if kind == FLOODED:
                        self.unanswered = min(self.unanswered, said.unanswered)

    def _quote(self, descriptor: int, row: np.ndarray) -> None:
        inbox, scratch = np.zeros(1 << 16, np.uint8), np.zeros(2, np.int64)
        args = (PARK, orders(1)[0], self._number, inbox, row, scratch)
        assert round_trips(descriptor, *args) > 0, "the quoting client lost its connection"
        self._number += len(row)


def _ratios(by_kind: np.ndarray) -> dict[str, float]:
    """The growth in all, and its two parts, whose product it is."""
    alone, flooded, control = (float(each) for each in by_kind)
    return {
        "flooded_to_alone": round(flooded / alone, 2),
        "by_the_exchange": round(flooded / control, 2),
        "by_the_process": round(control / alone, 2),
    }


@pytest.mark.parametrize("name", CASES)
def test_a_flood_beside_a_quoting_client(benchmark: Any, tmp_path: Path, name: str) -> None:
    """How much longer the quoting client waits, and how much of that is the exchange's doing."""
    cores = os.sched_getaffinity(0)
    taken = Rounds()
    placement, pause = CASES[name]
    core = placement.matcher_core
    with running(tmp_path, placement) as exchange:
        os.sched_setaffinity(0, cores if core is None else {core})
        try:
            benchmark.pedantic(taken.run, args=(exchange, pause, core), rounds=1)
        finally:
            os.sched_setaffinity(0, cores)
    tails = np.percentile(taken.samples, 99, axis=2)
    for kind, title in NAMES.items():
        samples = taken.samples[kind]
        benchmark.extra_info[f"{title}_ns"] = figures(samples[np.argmin(tails[kind])])
        benchmark.extra_info[f"{title}_all_rounds_ns"] = figures(samples)
    # Of the rounds in the middle: the best one of either kind is luck, the worst one the machine's.
    middle, best = np.median(tails, axis=1), tails.min(axis=1)
    medians = np.median(np.percentile(taken.samples, 50, axis=2), axis=1)
    shares = taken.shares.mean(axis=1)
    tail_ratio = float(middle[FLOODED] / middle[ALONE])
    tails_grew = _ratios(middle)
    benchmark.extra_info.update(
        flood_answers_per_second=round(taken.answered / (taken.samples[FLOODED].sum() / 1e9)),
        flood_least_unanswered=taken.unanswered,
        flood_core_share=round(float(shares[FLOODED]), 3),
        control_core_share=round(float(shares[CONTROL]), 3),
        tail_ratio=round(tail_ratio, 2),
        tail_ratios=tails_grew,
        tail_by_the_exchange=tails_grew["by_the_exchange"],
        tail_by_the_process=tails_grew["by_the_process"],
        best_tail_ratios=_ratios(best),
        median_ratios=_ratios(medians),
        budget=TAIL_BUDGET,
        met=tail_ratio <= TAIL_BUDGET,
        rounds=in_turns(tails[FLOODED], tails[ALONE]),
    )
    assert (taken.samples > 0).all()
    assert taken.unanswered > 0, "the gateway had nothing to read of the flood"
