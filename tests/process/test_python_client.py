"""Goal: nothing that a user does with the Python client takes the exchange from him for good.

Method: clients of one exchange, with values that no message can carry, on a drop copy, after a
restart of the client, in the middle of the feed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateways.client import BookIncomplete, DropCopySession, OuchClient, Side, Tag
from gateways.client_quotes import TwoSided
from gateways.itch.typed_messages import AddOrder, OrderDelete
from gateways.ouch.typed_messages import OrderAccepted, Rejected
from shm_exchange.messages import Reject
from tests.process.conftest import Exchange
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

FIRM = "".join(
    f'[[session]]\nusername = "{name}"\npassword = "demo"\nfirm = "ACME"\n{more}'
    for name, more in (("ACM01", ""), ("ACMDC", "drop_copy = true\n"))
)
ORDER = (Side.BUY, 10, "A01", "10.00")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("python"), MARKET + FIRM) as it:
        yield it


async def refused(client: OuchClient, why: str, name: str, *arguments: Any, **options: Any) -> None:
    """The call raises ValueError that says why, and all is as before."""
    before = client.next_user_ref, client.unacknowledged
    with pytest.raises(ValueError, match=why):
        await getattr(client, name)(*arguments, **options)
    assert (client.next_user_ref, client.unacknowledged) == before


def test_what_no_message_can_carry_is_refused_before_it_is_sent(market: Exchange) -> None:
    """Each would end the connection, again after every reconnect; what follows is executed."""

    async def scenario(client: OuchClient) -> None:
        long_tags = {number: b"x" * 253 for number in range(200, 205)}
        for why, tags in (
            ("tag 0 ", {0: b"x"}),
            ("tag 256 ", {256: b"x"}),
            ("tag 200 has 255 bytes", {200: b"x" * 255}),
            ("tag 24 'abc'", {24: "abc"}),
            ("tags of 1275 bytes", long_tags),
        ):
            for name, arguments in (
                ("enter", ORDER),
                ("replace", (1, 10, "10.00")),
                ("cancel", (1,)),
                ("modify", (1, Side.SELL, 1)),
                ("mass_cancel", ()),
                ("disable_entry", ()),
                ("enable_entry", ()),
            ):
                await refused(client, why, name, *arguments, tags=tags)
        quotes = [TwoSided(number, "A01", "9.00", 1) for number in range(1, 31)]
        for count in (0, 17, 30):
            await refused(client, f"^{count} quotes", "mass_quote", quotes[:count])
        await refused(client, "tag 28 256", "account_query", 256)
        number = await client.enter(*ORDER)
        assert await said(client) == [("A", number, 10)]

    trade(market, "S01", scenario)


WRONG: tuple[tuple[str, str, tuple[Any, ...], dict[str, Any]], ...] = (
    ("quantity -1 ", "enter", ("B", -1, "A01", "10.00"), {}),
    ("quantity 1.5 ", "enter", ("B", 1.5, "A01", "10.00"), {}),
    ("symbol None", "enter", ("B", 1, None, "10.00"), {}),
    ("symbol 'Ä'", "enter", ("B", 1, "Ä", "10.00"), {}),
    ("price -1 ", "enter", ("B", 1, "A01", -1), {}),
    (r"price 1E\+30 ", "enter", ("B", 1, "A01", 1e30), {}),
    ("price 'abc' ", "enter", ("B", 1, "A01", "abc"), {}),
    ("quantity -1 ", "replace", (1, -1, "10.00"), {}),
    ("user_ref_num -5 ", "cancel", (-5,), {}),
    ("quantity 4294967296 ", "cancel", (1, 1 << 32), {}),
    ("quantity -1 ", "modify", (1, "S", -1), {}),
    ("group_id 65536 ", "protect", (1 << 16,), {"window_us": 1}),
    ("window -1 ", "protect", (1,), {"window_us": -1}),
    ("user_ref_index 256 ", "reset_protection", (1,), {"channel": 256}),
    ("user_ref_num -1 ", "ask_shares_ahead", (-1,), {}),
    ("group_id -1 ", "mass_quote", ([TwoSided(1, "A01")],), {"group": -1}),
    ("user_ref_index 300 ", "mass_quote", ([TwoSided(1, "A01")],), {"channel": 300}),
    ("quote_id -1 ", "mass_quote", ([TwoSided(-1, "A01")],), {}),
    ("bid_price -1 ", "mass_quote", ([TwoSided(1, "A01", -1, 1)],), {}),
    ("bid_quantity 1.5 ", "mass_quote", ([TwoSided(1, "A01", 1, 1.5)],), {}),  # type: ignore
    ("ask_price 'x' ", "mass_quote", ([TwoSided(1, "A01", 1, 1, "x")],), {}),
    ("ask_quantity -1 ", "mass_quote", ([TwoSided(1, "A01", 1, 1, 2, -1)],), {}),
)


def test_an_error_names_the_value_that_is_wrong(market: Exchange) -> None:
    """Of every request, a mass quote and its quotes; nothing was sent of any of them."""

    async def scenario(client: OuchClient) -> None:
        for why, name, arguments, options in WRONG:
            await refused(client, "^" + why, name, *arguments, **options)
        number = await client.enter(*ORDER)
        assert (number, await said(client)) == (1, [("A", 1, 10)])

    trade(market, "S07", scenario)


def test_the_longest_request_is_answered(market: Exchange) -> None:
    """What the client lets pass, the exchange reads."""

    async def scenario(client: OuchClient) -> None:
        sizes = (253, 253, 253, 209)  # with the order 1,023 bytes
        tags = {200 + number: b"x" * size for number, size in enumerate(sizes)}
        await refused(client, "1024 bytes", "enter", *ORDER, tags={**tags, 203: b"x" * 210})
        number = await client.enter(*ORDER, tags=tags)
        assert await said(client) == [("J", number, Reject.UNSUPPORTED_TAG + 200)]

    trade(market, "S02", scenario)


def test_each_channel_has_its_next_number(market: Exchange) -> None:
    """Also for a client that begins anew; any form of tag 28 that the type allows is understood."""

    async def scenario() -> None:
        port = ports(market)[0]
        in_five: tuple[dict[Tag, int | bytes], ...] = (
            {Tag.USER_REF_INDEX: 5},
            {Tag.USER_REF_INDEX: b"\x05"},
        )
        async with await order_client(port, "S03", sequence=0) as client:
            numbers = [await client.enter(*ORDER, tags=tags) for tags in (*in_five, None)]
            assert numbers == [1, 2, 1]
            assert client.next_user_ref_in(5) == 3
            await client.mass_quote([TwoSided(1, "A03", "9.00", 1)], channel=5)
            assert (client.next_user_ref_in(5), client.next_user_ref) == (6, 2)
            accepted = [each for each in await settle(client) if isinstance(each, OrderAccepted)]
            assert [each.tags.get(Tag.USER_REF_INDEX, 0) for each in accepted] == [5, 5, 0, 5]
        async with await order_client(port, "S03", sequence=0) as client:
            assert await client.account_query(5) == 6  # the quote has used two for its sides
            assert await client.account_query() == 2
            assert await client.account_query(6) == 1
            await take(client, 5)  # the answers: a query of a channel has a plain one behind it
            number = await client.enter(*ORDER, tags={Tag.USER_REF_INDEX: 5})
            assert (number, client.next_user_ref_in(5)) == (6, 7)
            assert await said(client) == [("A", 6, 10)]
            assert client.unacknowledged == 0

    play(scenario())


def test_a_request_that_ends_the_connection_can_be_given_up(market: Exchange) -> None:
    """A drop copy that has heard nothing yet looks like any session; its first order does not."""

    async def scenario() -> None:
        async with await order_client(ports(market)[0], "ACMDC", sequence=0) as client:
            await client.enter(*ORDER)
            for _ in range(2):
                with pytest.raises(ConnectionError, match="1, the oldest is O of UserRefNum 1"):
                    await anext(client)
                await client.reconnect()
            (request,) = client.unacknowledged_requests
            client.forget(request)
            client.forget(request)  # it is not there any more: nothing happens
            await client.reconnect()
            assert await client.account_query() == 1
            assert client.connected and client.unacknowledged == 0

    play(scenario())


def test_a_drop_copy_sends_no_requests(market: Exchange) -> None:
    """Who has heard a copy knows it: the connection stays, and the questions are answered."""

    async def scenario() -> None:
        port = ports(market)[1]
        async with (
            await order_client(port, "ACMDC", sequence=0) as listener,
            await order_client(port, "ACM01", sequence=0) as trader,
        ):
            await trader.enter(*ORDER)
            await take(listener, 1)
            for name, arguments in (("enter", ORDER), ("cancel", (1,)), ("mass_cancel", ())):
                with pytest.raises(DropCopySession):
                    await getattr(listener, name)(*arguments)
            assert await listener.account_query() == 1
            assert listener.connected and listener.unacknowledged == 0

    play(scenario())


def test_a_feed_from_the_middle_loses_no_message(market: Exchange) -> None:
    """The book cannot follow an order from before: the error has the message, and it goes on."""

    async def scenario() -> None:
        (port,) = ports(market, "market_data")
        async with await order_client(ports(market)[0], "S05", sequence=0) as trader:
            old = await trader.enter(Side.BUY, 10, "A05", "10.00")
            await settle(trader)
            async with (
                await feed_client(port, sequence=0) as with_book,
                await feed_client(port, sequence=0, keep_book=False) as without,
            ):
                await trader.cancel(old)
                await trader.enter(Side.BUY, 20, "A05", "11.00")
                gone, added = [await anext(without) for _ in range(2)]
                assert isinstance(gone.message, OrderDelete)
                assert isinstance(added.message, AddOrder)
                assert without.book.orders == {}
                with pytest.raises(BookIncomplete, match="keep_book=False") as caught:
                    await anext(with_book)
                assert caught.value.item == gone
                assert await anext(with_book) == added
                assert [each.shares for each in with_book.book.bids("A05")] == [20]

    play(scenario())


def test_closed_at_once(market: Exchange) -> None:
    """Before the connection's own task has had a turn: the iteration ends all the same."""

    async def scenario() -> None:
        client = await order_client(ports(market)[0], "S06", sequence=0)
        await client.close()
        assert [each async for each in client] == []
        with pytest.raises(ValueError, match="attempts 0"):
            await client.reconnect(attempts=0)
        await client.reconnect()
        number = await client.enter(Side.BUY, 1, "none", "1.00")
        (answer,) = await settle(client)
        assert isinstance(answer, Rejected) and answer.user_ref_num == number
        await client.close()

    play(scenario())
