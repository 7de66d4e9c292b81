"""Goal: who asks for it never trades with itself, as a client meets it through TCP.

Method: one exchange for the whole file with sessions of one firm; every test has an instrument of
its own. The matcher is killed between the trigger and the client's next message; both gateways, the
drop copy and the feed must tell the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateways.client import OuchClient, Side, Tag, TimeInForce
from gateways.ouch.typed_messages import AiqCanceled, OrderCanceled
from gateways.ouch.typed_private import LimitsAnswer
from tests.process.conftest import Exchange
from tests.process.test_drop_copy import stream
from tests.process.test_mass import kill_matcher
from tests.process.trading import (
    MARKET,
    feed_client,
    order_client,
    play,
    ports,
    running,
    said,
    settle,
    take,
    trade,
)


def _session(name: str, more: str = "") -> str:
    return f'[[session]]\nusername = "{name}"\npassword = "demo"\nfirm = "ACME"\n{more}\n'


CONFIGURATION = (
    MARKET
    + _session("PLAIN")
    + _session("MORE")
    + _session("OTHER", "self_trade_group = 9")
    + _session("FIRM", 'self_trade = "cancel-resting"\nself_trade_scope = "firm"')
    + _session("BOTH", 'self_trade = "decrement-both"')
    + _session("COPY", "drop_copy = true")
)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("self_trade"), CONFIGURATION) as it:
        yield it


# What follows the `A` of an incoming order for 30 that meets its owner's for 20: first is the
# number of the resting order, second that of the incoming one.
MODES: dict[str, Any] = {
    "R": lambda first, second: [("C", first, 20, "Q")],
    "I": lambda first, second: [("C", second, 30, "Q")],
    "B": lambda first, second: [("C", first, 20, "Q"), ("C", second, 30, "Q")],
    "D": lambda first, second: [("D", first, 20, "A"), ("D", second, 20, "R")],
}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode(market: Exchange, mode: str) -> None:
    """Asked by tag 131, which is inherited; the feed shows that displayed lots are gone."""
    number = 1 + list(MODES).index(mode)
    name, session = f"A{number:02}", f"S{number:02}"

    async def scenario() -> None:
        port, feed_port = ports(market)[0], ports(market, "market_data")[0]
        async with (
            await order_client(port, session, sequence=0) as client,
            await feed_client(feed_port, sequence=0) as feed,
        ):
            first = await client.enter(Side.SELL, 20, name, "10.00")
            second = await client.enter(
                Side.BUY, 30, name, "9.00", tags={Tag.SELF_TRADE_MODE: mode}
            )
            assert len(await said(client)) == 2
            third = await client.replace(second, 30, "10.00")
            messages = await settle(client)
            assert messages[0].tags == {Tag.SELF_TRADE_MODE: mode}
            causes = [each.tags for each in messages if isinstance(each, OrderCanceled)]
            assert causes == [{Tag.CAUSE: 5}] * len(causes)
            for each in messages:
                if isinstance(each, AiqCanceled):
                    assert (each.reason, each.aiq_strategy, each.quantity_prevented) == (
                        "Q",
                        "D",
                        20,
                    )
                    assert str(each.execution_price) == "10.0000"
            await client.mass_cancel(symbol=name)
            rest = {"R": [("C", third, 30, "U")], "I": [("C", first, 20, "U")], "B": []}
            rest["D"] = [("C", third, 10, "U")]
            assert (await said(client))[1:] == rest[mode]
            await client.ask_limits(name)
            assert [each.position for each in await _answers(client)] == [0]
            told = {"R": "AADDAD", "I": "AADD", "B": "AADD", "D": "AADDAD"}[mode]
            letters = {"AddOrder": "A", "OrderDelete": "D"}
            found = [letters[type(each).__name__] for each in await take(feed, len(told))]
            assert "".join(found) == told

    play(scenario())


async def _answers(client: OuchClient) -> list[LimitsAnswer]:
    """The answer to a question about limits."""
    while True:
        message = (await anext(client)).message
        if isinstance(message, LimitsAnswer):
            return [message]


def test_what_is_not_a_mode_is_rejected(market: Exchange) -> None:
    """Tag 131 with another letter: a reject that names the tag."""

    async def scenario(client: OuchClient) -> None:
        order = await client.enter(Side.BUY, 1, "A05", "9.00", tags={Tag.SELF_TRADE_MODE: "X"})
        assert await said(client) == [("J", order, 0x8100 + 131)]

    trade(market, "S05", scenario)


def test_groups_of_a_firm(market: Exchange) -> None:
    """Tag 132: the same group of the firm is passed over, everybody else trades."""

    async def scenario() -> None:
        here, there = ports(market)
        async with (
            await order_client(here, "PLAIN", sequence=0) as client,
            await order_client(there, "OTHER", sequence=0) as sibling,
            await order_client(there, "S06", sequence=0) as stranger,
        ):
            of_nine = {Tag.SELF_TRADE_GROUP: 9}
            await stranger.enter(Side.SELL, 10, "A06", "10.00", tags=of_nine)
            assert len(await said(stranger)) == 1
            await sibling.enter(Side.SELL, 10, "A06", "10.00")
            await sibling.enter(Side.SELL, 10, "A06", "10.00", tags={Tag.SELF_TRADE_GROUP: 8})
            assert len(await said(sibling)) == 2
            own = await client.enter(Side.SELL, 10, "A06", "10.00")
            await said(client)
            kill = {"time_in_force": TimeInForce.IMMEDIATE_OR_CANCEL}
            tags = of_nine | {Tag.SELF_TRADE_MODE: "R", Tag.MINIMUM_QUANTITY: 31}
            order = await client.enter(Side.BUY, 40, "A06", "10.00", tags=tags, **kill)
            assert await said(client) == [("A", order, 40), ("C", order, 40, "I")]
            assert await said(sibling) == []
            tags[Tag.MINIMUM_QUANTITY] = 30
            order = await client.enter(Side.BUY, 40, "A06", "10.00", tags=tags, **kill)
            assert await said(client) == [
                *(("A", order, 40), ("E", order, 10, "R"), ("E", order, 10, "R")),
                *(("E", own, 10, "A"), ("E", order, 10, "R"), ("C", order, 10, "I")),
            ]
            assert await said(sibling) == [("C", 1, 10, "Q"), ("E", 2, 10, "A")]

    play(scenario())


def test_a_self_match_and_a_takeover(market: Exchange) -> None:
    """Decremented lots count in the chain's total, also for the matcher that comes next."""

    async def scenario() -> None:
        here, there = ports(market)
        async with await order_client(here, "BOTH", sequence=0) as client:
            first = await client.enter(Side.SELL, 30, "A07", "10.00")
            second = await client.enter(Side.BUY, 10, "A07", "10.00")
            kill_matcher(market)
            third = await client.replace(first, 25, "10.50")
            assert await said(client) == [
                *(("A", first, 30), ("A", second, 10), ("D", first, 10, "A")),
                *(("D", second, 10, "R"), ("U", first, third, 15)),
            ]
            await client.replace(third, 10, "10.50")
            assert await said(client) == [("C", third, 15, "U")]
        async with (
            await order_client(here, "FIRM", sequence=0) as client,
            await order_client(there, "MORE", sequence=0) as sibling,
        ):
            rests = await sibling.enter(Side.SELL, 5, "A07", "10.00", display="N")
            await said(sibling)
            order = await client.enter(Side.BUY, 5, "A07", "10.00")
            await said(client)
            kill_matcher(market)
            await client.cancel(order)
            assert await said(client) == [("C", order, 5, "U")]
            (gone,) = await settle(sibling)
            assert isinstance(gone, OrderCanceled)
            assert (gone.user_ref_num, gone.reason, gone.tags) == (rests, "Q", {Tag.CAUSE: 5})

    play(scenario())
    told = [stream(port, "BOTH") for port in ports(market)]
    assert told[0] == told[1]
    heard = stream(ports(market)[1], "COPY")
    assert [each[7:] for each in heard if each[1:7] == b"BOTH  "] == told[0][1:]
