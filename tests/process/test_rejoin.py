"""Goal: a gateway that lost the thread finds it again, and its clients notice nothing but a pause.

Method: a ring of 1,024 events. A gateway is stopped by a signal until the matcher has gone round it
several times, and goes on; its clients stay connected, and their streams are compared number by
number, the feed's book order by order.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from gateways.client import BookIncomplete, OuchClient, Side, TimeInForce
from gateways.control import listen
from gateways.itch.process import FeedService
from gateways.news import credentials_of
from gateways.ouch.process import OrderService
from gateways.ouch.typed_messages import OrderAccepted, OrderCanceled, OrderExecuted
from gateways.startup import Service, serve_pumps
from ringbuf import host
from ringbuf.layout import STATE_READY, STOP
from ringbuf.waiting import YIELD
from shm_exchange import config, wiring
from shm_exchange.market import RESTING as RESTING_STATE
from shm_exchange.messages import SLOT_BITS
from shm_exchange.roles import BELL_COUNT, RoleContext
from tests.process.conftest import Exchange
from tests.process.test_sessions import immediate
from tests.process.trading import (
    MARKET,
    RawClient,
    barrier,
    feed_client,
    order_client,
    packet,
    play,
    ports,
    running,
    settle,
    take,
    until,
)

RING = 1024
TRADES = 3 * RING
RESTING = 200
HELD_SECONDS = 0.3
SMALL = MARKET.replace("event_ring_records = 65536", f"event_ring_records = {RING}").replace(
    "[exchange]",
    "[exchange]\nhang_limit_ms = 600000",  # a gateway is stopped for as long as it takes
)
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


def test_who_was_not_heard_is_not_silent(market: Exchange) -> None:
    """A client with a short heartbeat timeout keeps to it while its gateway does not run."""
    here, there = ports(market)
    with RawClient(here) as client, RawClient(there) as other:
        client.log_in("S07", sequence=0, timeout_ms=1000)
        other.log_in("S08", sequence=0)
        with stopped(gateway(market, "order")):
            for each in range(4):  # more events than it takes in one pass, less than a ring
                other.send(immediate(1 + 100 * each, 100, b"A07"))
                other.messages(200)
                client.send(packet(b"R"))
                time.sleep(0.5)
        assert barrier(client) == []


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


@contextmanager
def in_this_process(it: Exchange, number: int) -> Iterator[tuple[Service, int]]:
    """A gateway's service where its memory can be spoilt, and its port; its own process is killed.

    The supervisor sleeps meanwhile, or it would start another.
    """
    configuration = config.load(it.file)
    source, chosen = list(configuration.sources.items())[number]
    attached = wiring.attach(it.name, 1)
    words = attached.control.words.copy()  # so that we can stop by ourselves
    context = RoleContext(
        name=it.name,
        engine=1,
        role=chosen.kind,
        process=wiring.PROCESS_SOURCE_FIRST + source,
        source=source,
        configuration=configuration,
        state_directory=it.state,
        policy=YIELD,
        wiring=replace(attached, control=attached.control._replace(words=words)),
        bells=np.full(BELL_COUNT, -1, np.int64),
    )
    assert it.process is not None
    host.register_barrier()
    kind: Callable[..., Service] = OrderService if chosen.kind == "order" else FeedService
    with stopped(it.process.pid):
        os.kill(it.status()["gateways"][number]["pid"], signal.SIGKILL)
        context.register()
        listener = listen("127.0.0.1", 0)
        service, port = kind(context, chosen), listener.getsockname()[1]
        thread = threading.Thread(
            target=serve_pumps, args=(listener, [service], credentials_of(context))
        )
        thread.start()
        try:
            row = attached.control.processes[context.process : context.process + 1]
            it.wait_until(lambda _: int(row["state"][0]) == STATE_READY)
            yield service, port
        finally:
            words[STOP] = 1
            thread.join()


def test_nobody_else_offers_commands_under_its_number(market: Exchange) -> None:
    """Another process of the same number waits for the lock of the command ring, not for a pid."""
    market.wait_ready()
    with in_this_process(market, 0) as (service, port), RawClient(port) as client:
        client.log_in("S14", sequence=0)
        context = service.context
        words = context.control.words.copy()
        its = context.wiring.control._replace(words=words)
        another = OrderService(
            replace(context, wiring=replace(context.wiring, control=its)),
            context.configuration.sources[context.source],
        )
        begun: list[bool] = []
        thread = threading.Thread(target=lambda: begun.append(another.start()))
        thread.start()
        assert barrier(client) == []
        thread.join(HELD_SECONDS)
        assert thread.is_alive()
        words[STOP] = 1
        thread.join()
        assert begun == [False]
        assert barrier(client) == []
    market.wait_ready()


def test_an_order_gateway_whose_replica_differs(
    market: Exchange, capfd: pytest.CaptureFixture[str]
) -> None:
    """One order of its replica is spoilt: it says so, builds another, and nobody is cut."""
    market.wait_ready()
    there = ports(market)[1]

    async def scenario(service: OrderService, port: int) -> None:
        maker = await order_client(port, "S11", sequence=0)
        taker = await order_client(there, "S12", sequence=0)
        first = maker.next_sequence
        await maker.enter(Side.SELL, 100, "A11", "10.00")
        await take(maker, 1)
        before = service.pump
        before.market.orders["user_ref"][spoilt(service, 100)] = 77
        await hit(taker, "A11", 1)  # what is taken away now is not what was put in
        await until(lambda: service.pump is not before)
        for _ in range(RESTING):
            await maker.enter(Side.SELL, 1, "A11", "11.00")
        await hit(taker, "A11", 1)
        heard = [await anext(maker) for _ in range(RESTING + 2)]
        assert [each.sequence for each in heard] == list(range(first + 1, maker.next_sequence))
        assert [type(each.message) for each in heard].count(OrderExecuted) == 2
        await maker.cancel(1)
        (cancelled,) = await settle(maker)
        assert isinstance(cancelled, OrderCanceled) and cancelled.quantity == 98
        for each in (maker, taker):
            await each.close()

    with in_this_process(market, 0) as (service, port):
        assert isinstance(service, OrderService)
        play(scenario(service, port))
    errors = capfd.readouterr().err
    assert "order gateway: its replica differs at position" in errors
    assert "order gateway: serving again at position" in errors
    market.wait_ready()


def test_a_feed_whose_replica_differs(market: Exchange, capfd: pytest.CaptureFixture[str]) -> None:
    """The same: who is told the truth stays, who read a wrong message is cut."""
    market.wait_ready()

    async def scenario(service: FeedService, port: int) -> None:
        client = await order_client(ports(market)[1], "S13", sequence=0)
        await client.enter(Side.SELL, 100, "A13", "10.00")
        await take(client, 1)
        feed = await feed_client(port, "S99")
        while not feed.book.asks("A13"):
            await take(feed, 1)
        before = service.pump
        before.market.orders["user_ref"][spoilt(service, 100)] = 77
        await client.enter(Side.BUY, 1, "A13", "10.00", **IOC)
        await take(client, 3)
        await until(lambda: service.pump is not before)
        await client.enter(Side.SELL, 7, "A13", "12.00")
        while len(feed.book.asks("A13")) < 2:
            await take(feed, 1)
        assert [each.shares for each in feed.book.asks("A13")] == [99, 7]
        # Now a message goes wrong: the reference that a replace names comes from the replica.
        before = service.pump
        before.market.orders["reference"][spoilt(service, 7)] = 12345
        await client.replace(3, 8, "13.00")
        with pytest.raises((ConnectionError, BookIncomplete)):
            while True:
                await take(feed, 1)
        await until(lambda: service.pump is not before)
        async with await feed_client(port, "S99") as again:
            while [each.shares for each in again.book.asks("A13")] != [99, 8]:
                await take(again, 1)
        await client.close()

    with in_this_process(market, 2) as (service, port):
        assert isinstance(service, FeedService)
        play(scenario(service, port))
    errors = capfd.readouterr().err
    assert errors.count("market data gateway: its replica differs at position") == 2
    market.wait_ready()


def spoilt(service: OrderService | FeedService, shares: int) -> int:
    """The slot of the one live order with so many shares, in the service's own replica."""
    market = service.pump.market
    for source, row in enumerate(market.gateways):
        first = source << SLOT_BITS
        part = market.orders[first : first + int(row["slots_high_water"])]
        found = np.flatnonzero((part["state"] == RESTING_STATE) & (part["leaves"] == shares))
        if len(found):
            assert len(found) == 1
            return first + int(found[0])
    raise AssertionError(f"no order of {shares}")
