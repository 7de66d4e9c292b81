"""Orders offered at a rate, whatever the answers do: latency by percentile, up to saturation.

An open loop: each order is due at a moment that no answer moves, and its latency counts from that
moment to the arrival of its acknowledgement at the client. So whatever stalls, the client included,
is counted by every order that falls due meanwhile. The same client sends the same orders on the
same schedule to a bare C echo, in turns with the exchange, whose processes are stopped meanwhile.
Recorded in HDR histograms; all turns count, none is chosen.

Included: the client, loopback TCP, gateway, rings and matcher, and the end of the order behind its
acknowledgement (an immediate order that finds nothing to trade with: two messages come back where
the echo sends one). Not included: a network, recorder and standby, a book with orders in it. Client
and gateway take turns on one core, the matcher has the other: with a core for each, the knee lies
higher.

The rates go on, each twice the one before, until the exchange answers less than 0.9 of what is
offered: the most that it has answered is its saturation. On a machine with other work that is
where a core was taken away. The knee is the highest rate that was still answered as offered (98 %),
with a median of at most three times that of the lowest rate. The echo has one as well: where both
lie at the same rate, it is that of client and server on one core.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from gateways.load.offered import Offered, immediate_order, offer, warm_up
from gateways.load.percentiles import latencies, stages
from perf import baseline
from perf.exchange import Exchange, Placement, connect, log_in, running
from perf.latency_figures import distributions, figures_of, histogram_of
from perf.results_file import curve, in_turns

# Orders/s; from the last one on each is twice the one before, until the exchange is saturated.
RATES = (2_000, 10_000, 50_000, 100_000, 200_000, 300_000, 400_000, 600_000)
TURNS = 2
SECONDS, ORDERS_MIN = 1.0, 5_000  # of each turn
ORDERS_MAX = 600_000  # of each turn: more would only make the queue of a saturated one longer
STAGES_RATE, STAGES_ORDERS = 2_000, 4_000
QUIET_RATES = 3  # the lowest ones, where nothing waits: these are compared with a stored run
SATURATED = 0.9  # of what was offered: no higher rate is tried
DELIVERED, MEDIAN_TIMES = 0.98, 3.0  # what the knee is judged by
OUR_CORE, MATCHER_CORE = 0, 1
REQUEST = immediate_order("AAPL", Decimal("0.01"), 100)


class Point(NamedTuple):
    """All turns at one rate: the exchange's and the echo's."""

    rate: int
    ours: list[Offered]
    echo: list[Offered]


class Session:
    """A connection to the exchange, and the UserRefNums that it has used."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._next = 1

    def offer(self, rate: int, count: int, request: np.ndarray, **how: Any) -> Offered:
        """`count` orders at `rate` per second."""
        found = offer(self.descriptor, request, self._next, rate, count, **how)
        self._next += count
        return found


