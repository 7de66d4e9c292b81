"""Goal: nothing that a user does with the Python client takes the exchange from him for good.

Method: clients of one exchange, with values that no message can carry, on a drop copy, after a
restart of the client, in the middle of the feed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateways.client import BookIncomplete, Side
from gateways.itch.typed_messages import AddOrder, OrderDelete
from gateways.ouch.typed_messages import Rejected
from tests.process.conftest import Exchange
from tests.process.trading import (
    MARKET,
    feed_client,
    order_client,
    play,
    ports,
    running,
    settle,
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
