"""Goal: a replace has the outcomes that the specification names, also without waiting.

Method: one exchange for the whole file, real TCP, the asyncio client (raw bytes where the form of
a message matters). Every test has a session and an instrument of its own, and ends its scenario
with an account query: behind that barrier nothing more can come.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from gateways.client import OuchClient, Side, Tag
from gateways.ouch.typed_messages import OrderAccepted, OrderReplaced
from tests.gateways.ouch_cases import cancel, enter, replace
from tests.process.conftest import Exchange
from tests.process.trading import (
    RawClient,
    brief,
    ports,
    running,
    said,
    settle,
    trade,
)

IOC = "3"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("replaces")) as it:
        yield it


def test_a_replace_that_succeeds(market: Exchange) -> None:
    """`U`: the new number, what is open of the new total, the new terms, a new reference number."""

    async def scenario(client: OuchClient) -> None:
        names = {"capacity": "A", "client_order_id": "a"}
        order = await client.enter(Side.SELL, 100, "A08", "10.00", **names)
        await client.enter(Side.BUY, 30, "A08", "10.00")
        accepted = (await settle(client))[0]
        options = {"display": "A", "sweep": True, "client_order_id": "b"}
        new = await client.replace(order, 150, "11.00", **options)
        (replaced,) = await settle(client)
        assert isinstance(accepted, OrderAccepted) and isinstance(replaced, OrderReplaced)
        reference = replaced.order_reference_number
        assert reference > accepted.order_reference_number
        assert replaced == OrderReplaced(
            replaced.timestamp, order, new, "S", 120, "A08", Decimal(11), "0", "A", reference,
            "A", "Y", "N", "L", "b",
        )  # fmt: skip
        await client.enter(Side.BUY, 20, "A08", "10.50")
        crossing = await client.replace(new, 150, "10.50", time_in_force=IOC)
        assert (await said(client))[1:] == [
            ("U", new, crossing, 120),
            ("E", 4, 20, "A"),
            ("E", crossing, 20, "R"),
            ("C", crossing, 100, "I"),
        ]

    trade(market, "S09", scenario)


def test_a_replace_that_is_ignored(market: Exchange) -> None:
    """Original not live, or number used (however faulty the rest): not a word, nothing changed."""

    async def scenario(client: OuchClient) -> None:
        order = await client.enter(Side.SELL, 100, "A09", "10.00")
        gone = await client.enter(Side.SELL, 100, "A09", "10.00")
        await client.cancel(gone)
        await settle(client)
        await client.replace(gone, 50, "10.00")
        await client.replace(4711, 50, "10.00")
        client.next_user_ref = gone  # used
        await client.replace(order, 50, "10.00")
        client.next_user_ref = gone
        await client.replace(order, 50, "10.001")
        client.next_user_ref = gone
        await client.replace(order, 0, "10.00")
        assert await said(client) == []
        assert client.next_user_ref == gone + 1  # none of them used a number
        await client.cancel(order, 99)
        assert await said(client) == [("C", order, 1, "U")]

    trade(market, "S10", scenario)


FAULTS: list[dict[str, Any]] = [
    {"price": "10.005"},
    {"price": "0.99"},
    {"price": "1000.01"},
    {"price": "0"},
    {"quantity": 1_000_000},
    {"quantity": 0xFFFF_FFFF},
    {"time_in_force": "6"},
    {"display": "X"},
    {"tags": {Tag.MINIMUM_QUANTITY: 10}},
    {"tags": {Tag.MAXIMUM_FLOOR: 10}, "display": "N"},
]


def test_a_replace_that_fails_a_check_cancels_the_original(market: Exchange) -> None:
    """`C` `Z`; the number of the replace is not used and serves the next order."""

    async def scenario(client: OuchClient) -> None:
        for fault in FAULTS:
            order = await client.enter(Side.SELL, 100, "A10", "10.00")
            options = {"quantity": 50, "price": "10.00"} | fault
            number = await client.replace(order, **options)
            accepted, cancelled = await settle(client)
            assert brief(accepted) == ("A", order, 100), fault
            assert brief(cancelled) == ("C", order, 100, "Z"), fault
            assert cancelled.tags == {Tag.CAUSE: 10}
            client.next_user_ref = number
            assert await client.enter(Side.SELL, 5, "A10", "10.00") == number
            await client.cancel(number)
            assert await said(client) == [("A", number, 5), ("C", number, 5, "U")], fault

    trade(market, "S11", scenario)


def test_a_replace_to_no_more_than_is_executed_cancels(market: Exchange) -> None:
    """`C` `U`; its number is not used, also when an order under it follows at once."""

    async def scenario(client: OuchClient) -> None:
        order = await client.enter(Side.BUY, 100, "A11", "10.00")
        await client.enter(Side.SELL, 60, "A11", "10.00")
        await settle(client)
        number = await client.replace(order, 60, "10.00")
        client.next_user_ref = number
        await client.enter(Side.BUY, 5, "A11", "9.00")
        assert await said(client) == [("C", order, 40, "U"), ("A", number, 5)]
        await client.replace(number, 0, "9.00")
        assert await said(client) == [("C", number, 5, "U")]

    trade(market, "S12", scenario)


def test_requests_need_not_wait_for_answers(market: Exchange) -> None:
    """O U U X in one go, in one write and in many: each meets what the one before has made."""

    async def scenario(client: OuchClient) -> None:
        expected: list[Any] = []
        for round_number in range(50):
            order = await client.enter(Side.BUY, 100, "A12", "10.00")
            second = await client.replace(order, 90, "10.01")
            third = await client.replace(second, 80, "10.02")
            await client.cancel(order)  # replaced: superfluous
            await client.cancel(third, 30)
            await client.cancel(third)
            await client.cancel(third)
            expected += [("A", order, 100), ("U", order, second, 90), ("U", second, third, 80)]
            expected += [("C", third, 50, "U"), ("C", third, 30, "U")]
            assert order == 3 * round_number + 1
        assert await said(client) == expected

    trade(market, "S13", scenario)
    with RawClient(ports(market)[0]) as raw:
        raw.log_in("S14", sequence=0)
        order = enter(symbol=b"A12     ", price=100_000)
        change = replace(quantity=40, price=100_000, time_in_force=b"0", display=b"Y")
        messages = [order, change, cancel(1), cancel(2), b"Q"]
        raw.send(b"".join(struct.pack(">Hc", 1 + len(each), b"U") + each for each in messages))
        assert [each[:1] for each in raw.messages(4)] == [b"A", b"U", b"C", b"Q"]
