"""Goal: a gateway that lost the thread finds it again, and its clients notice nothing but a pause.

Method: a ring of 1,024 events. A gateway is stopped by a signal until the matcher has gone round it
several times, and goes on; its clients stay connected, and their streams are compared number by
number, the feed's book order by order.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateways.client import OuchClient, Side, TimeInForce
from gateways.ouch.typed_messages import OrderAccepted, OrderCanceled, OrderExecuted
from tests.process.conftest import Exchange
from tests.process.trading import (
    MARKET,
    feed_client,
    order_client,
    play,
    ports,
    running,
    settle,
    take,
)

RING = 1024
TRADES = 3 * RING
RESTING = 200
SMALL = MARKET.replace("event_ring_records = 65536", f"event_ring_records = {RING}")
IOC = {"time_in_force": TimeInForce.IMMEDIATE_OR_CANCEL}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("rejoin"), SMALL) as it:
        yield it


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does not run."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def gateway(it: Exchange, kind: str) -> int:
    """Process id of the first gateway of a kind."""
    return next(each["pid"] for each in it.status()["gateways"] if each["kind"] == kind)


async def hit(taker: OuchClient, symbol: str, count: int) -> None:
    """Trade with whoever sells, one share at a time."""
    for _ in range(count):
        await taker.enter(Side.BUY, 1, symbol, "10.00", **IOC)
        await take(taker, 2)


def test_a_lapped_order_gateway_goes_on(market: Exchange) -> None:
    """Live, and with orders in its socket all the while: every execution once, then new orders."""
    here, there = ports(market)

    async def scenario() -> None:
        maker = await order_client(here, "S01", sequence=0)
        taker = await order_client(there, "S02", sequence=0)
        first = maker.next_sequence
        await maker.enter(Side.SELL, 2 * TRADES, "A01", "10.00")
        await take(maker, 1)
        with stopped(gateway(market, "order")):
            for _ in range(RESTING):  # the gateway reads these when it runs again
                await maker.enter(Side.SELL, 1, "A01", "11.00")
            await hit(taker, "A01", TRADES)
        heard = [await anext(maker) for _ in range(TRADES + RESTING)]
        assert [each.sequence for each in heard] == list(range(first + 1, maker.next_sequence))
        kinds = [type(each.message) for each in heard]
        assert kinds.count(OrderExecuted) == TRADES and kinds.count(OrderAccepted) == RESTING
        # Its slots and its index are in order: what it entered can be changed and filled.
        await hit(taker, "A01", 1)
        for each in range(1, RESTING + 2):
            await maker.cancel(each)
        ended = await settle(maker)
        assert isinstance(ended[0], OrderExecuted)
        cancelled = [each for each in ended if isinstance(each, OrderCanceled)]
        assert [each.user_ref_num for each in cancelled] == list(range(1, RESTING + 2))
        assert cancelled[0].quantity == TRADES - 1
        for each in (maker, taker):
            await each.close()

    play(scenario())
    assert "order gateway: lapped at position" in market.messages


def test_sessions_that_came_and_went_meanwhile(market: Exchange) -> None:
    """One logs in at the stopped gateway, one logs in elsewhere: welcomed, displaced."""
    here, there = ports(market)

    async def scenario() -> None:
        leaving = await order_client(here, "S03", sequence=0)
        taker = await order_client(there, "S04", sequence=0)
        await leaving.enter(Side.SELL, 2 * TRADES, "A02", "10.00")
        await take(leaving, 1)
        with stopped(gateway(market, "order")):
            coming = asyncio.create_task(order_client(here, "S05", sequence=0))
            moved = await order_client(there, "S03", sequence=0)
            await hit(taker, "A02", TRADES)
            heard = await take(moved, TRADES)
        assert {type(each) for each in heard} == {OrderExecuted}
        with pytest.raises(ConnectionError):
            while True:
                await anext(leaving)
        arrived = await coming
        await arrived.enter(Side.BUY, 1, "A03", "5.00")
        await take(arrived, 1)
        for each in (moved, taker, arrived):
            await each.close()

    play(scenario())


def test_a_lapped_feed_goes_on(market: Exchange) -> None:
    """The clients of the feed stay, and what they are told next fits what they know."""

    async def scenario() -> None:
        feed = await feed_client(ports(market, "market_data")[0], "S99")
        client = await order_client(ports(market)[1], "S06", sequence=0)
        await client.enter(Side.SELL, 1, "A04", "10.00")
        with stopped(gateway(market, "market_data")):
            for _ in range(TRADES):
                await client.enter(Side.SELL, 1, "A04", "10.00")
                await take(client, 1)
        while len(found := [*feed.book.orders.values()]) < TRADES + 1 or (
            sum(each.stock == "A04" for each in found) < TRADES + 1
        ):
            await take(feed, 1)
        (level,) = feed.book.asks("A04")
        assert (level.shares, level.orders) == (TRADES + 1, TRADES + 1)
        for each in (feed, client):
            await each.close()

    play(scenario())
    assert "market data gateway: lapped at position" in market.messages
