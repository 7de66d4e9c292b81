"""Goal: two engines in one exchange are two markets that share gateways and nothing else.

Method: instruments on both, one order gateway and one feed for both, one login per engine; then
the first engine's matcher is killed, and the second's ring must not have one event more.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gateways.client import ItchClient, OuchClient, Side
from ringbuf.broadcast import PUBLISHED
from shm_exchange import wiring
from shm_exchange.messages import EventKind, Reject
from tests.process.conftest import ENGINES, MARKET_DATA_GATEWAY, ORDER_GATEWAY, Exchange
from tests.process.trading import (
    SESSIONS,
    feed_client,
    instruments,
    order_client,
    play,
    ports,
    running,
    said,
    take,
)

SECOND = "[[engine]]\nid = 2\nevent_ring_records = 65536\nslots_per_gateway = 65536\n"
CONFIGURATION = (
    ENGINES
    + SECOND
    + instruments(1, "A", 3)
    + instruments(2, "B", 3)
    + SESSIONS
    + ORDER_GATEWAY
    + MARKET_DATA_GATEWAY
)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("engines"), CONFIGURATION) as it:
        yield it


def engine(it: Exchange, number: int) -> dict[str, Any]:
    """What the status says of an engine."""
    found: dict[str, Any] = it.status()["engines"][number - 1]
    return found


async def both(it: Exchange, username: str, **options: Any) -> list[OuchClient]:
    """One login per engine."""
    names = [each["session"] for each in it.status()["engines"]]
    port = ports(it)[0]
    return [await order_client(port, username, session=each, **options) for each in names]


async def feeds(it: Exchange) -> list[ItchClient]:
    """The feed of each engine."""
    names = [each["session"] for each in it.status()["engines"]]
    return [await feed_client(ports(it, "market_data")[0], session=each) for each in names]


def test_one_session_trades_on_both_engines(market: Exchange) -> None:
    """The same numbers on both; neither stream hears of the other; blank is the first engine."""

    async def scenario() -> None:
        first, second = await both(market, "S01")
        assert (first.session[:2], second.session[:2]) == ("01", "02")
        for client, symbol in ((first, "A01"), (second, "B01")):
            await client.enter(Side.BUY, 10, symbol, "5.00")
            await client.enter(Side.SELL, 4, symbol, "5.00")
        expected = [("S", "S"), ("A", 1, 10), ("A", 2, 4), ("E", 1, 4, "A"), ("E", 2, 4, "R")]
        assert await said(first) == await said(second) == expected
        async with await order_client(ports(market)[0], "S01") as again:
            assert again.session == first.session
        await second.cancel(1)  # only the session at the first engine was displaced
        assert await said(second) == [("C", 1, 6, "U")]
        for each in (first, second):
            await each.close()

    play(scenario())


def test_a_symbol_of_the_other_engine_is_unknown(market: Exchange) -> None:
    """`J` 0017 both ways."""

    async def scenario() -> None:
        first, second = await both(market, "S02", sequence=0)
        await first.enter(Side.BUY, 10, "B01", "5.00")
        await second.enter(Side.BUY, 10, "A01", "5.00")
        assert await said(first) == await said(second) == [("J", 1, Reject.INVALID_SYMBOL)]
        for each in (first, second):
            await each.close()

    play(scenario())


def test_each_engine_has_its_feed(market: Exchange) -> None:
    """Instruments and orders of the one engine only; reference numbers tell the engines apart."""

    async def scenario() -> None:
        first, second = await both(market, "S03", sequence=0)
        await first.enter(Side.BUY, 11, "A02", "5.00")
        await second.enter(Side.BUY, 12, "B02", "6.00")
        for number, feed in enumerate(await feeds(market), 1):
            symbol, shares = (("A02", 11), ("B02", 12))[number - 1]
            while not feed.book.bids(symbol):
                await take(feed, 1)
            (level,) = feed.book.bids(symbol)
            assert level.shares == shares
            own = "AB"[number - 1]
            assert {each[0] for each in feed.book.stocks.values() if each != "AAPL"} == {own}
            assert all(each >> 48 == number for each in feed.book.orders)
            await feed.close()
        for each in (first, second):
            await each.close()

    play(scenario())


def events_since(it: Exchange, position: int) -> list[int]:
    """Kinds of the second engine's events from a position on, without state hashes."""
    attached = wiring.attach(it.name, 2, read_only=True)
    try:
        ring = attached.ring
        places = np.arange(position, int(ring.cursors[PUBLISHED])) & (len(ring.records) - 1)
        kinds = ring.records["kind"][places]
        return kinds[kinds != EventKind.ATTESTED].tolist()
    finally:
        attached.close()


def test_the_death_of_one_matcher_is_not_seen_by_the_other_engine(market: Exchange) -> None:
    """SIGKILL: a new epoch here, not one event there; both sessions go on as if nothing was."""

    async def scenario() -> None:
        clients = await both(market, "S04", sequence=0)
        for client, symbol in zip(clients, ("A03", "B03"), strict=True):
            await client.enter(Side.BUY, 10, symbol, "5.00")
            assert await said(client) == [("A", 1, 10)]
        before = market.wait_ready()["engines"]
        os.kill(before[0]["matcher_pid"], signal.SIGKILL)
        for client, symbol in zip(clients, ("A03", "B03"), strict=True):
            await client.enter(Side.SELL, 10, symbol, "5.00")
            heard = [("A", 2, 10), ("E", 1, 10, "A"), ("E", 2, 10, "R")]
            assert await said(client) == heard
        after = market.wait_until(
            lambda found: (
                found["state"] == "ready" and found["engines"][0]["epoch"] == before[0]["epoch"] + 1
            )
        )["engines"]
        same = ("id", "epoch", "matcher_pid", "standby_pids", "recorder_pid", "session")
        assert [after[1][name] for name in same] == [before[1][name] for name in same]
        # An acceptance, a trade, the answer of a query; and not one event more.
        kinds = events_since(market, before[1]["published"])
        assert kinds == [EventKind.ACCEPTED, EventKind.EXECUTED, EventKind.ACCOUNT]
        assert after[0]["matcher_pid"] in before[0]["standby_pids"]
        assert all(each.connected for each in clients)
        for each in clients:
            await each.close()

    play(scenario())
