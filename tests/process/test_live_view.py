"""Goal: who looks at a live exchange sees what its traders and its feed say.

Method: a whole exchange, a trader's orders; the view of another process beside the feed's book.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from gateways.client import ItchClient, OuchClient, Side
from shm_exchange import view
from shm_exchange.view_replica import Replica
from tests.process.conftest import (
    ENGINES,
    MARKET_DATA_GATEWAY,
    ORDER_GATEWAY,
    Exchange,
)
from tests.process.trading import PASSWORD, play, ports, running, settle, trade

RING_RECORDS = 4_096
MARKET = ENGINES.replace("event_ring_records = 65536", f"event_ring_records = {RING_RECORDS}")
TRADER = "T05"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    folder = tmp_path_factory.mktemp("view")
    with running(folder, MARKET + ORDER_GATEWAY + MARKET_DATA_GATEWAY) as it:
        yield it


def feed_book(it: Exchange, messages: int) -> ItchClient:
    """The feed from its first message up to `messages` of them; what it says of the book."""
    clients = []

    async def read() -> None:
        (port,) = ports(it, "market_data")
        async with await ItchClient.connect("127.0.0.1", port, TRADER, PASSWORD) as client:
            while (await anext(client)).sequence < messages:
                pass  # the client keeps the book
            clients.append(client)

    play(read())
    return clients[0]


def check_book(it: Exchange, replica: Replica) -> None:
    """Levels, orders and their displayed lots are the feed's; both sides have some."""
    book = feed_book(it, int(replica.market.scalars[0]["feed_messages"])).book
    seen = replica.book("AAPL")
    tick = Decimal("0.01")
    for rows, levels in ((seen.bids, book.bids("AAPL")), (seen.asks, book.asks("AAPL"))):
        assert len(rows) > 0
        assert [
            (int(row["price_ticks"]) * tick, int(row["quantity"]), int(row["orders"]))
            for row in rows
        ] == [tuple(each) for each in levels]
    best = replica.book("AAPL", 1)
    assert (best.bids[0], best.asks[0]) == (seen.bids[0], seen.asks[0])
    orders = replica.orders("AAPL")
    shown = orders[orders["displayed"] > 0]
    assert dict(zip(shown["reference"].tolist(), shown["displayed"].tolist(), strict=True)) == {
        reference: each.shares for reference, each in book.orders.items()
    }


def test_a_traders_orders_are_seen(market: Exchange) -> None:
    """As they rest: a hidden one and a partly filled one; a cancelled one is gone."""
    placed: list[int] = []

    async def scenario(client: OuchClient) -> None:
        await client.account_query()
        for quantity, price, display in ((70, "1.01", "Y"), (40, "1.02", "N"), (5, "1.03", "Y")):
            placed.append(await client.enter(Side.BUY, quantity, "AAPL", price, display=display))
        await client.enter(Side.SELL, 30, "AAPL", "2.00")
        await client.cancel(placed[2])
        await client.cancel(placed[0], 50)
        await settle(client)

    trade(market, TRADER, scenario)
    with view.open(market.name) as exchange:
        replica = exchange.replica()
        assert replica.position == exchange.published
        orders = replica.orders()
        ours = orders[orders["session"] == TRADER]
        assert [
            (row["user_ref"], row["side"], row["leaves"], row["displayed"]) for row in ours
        ] == [
            (placed[0], "B", 50, 50),
            (placed[1], "B", 40, 0),
            (placed[2] + 1, "S", 30, 30),
        ]
        assert ours["price"].tolist() == pytest.approx([1.01, 1.02, 2.0])
        ticks = set(replica.book("AAPL").bids["price_ticks"].tolist())
        assert 101 in ticks and 102 not in ticks
        everything = replica.book("AAPL", hidden=True).bids
        assert everything[everything["price_ticks"] == 102]["quantity"].tolist() == [40]
        check_book(market, replica)
