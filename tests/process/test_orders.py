"""Goal: whatever a trader may say over OUCH, the exchange answers as the specification says.

Method: one exchange for the whole file, real TCP, the asyncio client (raw bytes where the form of
a message matters). Every test has a session and an instrument of its own, and ends its scenario
with an account query: behind that barrier nothing more can come.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from gateways.client import OuchClient, Side, Tag
from gateways.ouch.typed_messages import OrderAccepted, OrderExecuted, Rejected
from shm_exchange.messages import Reject
from tests.gateways import ouch_cases
from tests.gateways.ouch_cases import cancel, enter, modify, replace, value
from tests.process.conftest import Exchange
from tests.process.trading import (
    RawClient,
    brief,
    order_client,
    ports,
    running,
    said,
    settle,
    take,
    trade,
)

IOC = "3"
TAIL = b"\x00\x00"  # an appendage length, of no appendage
ENGINE_SHIFT = 48  # a reference number has the engine above the position


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("orders")) as it:
        yield it


def test_an_accepted_order_says_everything_back(market: Exchange) -> None:
    """Every field of `A`; reference numbers carry the engine and grow."""

    async def scenario(client: OuchClient) -> None:
        options = {"display": "A", "capacity": "R", "sweep": True}
        await client.enter(
            Side.SELL_SHORT, 999_999, "A01", "12.34", client_order_id="my id/0001-abc", **options
        )
        await client.enter(Side.SELL_SHORT_EXEMPT, 1, "A01", "1000.00", tags={12: "N", 3: 0})
        first, second = await settle(client)
        assert isinstance(first, OrderAccepted) and isinstance(second, OrderAccepted)
        position = first.order_reference_number
        assert position >> ENGINE_SHIFT == 1 and second.order_reference_number > position
        assert first == OrderAccepted(
            first.timestamp, 1, "T", 999_999, "A01", Decimal("12.34"), "0", "A", position,
            "R", "Y", "N", "L", "my id/0001-abc",
        )  # fmt: skip
        assert (second.side, second.price, second.client_order_id) == ("E", 1000, "")
        assert 0 < first.timestamp <= second.timestamp < 86_400_000_000_000

    trade(market, "S01", scenario)


def test_both_sides_hear_of_a_trade(market: Exchange) -> None:
    """Maker and taker get `E` with one match number, at the maker's price; the rest rests."""

    async def scenario(taker: OuchClient) -> None:
        async with await order_client(ports(market)[1], "S03", sequence=0) as maker:
            await maker.enter(Side.BUY, 100, "A02", "10.00")
            await maker.enter(Side.BUY, 50, "A02", "10.01")
            assert await said(maker) == [("A", 1, 100), ("A", 2, 50)]
            await taker.enter(Side.SELL, 170, "A02", "9.50")
            heard = await settle(taker)
            echo = await settle(maker)
            await maker.enter(Side.BUY, 20, "A02", "9.50")
            assert await said(maker) == [("A", 3, 20), ("E", 3, 20, "R")]
            assert await said(taker) == [("E", 1, 20, "A")]
        trades = [each for each in heard if isinstance(each, OrderExecuted)]
        assert [(each.quantity, each.price) for each in trades] == [
            (50, Decimal("10.01")),
            (100, 10),
        ]
        assert all(each.liquidity_flag == "R" and each.user_ref_num == 1 for each in trades)
        others = [each for each in echo if isinstance(each, OrderExecuted)]
        assert [each.match_number for each in others] == [each.match_number for each in trades]
        assert [(each.user_ref_num, each.liquidity_flag) for each in others] == [(2, "A"), (1, "A")]

    trade(market, "S02", scenario)


def test_a_session_may_trade_with_itself(market: Exchange) -> None:
    """Both messages of the trade, the maker's first."""

    async def scenario(client: OuchClient) -> None:
        await client.enter(Side.BUY, 10, "A03", "10.00")
        await client.enter(Side.SELL, 10, "A03", "10.00")
        assert await said(client) == [
            ("A", 1, 10),
            ("A", 2, 10),
            ("E", 1, 10, "A"),
            ("E", 2, 10, "R"),
        ]

    trade(market, "S04", scenario)


