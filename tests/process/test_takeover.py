"""Goal: whoever dies under a stream of orders, no order is lost and none is done twice.

Method: SIGKILL while a real client sends as fast as it can; then its stream, the feed's book and a
replica are compared, order by order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gateways.client import OuchClient, Sequenced, Side, TimeInForce
from gateways.ouch.typed_messages import OrderAccepted, OrderCanceled, OrderExecuted
from tests.process.conftest import Exchange
from tests.process.trading import (
    PATIENCE_SECONDS,
    feed_client,
    order_client,
    play,
    ports,
    running,
    settle,
    take,
)

ORDERS = 3000
PORTION = 100


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("takeover")) as it:
        yield it


def engine(it: Exchange) -> dict[str, Any]:
    """What the status says of the engine, every role being ready."""
    found: dict[str, Any] = it.wait_ready()["engines"][0]
    return found


async def drain(client: OuchClient) -> list[Sequenced]:
    """Everything up to the answer of an account query, with numbers."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await client.account_query()
        found = [await anext(client)]
        while type(found[-1].message).__name__ != "AccountQueryResponse":
            found.append(await anext(client))
    return found[:-1]


async def strike_twice(it: Exchange, blow: signal.Signals) -> None:
    """Kill or stop the matcher, and its successor once that has a standby."""
    loop = asyncio.get_running_loop()
    for _ in range(2):
        found = await loop.run_in_executor(None, engine, it)
        os.kill(found["matcher_pid"], blow)
        await loop.run_in_executor(
            None, it.wait_until, lambda now, old=found: now["engines"][0]["epoch"] > old["epoch"]
        )
        # Whoever was stopped and could still publish would wake up now.
        with contextlib.suppress(ProcessLookupError):
            os.kill(found["matcher_pid"], signal.SIGCONT)


async def feed_orders(it: Exchange, symbol: str, count: int) -> dict[int, int]:
    """Shares by reference number of an instrument's orders, once the feed's book has so many."""
    async with await feed_client(ports(it, "market_data")[0], "S99") as feed:
        while True:
            (message,) = await take(feed, 1)
            if getattr(message, "stock", symbol) != symbol:
                continue
            orders = [each for each in feed.book.orders.values() if each.stock == symbol]
            if len(orders) == count:
                return {each.reference: each.shares for each in orders}


@pytest.mark.parametrize(
    ("blow", "username", "symbol"),
    [(signal.SIGKILL, "S01", "A01"), (signal.SIGSTOP, "S05", "A05")],
    ids=["killed", "stopped"],
)
def test_every_acknowledged_order_exists_once(
    market: Exchange, blow: signal.Signals, username: str, symbol: str
) -> None:
    """Twice a matcher goes: one `A` per order, in sequence, and the same in the book."""

    async def scenario() -> None:
        before = engine(market)
        async with await order_client(ports(market)[0], username, sequence=0) as client:
            first = client.next_sequence
            killer = asyncio.create_task(strike_twice(market, blow))
            sent = 0
            while sent < ORDERS or not killer.done():
                for _ in range(PORTION):
                    await client.enter(Side.BUY, 1 + sent % 900, symbol, "10.00")
                    sent += 1
                await asyncio.sleep(0.02)
            await killer
            heard = await drain(client)
        assert [each.sequence for each in heard] == list(range(first, first + sent))
        accepted = [each.message for each in heard]
        assert all(isinstance(each, OrderAccepted) for each in accepted)
        assert [each.user_ref_num for each in accepted] == list(range(1, sent + 1))
        resting = await feed_orders(market, symbol, sent)
        assert resting == {each.order_reference_number: each.quantity for each in accepted}
        after = engine(market)
        assert after["epoch"] == before["epoch"] + 2
        assert len(after["standby_pids"]) == 1

    play(scenario())


def test_what_is_sent_again_elsewhere_is_done_once(market: Exchange) -> None:
    """Reconnects between the gateways, everything unacknowledged sent again, a matcher killed."""
    here, there = ports(market)
    rounds, portion = 10, 200
    total = rounds * portion

    async def scenario() -> None:
        async with await order_client(here, "S02", sequence=0) as maker:
            await maker.enter(Side.SELL, 2 * total, "A02", "10.00")
            await settle(maker)
            taker = await order_client(here, "S03", sequence=0)
            first, heard = taker.next_sequence, []
            for number in range(rounds):
                if number == rounds // 2:
                    os.kill(engine(market)["matcher_pid"], signal.SIGKILL)
                for _ in range(portion):
                    options = {"time_in_force": TimeInForce.IMMEDIATE_OR_CANCEL}
                    await taker.enter(Side.BUY, 1, "A02", "10.00", **options)
                # Some are answered, some on their way, some not even sent.
                heard += [await anext(taker) for _ in range(portion // 2)]
                await taker.reconnect(port=(there, here)[number % 2])
            heard += await drain(taker)
            await taker.close()
            assert [each.sequence for each in heard] == list(range(first, first + len(heard)))
            kinds = Counter((type(each.message), each.message.user_ref_num) for each in heard)
            assert set(kinds.values()) == {1}
            assert len([each for each in kinds if each[0] is OrderAccepted]) == total
            assert len([each for each in kinds if each[0] is OrderExecuted]) == total
            sold = [each for each in await settle(maker) if isinstance(each, OrderExecuted)]
            assert len(sold) == total and {each.quantity for each in sold} == {1}
            await maker.cancel(1)
            (rest,) = await settle(maker)
            assert isinstance(rest, OrderCanceled) and rest.quantity == total

    play(scenario())


def test_a_killed_gateway_costs_nothing_but_a_reconnect(market: Exchange) -> None:
    """SIGKILL of the gateway: resumed at the other one without gap, orders done at most once."""
    here, there = ports(market)

    async def scenario() -> None:
        gateway = market.wait_ready()["gateways"][0]
        client = await order_client(here, "S04", sequence=0)
        first, heard = client.next_sequence, []
        for number in range(ORDERS):
            await client.enter(Side.BUY, 1 + number % 900, "A04", "10.00")
            if number == ORDERS // 2:
                heard += [await anext(client) for _ in range(ORDERS // 4)]
                os.kill(gateway["pid"], signal.SIGKILL)
                with pytest.raises(ConnectionError):
                    while True:
                        heard.append(await anext(client))
                await client.reconnect(port=there)
        heard += await drain(client)
        assert [each.sequence for each in heard] == list(range(first, first + len(heard)))
        accepted = [each.message for each in heard]
        assert [each.user_ref_num for each in accepted] == list(range(1, ORDERS + 1))
        resting = await feed_orders(market, "A04", ORDERS)
        assert resting == {each.order_reference_number: each.quantity for each in accepted}
        # Orders that came through the dead gateway can be cancelled at either.
        market.wait_until(lambda found: found["gateways"][0]["pid"] not in (None, gateway["pid"]))
        market.wait_ready()
        for number, port in enumerate(ports(market)):
            await client.reconnect(port=port)
            for each in range(1 + number, ORDERS + 1, 2):
                await client.cancel(each)
            cancelled = [each.message for each in await drain(client)]
            assert [each.user_ref_num for each in cancelled] == [*range(1 + number, ORDERS + 1, 2)]
        await client.close()

    play(scenario())
