"""Goal: who looks at a live exchange sees what its traders, its feed and its journal say, and
the exchange does not wait for him.

Method: a whole exchange with a small ring, a flow through TCP, a trader's own orders, a matcher
that is killed; the view of another process beside the feed's book and the journal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pytest

from gateways.client import ItchClient, OuchClient, Side
from shm_exchange import view
from shm_exchange.messages import EventKind
from shm_exchange.view import Batch, View
from shm_exchange.view_replica import Replica
from tests.differential.flows import own
from tests.process.conftest import (
    ENGINES,
    MARKET_DATA_GATEWAY,
    ORDER_GATEWAY,
    ROOT,
    WAIT_SECONDS,
    Exchange,
)
from tests.process.test_replay import finish, start_replay
from tests.process.trading import PASSWORD, play, ports, running, settle, trade

RING_RECORDS = 4_096
MESSAGES = 7_000
MARKET = ENGINES.replace("event_ring_records = 65536", f"event_ring_records = {RING_RECORDS}")
TRADER = "T05"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    folder = tmp_path_factory.mktemp("view")
    with running(folder, MARKET + ORDER_GATEWAY + MARKET_DATA_GATEWAY) as it:
        yield it


def collect(exchange: View, first: int, until: threading.Event) -> list[Batch]:
    """Follow from `first` on until told to stop and nothing is left."""
    follower, found = exchange.follow(first), []
    while True:
        ending = until.is_set()
        batch = follower.poll()
        if batch is not None:
            found.append(batch)
        elif ending:
            return found


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


def test_what_is_seen_is_what_was_published(market: Exchange) -> None:
    """A follower beside a flow: each batch is what the journal has; a sleeper is told what he lost;
    the replica's book is the feed's."""
    with view.open(market.name) as exchange:
        sleeper = exchange.follow(0)
        replica = exchange.replica()
        begin = exchange.published
        done = threading.Event()
        batches: list[Batch] = []
        thread = threading.Thread(target=lambda: batches.extend(collect(exchange, begin, done)))
        thread.start()
        report = finish(start_replay(market, own(MESSAGES, seed=5)))
        done.set()
        thread.join(WAIT_SECONDS)
        end = exchange.published
        assert end > begin + RING_RECORDS  # nobody waited for the sleeper

        market.wait_until(lambda found: found["engines"][0]["recorded"] >= end)
        tape = exchange.tape(begin, end)
        position = begin
        for batch in batches:
            assert batch.position == position + batch.missed
            place = slice(batch.position - begin, batch.position - begin + len(batch.events))
            assert batch.events.tobytes() == tape[place].tobytes()
            position = batch.position + len(batch.events)
        assert position == end
        assert int((tape["kind"] == EventKind.EXECUTED).sum()) == report["trades"]

        late = sleeper.poll()
        assert late is not None and late.missed > 0
        assert late.events.tobytes() == tape[late.position - begin :][: len(late.events)].tobytes()
        with pytest.raises(view.LappedError):
            exchange.events(begin)
        assert replica.follow() == exchange.published - begin  # over the journal
        assert len(replica.orders("AAPL")) == report["resting"]
        check_book(market, replica)


def test_a_traders_orders_are_seen(market: Exchange) -> None:
    """As they rest: a hidden one and a partly filled one; a cancelled one is gone."""
    placed: list[int] = []

    async def scenario(client: OuchClient) -> None:
        await client.account_query()
        for quantity, price, display in ((70, "1.01", "Y"), (40, "1.02", "N"), (5, "1.03", "Y")):
            placed.append(await client.enter(Side.BUY, quantity, "AAPL", price, display=display))
        await client.enter(Side.SELL, 30, "AAPL", "100000.00")
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
        assert ours["price"].tolist() == pytest.approx([1.01, 1.02, 100_000.0])
        ticks = set(replica.book("AAPL").bids["price_ticks"].tolist())
        assert 101 in ticks and 102 not in ticks
        everything = replica.book("AAPL", hidden=True).bids
        assert everything[everything["price_ticks"] == 102]["quantity"].tolist() == [40]
        check_book(market, replica)


def test_it_goes_on_through_a_takeover_and_ends_with_the_exchange(market: Exchange) -> None:
    """The next reign is seen by its event and its word; iteration ends by itself at the end."""
    with view.open(market.name) as exchange:
        epoch = int(exchange.words["epoch"][0])
        follower = exchange.follow()
        os.kill(int(exchange.processes["pid"][0]), signal.SIGKILL)
        market.wait_until(lambda found: found["engines"][0]["epoch"] > epoch)
        batch = next(iter(follower))
        assert EventKind.EPOCH in batch.events["kind"]
        assert int(exchange.words["epoch"][0]) == epoch + 1
        market.wait_ready()
        drawn = subprocess.run(
            [sys.executable, "-m", "shm_exchange.examples.live_book", "AAPL", "--once"]
            + ["--name", market.name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
        )
        assert (drawn.returncode, drawn.stderr) == (0, "")
        best = exchange.replica().book("AAPL", 1)
        assert f"{best.bids[0]['price']:.4f}" in drawn.stdout
        assert f"{best.asks[0]['price']:.4f}" in drawn.stdout
        assert market.stop() == 0
        last = [each.position + len(each.events) for each in follower][-1:]
        assert last in ([], [exchange.published])
        assert not exchange.is_alive()
        assert np.array_equal(exchange.events(exchange.published), exchange.events(0, 0))