def test_what_an_immediate_order_cannot_trade_is_cancelled(market: Exchange) -> None:
    """Accepted live, filled, `C` `I` for the rest; without a counterpart for all of it."""

    async def scenario(client: OuchClient) -> None:
        await client.enter(Side.SELL, 30, "A04", "10.00")
        await client.enter(Side.BUY, 100, "A04", "10.00", time_in_force=IOC)
        await client.enter(Side.BUY, 7, "A04", "10.00", time_in_force=IOC)
        await client.enter(Side.SELL, 5, "A04", "10.00")
        await client.enter(Side.BUY, 5, "A04", "200000", time_in_force=IOC)  # at the market
        assert await said(client) == [
            ("A", 1, 30),
            ("A", 2, 100),
            ("E", 1, 30, "A"),
            ("E", 2, 30, "R"),
            ("C", 2, 70, "I"),
            ("A", 3, 7),
            ("C", 3, 7, "I"),
            ("A", 4, 5),
            ("A", 5, 5),
            ("E", 4, 5, "A"),
            ("E", 5, 5, "R"),
        ]

    trade(market, "S05", scenario)


def test_a_cancel_names_the_total_that_is_left(market: Exchange) -> None:
    """`X`: intended size of the chain, executed shares included; superfluous ones: silence."""

    async def scenario(client: OuchClient) -> None:
        order = await client.enter(Side.BUY, 100, "A05", "10.00")
        await client.enter(Side.SELL, 30, "A05", "10.00")
        assert len(await settle(client)) == 4
        for total in (100, 200, 0xFFFF_FFFF):  # nothing to take away
            await client.cancel(order, total)
        assert await said(client) == []
        await client.cancel(order, 60)
        assert await said(client) == [("C", order, 40, "U")]
        await client.cancel(order, 20)  # less than is executed: everything
        await client.cancel(order)
        await client.cancel(4711)
        assert await said(client) == [("C", order, 30, "U")]
        other = await client.enter(Side.BUY, 100, "A05", "10.00")
        await client.cancel(other)
        assert await said(client) == [("A", other, 100), ("C", other, 100, "U")]

    trade(market, "S06", scenario)


def test_cancels_and_modifies_keep_priority_and_replaces_lose_it(market: Exchange) -> None:
    """Three orders at one price; which one trades first tells the order of the queue."""

    async def scenario(client: OuchClient) -> None:
        first = await client.enter(Side.SELL, 50, "A06", "10.00")
        second = await client.enter(Side.SELL, 50, "A06", "10.00")
        third = await client.enter(Side.SELL, 50, "A06", "10.00")
        await client.cancel(first, 10)
        await client.modify(second, Side.SELL_SHORT, 20)
        moved = await client.replace(third, 50, "10.00")
        again = await client.replace(moved, 40, "10.00")
        assert (await said(client))[3:] == [
            ("C", first, 40, "U"),
            ("M", second, "T", 20),
            ("U", third, moved, 50),
            ("U", moved, again, 40),
        ]
        last = await client.enter(Side.SELL, 5, "A06", "10.00")
        taker = await client.enter(Side.BUY, 75, "A06", "10.00")
        makers = [each[1:3] for each in await said(client) if each[0] == "E" and each[1] != taker]
        assert makers == [(first, 10), (second, 20), (again, 40), (last, 5)]

    trade(market, "S07", scenario)


