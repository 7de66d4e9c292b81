"""What a whole exchange costs as it grows: gateways, sessions, and the journal it starts from.

Gateways: one client of the first gateway, open loop, in HDR histograms, beside 0 to 15 other
gateways without clients, each a process with a replica of the market that follows every event. All
processes sleep when they have nothing to do, and all share two cores: the curve shows what their
waking up takes from the client's path there. It cannot show what sixteen gateways cost that have a
core each: that is `test_growth.py`, readers and command rings. Recorder and standby do not run, and
no network is in it. In turns with each number of gateways a bare C echo answers the same client on
the same schedule.

Sessions: a generated flow through so many TCP connections of one gateway, as fast as they go, with
the feed read and the book rebuilt beside it: the compiled client of `shmx replay`. Each number of
sessions has an instrument of its own. Client, gateways and matcher share the cores. Not included:
logins, recorder, standby. After each a bare C echo takes as many orders through as many
connections with the same windows: what the sockets cost. Its client reads no feed, keeps no book
and holds no order back for one before it, so its windows are always full. Both are closed loops: a
full window sends nothing, so a stall counts once for each order under way.

Journal: the start of a replica in this process from a journal of so many events, in the page cache:
all of it replayed, and with a snapshot at its end. Beside it a bare read of the journal's bytes.
Not included: a cold disk, the start of a process, the file of the snapshot's own orders, which are
few.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gateways.load.offered import immediate_order, offer, warm_up
from gateways.load.percentiles import latencies
from perf import baseline
from perf.exchange import Exchange, Placement, connect, log_in, running
from perf.latency_figures import figures
from perf.long_journal import Writer, opening, round_of_commands
from perf.results_file import CURVES, curve, in_turns
from perf.session_loads import Taken, to_echo, to_exchange
from shm_exchange import config
from shm_exchange.flow import generate, save
from shm_exchange.journal_segment import Owner
from shm_exchange.market import Market
from shm_exchange.recovery import empty_market, recover
from shm_exchange.recovery import warm_up as warm_up_recovery
from shm_exchange.snapshot import write_snapshot

GATEWAYS = (1, 4, 16)
RATE, ORDERS, TURNS = 1_000, 600, 5  # orders/s, how many of them in a turn
SESSIONS = (1, 10, 100, 1_000)
FLOW_MESSAGES = 50_000
JOURNAL_EVENTS = (100_000, 1_000_000, 10_000_000)
RECOVERIES = 3
CLIENT_CORE, MATCHER_CORE = 0, 1


class Beside(NamedTuple):
    """One number of gateways: ns by percent of ours and of the echo, medians of turns, start."""

    ours: dict[str, int]
    echo: dict[str, int]
    medians: list[float]
    echo_medians: list[float]
    ready_seconds: float


@contextmanager
def _echo(program: Path) -> Iterator[int]:
    command = [str(program), "park", str(CLIENT_CORE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with connect(("127.0.0.1", int(process.stdout.readline()))) as client:
            yield client.fileno()
        process.wait(10)


def _beside_gateways(folder: Path, count: int, program: Path) -> Beside:
    """Orders to the first of `count` gateways, and to the echo, in turns."""
    request = immediate_order("AAPL", Decimal("0.01"), 100)
    warm_up(request)
    folder.mkdir()
    placement = Placement("park", MATCHER_CORE, CLIENT_CORE, more_gateways=count - 1)
    with running(folder, placement) as exchange, log_in(exchange.address, "T01") as client:
        client.setblocking(False)
        descriptor = client.fileno()
        offer(descriptor, request, 1, RATE, ORDERS)
        ours, echoed = [], []
        with _echo(program) as echo:
            for turn in range(TURNS):
                first = 1 + (1 + turn) * ORDERS
                ours.append(latencies(offer(descriptor, request, first, RATE, ORDERS).marks))
                exchange.freeze()
                try:
                    echoed.append(latencies(offer(echo, request, 1, RATE, ORDERS).marks))
                finally:
                    exchange.thaw()
    return Beside(
        figures(ours),
        figures(echoed),
        [float(np.median(each)) for each in ours],
        [float(np.median(each)) for each in echoed],
        exchange.ready_seconds,
    )


def test_gateways(benchmark: Any, tmp_path: Path) -> None:
    """ns from due to acknowledged beside other gateways, and how long such an exchange starts."""
    program = baseline.build("tcp_echo", tmp_path)
    found: dict[int, Beside] = {}

    def measure() -> None:
        for count in GATEWAYS:
            found[count] = _beside_gateways(tmp_path / str(count), count, program)

    benchmark.pedantic(measure, rounds=1)
    lines = {
        "max" if percent == "100" else f"p{percent}": {
            count: each.ours[percent] for count, each in found.items()
        }
        for percent in found[GATEWAYS[0]].ours
    }
    lines["echo p50"] = {count: each.echo["50"] for count, each in found.items()}
    starts = {count: each.ready_seconds for count, each in found.items()}
    last = found[GATEWAYS[-1]]
    curves = curve("ns from due to acknowledged, by gateways", lines)
    curves[CURVES] |= curve("seconds until READY, by gateways", {"s": starts})[CURVES]
    benchmark.extra_info.update(
        **{f"{count} gateways": each.ours for count, each in found.items()},
        **curves,
        rounds=in_turns(last.medians, last.echo_medians),
    )
    assert all(value > 0 for line in lines.values() for value in line.values())


def test_sessions(benchmark: Any, tmp_path: Path) -> None:
    """Messages per second through so many connections, and how long an answer takes meanwhile."""
    program = baseline.build("tcp_echo", tmp_path)
    flow = tmp_path / "flow.npz"
    save(flow, generate(FLOW_MESSAGES, 1))
    symbols = tuple(f"S{count}" for count in SESSIONS)
    placement = Placement(
        *("park", MATCHER_CORE, CLIENT_CORE),
        market_data=True,
        sessions=max(SESSIONS),
        symbols=symbols,
    )
    found: dict[int, Taken] = {}
    echoed: dict[int, Taken] = {}

    def measure(exchange: Exchange) -> None:
        for count, symbol in zip(SESSIONS, symbols, strict=True):
            found[count] = to_exchange(flow, exchange.name, count, symbol)
            exchange.freeze()
            try:
                echoed[count] = to_echo(program, CLIENT_CORE, count, FLOW_MESSAGES)
            finally:
                exchange.thaw()

    with running(tmp_path, placement) as exchange:
        benchmark.pedantic(measure, args=(exchange,), rounds=1)
    both = {"messages/s": found, "bare echo": echoed}
    benchmark.extra_info.update(
        curve(
            "messages/s, by sessions",
            {
                label: {count: each.messages_per_second for count, each in taken.items()}
                for label, taken in both.items()
            },
        ),
        latency_ns={f"{count} sessions": figures(found[count].latencies) for count in SESSIONS},
        echo_ns={f"{count} sessions": figures(echoed[count].latencies) for count in SESSIONS},
    )
    assert all((each.latencies > 0).all() for taken in both.values() for each in taken.values())


def _recovery_seconds(directory: Path, owner: Owner, events: int) -> float:
    """Of a replica from nothing to the last event, best of some."""
    best = float("inf")
    for _ in range(RECOVERIES):
        market = _market()
        warm_up_recovery(market)
        began = time.perf_counter()
        assert recover(market, directory, owner).position >= events
        best = min(best, time.perf_counter() - began)
    return best


def _read_seconds(directory: Path) -> float:
    """Of the bytes of all its files, best of some."""
    best = float("inf")
    for _ in range(RECOVERIES):
        began = time.perf_counter()
        for path in directory.iterdir():
            path.read_bytes()
        best = min(best, time.perf_counter() - began)
    return best


def _market() -> Market:
    return empty_market(config.built_in(), 1)


def test_journal_length(benchmark: Any, tmp_path: Path) -> None:
    """Seconds to recover, without a snapshot and with one at the end."""
    owner = Owner.of(1, 1)
    whole: dict[int, float] = {}
    short: dict[int, float] = {}
    read: dict[int, float] = {}

    def measure() -> None:
        writer = Writer(tmp_path, _market(), _market(), owner)
        writer.play(opening())
        commands = round_of_commands()
        for events in JOURNAL_EVENTS:
            while writer.journal.position < events:
                writer.play_round(commands)
            writer.journal.sync()
            read[events] = _read_seconds(tmp_path)
            whole[events] = _recovery_seconds(tmp_path, owner, events)
            snapshot = write_snapshot(writer.replica, tmp_path, owner, time.time_ns())
            short[events] = _recovery_seconds(tmp_path, owner, events)
            os.unlink(snapshot)
        writer.journal.close(time.time_ns())

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(
        curve(
            "seconds to recover, by events in the journal",
            {"all replayed": whole, "snapshot at the end": short, "bare read": read},
        )
    )
    assert np.all(np.array(list(whole.values())) > 0) and len(short) == len(JOURNAL_EVENTS)
