"""Goal: a flow through TCP gives what the matcher gives for it in one process, whoever is killed.

Method: whole exchanges, `shmx replay` as a user types it, SIGKILL on the way; the expected numbers
and the expected book come from the matcher in this process, the quantities from the ring.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gateways.load.own_replica import OwnReplica, market_book
from shm_exchange import config, status, wiring
from shm_exchange.flow import MODIFY, NEW, Flow, save
from shm_exchange.flow_commands import Player, tape_of
from shm_exchange.messages import EventFlag, EventKind
from tests.differential.flows import own, read, real
from tests.process.conftest import (
    ENGINES,
    MARKET_DATA_GATEWAY,
    ORDER_GATEWAY,
    ROOT,
    WAIT_SECONDS,
    Exchange,
)

Make = Callable[..., Exchange]
ONE_GATEWAY = ENGINES + ORDER_GATEWAY + MARKET_DATA_GATEWAY
TWO_GATEWAYS = ONE_GATEWAY + ORDER_GATEWAY
REPLAY_SECONDS = 180.0
MESSAGES = 12_000
RATE = 8_000  # messages per second: slow enough to be killed on the way
BOOK_COLUMNS = ["side", "price", "rank", "shares"]  # reference numbers depend on what else happened


class Outcome(NamedTuple):
    """What the matcher gives for a flow in this process."""

    counts: dict[str, int]
    book: np.ndarray


def expected(flow: Flow) -> Outcome:
    """Play the flow undisturbed."""
    tape = tape_of(flow)
    player = Player(tape)
    counts = dict.fromkeys(("accepted", "trades", "cancelled", "ignored"), 0)
    kinds = {
        "accepted": EventKind.ACCEPTED,
        "trades": EventKind.EXECUTED,
        "ignored": EventKind.IGNORED,
    }
    for events in player.until(len(tape.commands)):
        for name, kind in kinds.items():
            counts[name] += int((events["kind"] == kind).sum())
        ended = (events["kind"] == EventKind.CANCELLED) & (events["flags"] & EventFlag.DONE != 0)
        counts["cancelled"] += int(ended.sum())
    counts["resting"] = int(player.market.scalars[0]["orders"])
    counts["messages"] = flow.messages
    counts["rejected"] = 0
    return Outcome(counts, market_book(player.market, 1, 0))


def book_of(it: Exchange) -> np.ndarray:
    """The book of a running exchange, as anybody can read it."""
    with OwnReplica(config.load(it.file), it.name, 1, it.state) as replica:
        return market_book(replica.market, 1, 0)


def start_replay(it: Exchange, flow: Flow, *options: object) -> subprocess.Popen[str]:
    """`shmx replay` of a flow."""
    path = it.folder / "flow.npz"
    save(path, flow)
    arguments = [str(path), "--name", it.name, "--json", *map(str, options)]
    return subprocess.Popen(
        [sys.executable, "-m", "shm_exchange.cli", "replay", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def finish(replay: subprocess.Popen[str]) -> dict[str, Any]:
    """Its report; it must have found feed and book to agree."""
    output, errors = replay.communicate(timeout=REPLAY_SECONDS)
    assert replay.returncode == 0, errors + output
    found: dict[str, Any] = json.loads(output)
    assert found["feed_matches_book"] is True
    return found


def assert_exact(it: Exchange, found: dict[str, Any], wanted: Outcome) -> None:
    """Every number, and every order of the final book in its place."""
    assert {name: found[name] for name in wanted.counts} == wanted.counts
    assert np.array_equal(book_of(it)[BOOK_COLUMNS], wanted.book[BOOK_COLUMNS])


def wait_published(it: Exchange, position: int, replay: subprocess.Popen[str]) -> None:
    """Return once the matcher has published so much."""
    deadline = time.monotonic() + REPLAY_SECONDS
    attached = wiring.attach(it.name, 1, read_only=True)
    while status.published(attached) < position:
        assert replay.poll() is None, replay.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    attached.close()


def test_one_session_is_exact(exchange: Make) -> None:
    """Numbers and book are those of the matcher alone; a second run finds the book not empty."""
    it = exchange(ONE_GATEWAY)
    it.start()
    flow = own(MESSAGES, seed=3, reduces=True)
    found = finish(start_replay(it, flow))
    assert_exact(it, found, expected(flow))
    assert found["maker_agreement"] == [0, 0]
    assert found["throughput"] > 0
    latency = list(found["latency_ns"].values())
    assert list(found["latency_ns"]) == ["p50", "p90", "p99", "p99_9", "max"]
    assert latency == sorted(latency) and latency[0] > 0

    again = start_replay(it, flow)
    output, errors = again.communicate(timeout=REPLAY_SECONDS)
    assert (again.returncode, output) == (1, "")
    assert f"AAPL has {found['resting']} resting orders" in errors
    more = finish(start_replay(it, flow, "--allow-resting"))
    assert more["accepted"] == found["accepted"]  # their numbers go on behind those of the first
    assert it.stop() == 0


def test_sessions_race_and_nothing_is_lost(exchange: Make) -> None:
    """Four sessions at two gateways: what was entered was traded, was cancelled, or rests."""
    it = exchange(TWO_GATEWAYS)
    it.start()
    flow = own(MESSAGES, seed=4)
    flow = Flow(*(column if column is None else column[flow.kind != MODIFY] for column in flow))
    found = finish(start_replay(it, flow, "--sessions", 4))
    assert found["messages"] == flow.messages
    assert found["accepted"] == int((flow.kind == NEW).sum())
    assert found["rejected"] == 0
    assert quantities(it) == int(flow.quantity[flow.kind == NEW].sum())
    assert found["resting"] == len(book_of(it))
    assert it.stop() == 0


def quantities(it: Exchange) -> int:
    """All lots that the ring accounts for: both sides of trades, what was cancelled, what rests."""
    attached = wiring.attach(it.name, 1, read_only=True)
    published = status.published(attached)
    assert published <= len(attached.ring.records)
    events = attached.ring.records[:published].copy()
    attached.close()
    traded = int(events["quantity"][events["kind"] == EventKind.EXECUTED].sum())
    cancelled = int(events["quantity"][events["kind"] == EventKind.CANCELLED].sum())
    return 2 * traded + cancelled + int(book_of(it)["shares"].sum())


def test_the_matcher_is_killed_twice(exchange: Make) -> None:
    """The same result to the last number; the epoch has grown, and a standby is back."""
    it = exchange(ONE_GATEWAY)
    it.start()
    flow = own(MESSAGES, seed=5, reduces=True)
    begin = it.status()["engines"][0]["published"]
    replay = start_replay(it, flow, "--rate", RATE)
    for reign, share in ((2, 0.3), (3, 0.6)):
        wait_published(it, begin + int(share * flow.messages), replay)
        os.kill(it.status()["engines"][0]["matcher_pid"], signal.SIGKILL)
        it.wait_until(
            lambda found, reign=reign: (
                found["engines"][0]["epoch"] >= reign and found["engines"][0]["standby_pids"]
            )
        )
    assert_exact(it, finish(replay), expected(flow))
    # More when a kill came before a standby was ready: a gateway filled in, and handed over.
    assert it.wait_ready()["engines"][0]["epoch"] >= 3
    assert it.stop() == 0


def test_gateways_are_killed(exchange: Make) -> None:
    """Everything unacknowledged is sent again elsewhere, and each message is executed once."""
    it = exchange(TWO_GATEWAYS)
    it.start()
    flow = own(MESSAGES, seed=6, reduces=True)
    begin = it.status()["engines"][0]["published"]
    replay = start_replay(it, flow, "--rate", RATE)
    for source, share in ((0, 0.3), (2, 0.5), (1, 0.7)):  # order, order, market data
        wait_published(it, begin + int(share * flow.messages), replay)
        os.kill(it.status()["gateways"][source]["pid"], signal.SIGKILL)
    assert_exact(it, finish(replay), expected(flow))
    it.wait_until(
        lambda found: found["state"] == "ready" and sum(it.running()["restarts"].values()) == 3
    )
    assert it.stop() == 0


def test_the_real_flow(exchange: Make) -> None:
    """Nasdaq's own order flow, where it is at hand: the makers are those that Nasdaq names.

    Otherwise an own flow that names the makers which the matcher gives.
    """
    name = next(iter(real()), None)
    flow = read(name) if name else with_makers(own(MESSAGES, seed=8))
    it = exchange(ONE_GATEWAY.replace("65536", "1048576"))
    it.start()
    found = finish(start_replay(it, flow))
    assert_exact(it, found, expected(flow))
    agreed, of = found["maker_agreement"]
    if name:
        assert (found["messages"], found["trades"]) == (89_876, 4_118)
        assert (found["ignored"], found["resting"]) == (4, 380)
        assert (agreed, of) == (3_999, 4_067)
    else:
        assert agreed == of == int((flow.expected_maker >= 0).sum()) > 0
    assert it.stop() == 0


def test_a_gateway_succeeds_the_matcher(exchange: Make) -> None:
    """No standby, the matcher killed on the way: exact, and nobody is disconnected."""
    name = next(iter(real()), None)
    flow = read(name) if name else own(5 * MESSAGES, seed=9)
    alone = TWO_GATEWAYS.replace("[[engine]]", "[[engine]]\nstandbys = 0")
    it = exchange(alone.replace("[exchange]", '[exchange]\nlog_level = "debug"'))  # says each end
    it.start()
    before = it.status()
    begin = before["engines"][0]["published"]
    replay = start_replay(it, flow)
    wait_published(it, begin + flow.messages // 3, replay)
    left = it.messages.count("disconnected")  # whoever asked for the numbers to begin with
    os.kill(before["engines"][0]["matcher_pid"], signal.SIGKILL)
    after = it.wait_until(lambda found: found["engines"][0]["epoch"] == 2)
    gateways = {each["pid"] for each in before["gateways"] if each["kind"] == "order"}
    assert after["engines"][0]["matcher_pid"] in gateways
    assert_exact(it, finish(replay), expected(flow))
    assert it.messages.count("disconnected") == left + 2  # the order session and the feed, done
    assert {each["pid"] for each in it.wait_ready()["gateways"]} == {
        each["pid"] for each in before["gateways"]
    }
    assert it.stop() == 0
    assert it.segments == []


def with_makers(flow: Flow) -> Flow:
    """The flow with the first maker of each message as the one that is expected."""
    tape = tape_of(flow)
    makers = np.full(flow.messages, -1, np.int32)
    for events in Player(tape).until(len(tape.commands)):
        trades = events[events["kind"] == EventKind.EXECUTED][::-1]
        takers = trades["taker_user_ref"].astype(np.int64) - 1
        makers[takers] = flow.order_id[trades["user_ref"].astype(np.int64) - 1]
    return flow._replace(expected_maker=makers)


def test_what_cannot_be_replayed(exchange: Make, tmp_path: Path) -> None:
    """One sentence with the remedy, exit code 1."""
    it = exchange(ONE_GATEWAY)
    it.start()
    flow = own(10, seed=1)
    for options, reason in (
        (("--instrument", "IBM"), "there is no instrument IBM; known are AAPL"),
        (("--sessions", "11"), "has 10 sessions with a password in clear, 11 are asked for"),
        (("--name", "nobody"), "no exchange named nobody runs here"),
    ):
        replay = start_replay(it, flow, *options)
        output, errors = replay.communicate(timeout=WAIT_SECONDS)
        assert (replay.returncode, output) == (1, "")
        assert reason in errors and len(errors.splitlines()) == 1
    assert it.stop() == 0