def test_modify(market: Exchange) -> None:
    """Side among the selling ones, total down; an increase and another side are ignored."""

    async def scenario(client: OuchClient) -> None:
        sell = await client.enter(Side.SELL, 100, "A07", "10.00")
        buy = await client.enter(Side.BUY, 100, "A07", "9.00")
        await client.enter(Side.BUY, 40, "A07", "10.00")
        await settle(client)
        await client.modify(sell, Side.SELL, 100)
        await client.modify(sell, Side.SELL, 500)
        await client.modify(sell, Side.BUY, 10)
        await client.modify(buy, Side.SELL, 10)
        await client.modify(4711, Side.SELL, 10)
        await client.modify(sell, "Z", 10)  # type: ignore[arg-type]
        assert await said(client) == []
        await client.modify(sell, Side.SELL_SHORT_EXEMPT, 500)
        await client.modify(sell, Side.SELL, 70)
        await client.modify(buy, Side.BUY, 60)
        await client.modify(sell, Side.SELL, 40)  # no more than is executed
        assert await said(client) == [
            ("M", sell, "E", 60),
            ("M", sell, "S", 30),
            ("M", buy, "B", 60),
            ("C", sell, 30, "U"),
        ]

    trade(market, "S08", scenario)


def test_a_number_is_used_once(market: Exchange) -> None:
    """Repeated and backward numbers are ignored; gaps are allowed; a reject uses its number."""

    async def scenario(client: OuchClient) -> None:
        for number, quantity in ((5, 10), (5, 20), (4, 30), (1, 40), (0, 50), (9, 60)):
            client.next_user_ref = number
            await client.enter(Side.BUY, quantity, "A13", "10.00")
        await client.enter(Side.BUY, 0, "A13", "10.00")
        client.next_user_ref = 10
        await client.enter(Side.BUY, 70, "A13", "10.00")
        client.next_user_ref = 8
        await client.enter(Side.BUY, 0, "A13", "10.00")
        assert await said(client) == [
            ("A", 5, 10),
            ("A", 9, 60),
            ("J", 10, Reject.INVALID_QUANTITY),
        ]
        assert client.next_user_ref == 11

    trade(market, "S15", scenario)


def test_the_last_number(market: Exchange) -> None:
    """After 2**32 - 1 there are no more orders, and the account query says 0."""

    async def scenario(client: OuchClient) -> None:
        client.next_user_ref = 0xFFFF_FFFF
        order = await client.enter(Side.BUY, 10, "A13", "10.00")
        assert await client.account_query() == 0
        assert [brief(each) for each in await take(client, 2)] == [("A", order, 10), ("Q", 0)]
        client.next_user_ref = 1
        await client.enter(Side.BUY, 10, "A13", "10.00")
        await client.cancel(order)
        assert await said(client) == [("C", order, 10, "U")]

    trade(market, "S16", scenario)


