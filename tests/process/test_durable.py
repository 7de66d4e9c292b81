"""Goal: with `durability = "disk"` nobody is told of anything that is not on disk.

Method: the recorder is stopped by a signal, so nothing becomes durable; then it goes on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.process.conftest import Exchange
from tests.process.test_rejoin import gateway, stopped
from tests.process.test_sessions import immediate, order
from tests.process.trading import MARKET, RawClient, login, ports, running

# Whoever is stopped here stays so for as long as it takes.
DISK = MARKET.replace("[exchange]", '[exchange]\ndurability = "disk"\nhang_limit_ms = 600000')
HEARTBEATS = 3


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("durable"), DISK) as it:
        yield it


def recorder(it: Exchange) -> int:
    """Its process id."""
    found: int = it.pids()["recorder"]
    return found


def test_an_acknowledgement_waits_for_the_disk(market: Exchange) -> None:
    """Orders, logins and the feed: heartbeats and nothing else, then everything."""
    here, there = ports(market)
    (data,) = ports(market, "market_data")
    with RawClient(here) as trader, RawClient(there) as other, RawClient(data) as feed:
        trader.log_in("S01", sequence=0)
        feed.log_in("S99", sequence=0)
        with stopped(recorder(market)):
            before = market.status()["engines"][0]["published"]
            trader.say(order(1))
            other.send(login("S02"))
            market.wait_until(lambda found: found["engines"][0]["published"] >= before + 2)
            for client in (trader, feed):
                assert [client.packet() for _ in range(HEARTBEATS)] == HEARTBEATS * [b"H"]
            engine = market.status()["engines"][0]
            assert engine["durable"] <= before < engine["published"]
        assert trader.messages(1)[0][:1] == b"A"
        assert feed.messages(1)[0][:1] == b"A"
        assert other.packet()[:1] == b"A"
        assert other.messages(1)[0][:1] == b"S"


def test_a_replay_ends_where_the_disk_ends(market: Exchange) -> None:
    """A login that was accepted before asks for all: it is sent what is durable, the rest later."""
    here, there = ports(market)
    with RawClient(here) as trader:
        trader.log_in("S03", sequence=0)
        trader.send(immediate(1, 500, b"A03"))
        trader.messages(1000)
        with RawClient(there) as again:
            again.log_in("S03")
            with stopped(recorder(market)):
                again.send(immediate(501, 1, b"A03"))
                assert len(again.messages(1001)) == 1001
                assert again.packet() == b"H"
            assert [each[:1] for each in again.messages(2)] == [b"A", b"C"]


def test_takeover_while_the_disk_is_stalled(market: Exchange) -> None:
    """The matcher is killed: what it had committed and not told is told once, when it is safe."""
    with RawClient(ports(market)[0]) as trader:
        trader.log_in("S04", sequence=0)
        found = market.wait_ready()["engines"][0]
        with stopped(recorder(market)):
            trader.send(immediate(1, 100, b"A04"))
            market.wait_until(
                lambda now: now["engines"][0]["published"] >= found["published"] + 200
            )
            os.kill(found["matcher_pid"], signal.SIGKILL)
            market.wait_until(lambda now: now["engines"][0]["epoch"] > found["epoch"])
            trader.send(immediate(101, 100, b"A04"))
            assert trader.packet() == b"H"
        letters = [each[:1] for each in trader.messages(400)]
        assert letters == 200 * [b"A", b"C"]


def test_a_gateway_that_starts_meanwhile_waits(market: Exchange) -> None:
    """Its replica has seen more than is durable: it serves when that has changed."""
    old = gateway(market, "order")
    with RawClient(ports(market)[1]) as trader:
        trader.log_in("S05", sequence=0)
        with stopped(recorder(market)):
            trader.send(immediate(1, 10, b"A05"))
            os.kill(old, signal.SIGKILL)
            market.wait_until(
                lambda found: (
                    found["gateways"][0]["pid"] not in (None, old)
                    and found["engines"][0]["published"] > found["engines"][0]["durable"]
                )
            )
            assert market.status()["state"] == "degraded"
        assert len(trader.messages(20)) == 20
    market.wait_ready()
    with RawClient(ports(market)[0]) as again:
        assert len(again.log_in("S05").messages(21)) == 21