@contextmanager
def _echo(program: Path) -> Iterator[int]:
    command = [str(program), "yield", str(OUR_CORE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with connect(("127.0.0.1", int(process.stdout.readline()))) as client:
            yield client.fileno()
        process.wait(10)


def rates() -> Iterator[int]:
    """Without an end."""
    yield from RATES
    for doublings in itertools.count(1):
        yield RATES[-1] << doublings


def _orders(rate: int) -> int:
    """Of one turn."""
    return int(min(max(rate * SECONDS, ORDERS_MIN), ORDERS_MAX))


def _measure(exchange: Exchange, session: Session, program: Path) -> list[Point]:
    """The rates, from low to high, until one is more than the exchange can do."""
    points = []
    with _echo(program) as echo:
        for rate in rates():
            point = Point(rate, [], [])
            for _ in range(TURNS):
                point.ours.append(session.offer(rate, _orders(rate), REQUEST))
                exchange.freeze()
                try:
                    point.echo.append(offer(echo, REQUEST, 1, rate, _orders(rate)))
                finally:
                    exchange.thaw()
            points.append(point)
            if _answered(point.ours) < SATURATED * rate:
                break
    return points


def _answered(turns: list[Offered]) -> float:
    """Orders per second, of the best turn."""
    return max(each.orders_per_second for each in turns)


def _histogram(turns: list[Offered]) -> HdrHistogram:
    """Of all orders of all turns, ns."""
    whole = histogram_of(latencies(turns[0].marks))
    for each in turns[1:]:
        whole.add(histogram_of(latencies(each.marks)))
    return whole


def knee(found: Mapping[int, tuple[float, float]]) -> int:
    """The highest rate before latency or the rate of answers goes away from what it was.

    found: by rate, how many were answered per second, and their median, ns.
    """
    lowest = found[min(found)][1]
    good = [
        rate
        for rate, (answered, median) in found.items()
        if answered >= DELIVERED * rate and median <= MEDIAN_TIMES * lowest
    ]
    return max(good, default=0)


def _label(rate: int) -> str:
    return f"{rate // 1000} k/s"


def _noted(points: list[Point]) -> dict[str, Any]:
    """For `extra_info`: percentiles and counts by rate, curves, saturation, knee."""
    ours = {point.rate: _histogram(point.ours) for point in points}
    echo = {point.rate: _histogram(point.echo) for point in points}
    our_figures = {rate: figures_of(each) for rate, each in ours.items()}
    echo_figures = {rate: figures_of(each) for rate, each in echo.items()}
    lines = {
        f"p{percent}": {rate: each[percent] for rate, each in our_figures.items()}
        for percent in ("50", "99", "99.9")
    } | {
        f"echo p{percent}": {rate: each[percent] for rate, each in echo_figures.items()}
        for percent in ("50", "99")
    }
    medians = [[np.median(latencies(turn.marks)) for turn in each.ours] for each in points]
    bare = [[np.median(latencies(turn.marks)) for turn in each.echo] for each in points]
    return {
        **{_label(rate): each for rate, each in our_figures.items()},
        "echo_ns": {_label(rate): each for rate, each in echo_figures.items()},
        "answered_per_second": {_label(each.rate): round(_answered(each.ours)) for each in points},
        "saturated_at_orders_per_second": round(max(_answered(each.ours) for each in points)),
        "knee_orders_per_second": knee(
            {each.rate: (_answered(each.ours), our_figures[each.rate]["50"]) for each in points}
        ),
        "echo_knee_orders_per_second": knee(
            {each.rate: (_answered(each.echo), echo_figures[each.rate]["50"]) for each in points}
        ),
        **curve("ns from due to acknowledged, by orders/s offered", lines),
        **distributions(
            {
                f"orders by ns from due to acknowledged, {_label(rate)} offered": {
                    "ours": ours[rate],
                    "echo": echo[rate],
                }
                for rate in ours
            }
        ),
        "rounds": in_turns(medians[:QUIET_RATES], bare[:QUIET_RATES]),
    }


@pytest.fixture
def session(tmp_path: Path) -> Iterator[tuple[Exchange, Session]]:
    """A session on an exchange whose matcher has a core; we are on the gateway's."""
    warm_up(REQUEST)
    cores = os.sched_getaffinity(0)
    placement = Placement("yield", MATCHER_CORE, OUR_CORE)
    with running(tmp_path, placement) as exchange, log_in(exchange.address, "T01") as client:
        client.setblocking(False)
        os.sched_setaffinity(0, {OUR_CORE})
        try:
            made = Session(client.fileno())
            made.offer(5_000, 2_000, REQUEST)  # neither side is cold
            yield exchange, made
        finally:
            os.sched_setaffinity(0, cores)


def test_open_loop(benchmark: Any, session: tuple[Exchange, Session], tmp_path: Path) -> None:
    """Latency by percentile and by offered rate, saturation, knee, and the echo beside them."""
    program = baseline.build("tcp_echo", tmp_path)
    points = benchmark.pedantic(_measure, args=(*session, program), rounds=1)
    benchmark.extra_info.update(_noted(points))
    assert all((latencies(turn.marks) > 0).all() for each in points for turn in each.ours)


def test_stages(benchmark: Any, session: tuple[Exchange, Session]) -> None:
    """Where the time goes, as the exchange says it of each order (tag 143): means, ns.

    The stages of an order add up to its latency. Asking costs something itself: a continuation of
    the command and of its event, three clock reads and another message back.
    """
    request = immediate_order("AAPL", Decimal("0.01"), 100, timed=True)
    args = (STAGES_RATE, STAGES_ORDERS, request)
    found = benchmark.pedantic(session[1].offer, args=args, kwargs={"timed": True}, rounds=1)
    rows = stages(found.marks)
    benchmark.extra_info.update(
        orders=STAGES_ORDERS, orders_told=int((found.marks["left"] != 0).sum()), stages_ns=rows
    )
    *parts, whole = rows
    for group in ("middle_tenth", "all", "slowest_hundredth"):
        assert abs(sum(each[group] for each in parts) - whole[group]) <= len(parts)