REJECTS: list[tuple[dict[str, Any], int]] = [
    ({"symbol": "NONE"}, Reject.INVALID_SYMBOL),
    ({"symbol": ""}, Reject.INVALID_SYMBOL),
    ({"price": "10.005"}, Reject.INVALID_PRICE),
    ({"price": "0.99"}, Reject.INVALID_PRICE),
    ({"price": "1000.01"}, Reject.INVALID_PRICE),
    ({"price": "0"}, Reject.INVALID_PRICE),
    ({"quantity": 0}, Reject.INVALID_QUANTITY),
    ({"quantity": 1_000_000}, Reject.INVALID_QUANTITY),
    ({"quantity": 0xFFFF_FFFF}, Reject.INVALID_QUANTITY),
    ({"side": "X"}, Reject.INVALID_SIDE),
    ({"display": "Z"}, Reject.INVALID_DISPLAY),
    ({"capacity": "X"}, Reject.INVALID_CAPACITY),
    ({"time_in_force": "X"}, Reject.INVALID_TIME_IN_FORCE),
    ({"tags": {Tag.MINIMUM_QUANTITY: 1}}, Reject.INVALID_MIN_QUANTITY),
    (
        {"tags": {Tag.MINIMUM_QUANTITY: 101}, "quantity": 100, "time_in_force": "3"},
        Reject.INVALID_MIN_QUANTITY,
    ),
    ({"tags": {Tag.MAXIMUM_FLOOR: 1}, "display": "N"}, Reject.INVALID_MAX_FLOOR),
    ({"tags": {Tag.FIRM: "ABCD"}}, Reject.FIRM_NOT_AUTHORIZED),
    ({"tags": {Tag.CUSTOMER_TYPE: "x"}}, Reject.UNSUPPORTED_TAG + 4),
    ({"tags": {Tag.TRADE_NOW: "Q"}}, Reject.UNSUPPORTED_TAG + 16),
    ({"tags": {Tag.HANDLE_INSTRUCTION: "z"}}, Reject.UNSUPPORTED_TAG + 17),
    ({"tags": {Tag.SHARES_LOCATED: "9"}}, Reject.UNSUPPORTED_TAG + 25),
    (
        {"tags": {Tag.GOOD_TILL_CANCELLED: "G"}, "time_in_force": "3"},
        Reject.UNSUPPORTED_TAG + 128,
    ),
    ({"time_in_force": "6"}, Reject.INVALID_TIME_IN_FORCE),
    ({"time_in_force": "6", "tags": {Tag.EXPIRE_TIME: 0}}, Reject.INVALID_TIME_IN_FORCE),
    ({"time_in_force": "6", "tags": {Tag.EXPIRE_TIME: 86_400}}, Reject.UNSUPPORTED_TAG + 15),
    ({"tags": {Tag.EXPIRE_TIME: 5}}, Reject.UNSUPPORTED_TAG + 15),
    ({"tags": {Tag.POST_ONLY: "X"}}, Reject.UNSUPPORTED_TAG + 12),
    ({"tags": {Tag.POST_ONLY_REJECT: "P"}}, Reject.UNSUPPORTED_TAG + 129),
    ({"tags": {Tag.DISCRETION_PRICE_TYPE: "M"}}, Reject.UNSUPPORTED_TAG + 10),
    ({"tags": {Tag.PRICE_TYPE: "M"}}, Reject.UNSUPPORTED_TAG + Tag.PRICE_TYPE),
    ({"tags": {Tag.ROUTE: "ABCD"}}, Reject.UNSUPPORTED_TAG + Tag.ROUTE),
    ({"tags": {Tag.STAY_ON_DISCONNECT: "X"}}, Reject.UNSUPPORTED_TAG + 130),
    ({"tags": {99: b"x"}}, Reject.UNSUPPORTED_TAG + 99),
    ({"tags": {200: b""}}, Reject.UNSUPPORTED_TAG + 200),
]


def test_rejects(market: Exchange) -> None:
    """Each check of an order has its code; the number is used and the ClOrdID echoed."""

    async def scenario(client: OuchClient) -> None:
        for changes, code in REJECTS:
            values = {"side": "B", "quantity": 10, "symbol": "A14", "price": "10.00"} | changes
            number = await client.enter(**values, client_order_id="id")
            (rejected,) = await settle(client)
            assert isinstance(rejected, Rejected), changes
            found = (rejected.user_ref_num, rejected.reason, rejected.client_order_id)
            assert found == (number, code, "id"), changes

    trade(market, "S17", scenario)
    with RawClient(ports(market)[0]) as raw:
        raw.log_in("S18", sequence=0)
        cross = enter(symbol=b"A14     ", price=100_000, cross_type=b"O")
        broken = enter(value(0, b"x"), user_ref=2, symbol=b"A14     ", price=100_000)
        twice = enter(2 * value(12, b"N"), user_ref=3, symbol=b"A14     ", price=100_000)
        for message in (cross, broken, twice, b"Q"):
            raw.say(message)
        rejects = raw.messages(4)[:3]
    assert [int.from_bytes(each[13:15], "big") for each in rejects] == [
        Reject.INVALID_CROSS_ORDER,
        Reject.UNSUPPORTED_TAG,
        Reject.UNSUPPORTED_TAG + 12,
    ]


def test_tags_that_ask_for_nothing_are_accepted(market: Exchange) -> None:
    """GTC (private tag 128), and tags whose value is the default."""

    async def scenario(client: OuchClient) -> None:
        tags = {Tag.GOOD_TILL_CANCELLED: "G", Tag.PRICE_TYPE: "L", Tag.MINIMUM_QUANTITY: 0}
        tags[Tag.MAXIMUM_FLOOR] = 0xFFFF_FFFF  # all is displayed
        order = await client.enter(Side.BUY, 10, "A15", "10.00", tags=tags)
        new = await client.replace(order, 9, "10.00", tags={Tag.GOOD_TILL_CANCELLED: "G"})
        bad = await client.enter(Side.BUY, 10, "A15", "10.00", tags={128: "X"})
        assert await said(client) == [
            ("A", order, 10),
            ("U", order, new, 9),
            ("J", bad, Reject.UNSUPPORTED_TAG + 128),
        ]

    trade(market, "S19", scenario)


@pytest.mark.parametrize(("tail", "username"), [(b"", "S20"), (TAIL, "S21")], ids=["short", "long"])
def test_answers_have_the_form_of_the_request(market: Exchange, tail: bytes, username: str) -> None:
    """X, M and Q with and without appendage length; answers to O and U always have it."""
    symbol = {"symbol": b"A16     ", "price": 100_000}
    with RawClient(ports(market)[0]) as raw:
        raw.log_in(username, sequence=0)
        raw.say(enter(side=b"S", quantity=100, **symbol))
        raw.say(modify(1, b"T", 90, tail))
        raw.say(cancel(1, 50, tail))
        raw.say(modify(1, b"T", 0, tail))
        raw.say(b"Q" + tail)
        raw.say(enter(user_ref=2, time_in_force=b"3", **symbol))
        raw.say(enter(user_ref=3, quantity=0, **symbol))
        raw.say(enter(user_ref=4, **symbol))
        raw.say(replace(original_user_ref=4, user_ref=5, price=1))
        heard = [(each[:1], len(each)) for each in raw.messages(9)]
    size = len(tail)
    assert heard == [
        (b"A", 64),
        (b"M", 18 + size),
        (b"C", 18 + size),
        (b"C", 18 + size),
        (b"Q", 13 + size),
        (b"A", 64),
        (b"C", 20),
        (b"J", 31),
        (b"A", 64),
    ]


def test_channels_have_numbers_of_their_own(market: Exchange) -> None:
    """Tag 28 UserRefIdx: the same UserRefNum in another channel is another order."""

    async def scenario(client: OuchClient) -> None:
        for channel in (0, 7, 255):
            client.next_user_ref = 1
            tags = {Tag.USER_REF_INDEX: channel}
            await client.enter(Side.BUY, 10 + channel, "A17", "10.00", tags=tags)
        await client.cancel(1, tags={Tag.USER_REF_INDEX: 7})
        heard = await settle(client)
        assert [each.quantity for each in heard] == [10, 17, 265, 17]
        channels = [each.tags.get(Tag.USER_REF_INDEX, 0) for each in heard]
        assert channels == [0, 7, 255, 7]

    trade(market, "S22", scenario)


def test_an_impossible_message_ends_the_connection(market: Exchange) -> None:
    """Messages that the market does not offer or that are none: disconnected, others trade on."""
    long_one = ouch_cases.enter() + b"x"
    cut = ouch_cases.enter(b"\x05\x03\x00")  # its channel may be in what is missing
    no_channel = ouch_cases.enter(value(28, b"\0\1"))
    with RawClient(ports(market)[0]) as other:
        other.log_in("S24", sequence=0)
        for message in (b"", b"?", long_one, cancel()[:-1], cut, no_channel):
            with RawClient(ports(market)[0]) as raw:
                raw.log_in("S23", sequence=0)
                raw.say(message)
                assert raw.wait_closed() == []
            other.say(b"Q")
            assert other.messages(1)[0][:1] == b"Q"
