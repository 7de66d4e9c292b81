"""Goal: the examples do what they say, and what each believes to have agrees to the last share.

Method: the market maker and the taker of `gateways/examples`, two sessions of a firm, trade three
instruments, into one of which a flow is replayed, while the matcher is killed twice and the market
maker's gateway once; the drop-copy listener hears the firm, at that gateway too. Then the ledgers,
those of the drop copy, the streams read again from number 1, the feed by match number, and the
open orders in the feed's book are compared. SHMX_EXAMPLE_SECONDS=60 for a longer session.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal

import pytest

from gateways.client import ItchClient, OuchClient, Sequenced
from gateways.examples.drop_copy import Listener
from gateways.examples.following import Address, follow
from gateways.examples.ledger import Fill, Ledger, StreamError
from gateways.examples.market_maker import MarketMaker, Terms, log_in
from gateways.examples.taker import Taker
from gateways.itch.typed_messages import AddOrder, OrderReplace
from gateways.itch.typed_messages import OrderExecuted as FeedExecuted
from gateways.ouch.typed_messages import SystemEvent
from tests.differential.flows import own
from tests.process.conftest import ROOT, Exchange
from tests.process.test_replay import start_replay
from tests.process.trading import (
    MARKET,
    PASSWORD,
    feed_client,
    order_client,
    play,
    ports,
    running,
    until,
)

SECONDS = float(os.environ.get("SHMX_EXAMPLE_SECONDS", "6"))
RATE = 400  # messages of the flow per second: one order of it in each instrument's life matters
SYMBOLS = ("AAPL", "A01", "A02")
MAKER, TAKER, LISTENER = "MAKER", "TAKER", "COPIES"
FIRM = "".join(
    f'[[session]]\nusername = "{name}"\npassword = "{PASSWORD}"\nfirm = "DESK"\n{more}'
    for name, more in ((MAKER, ""), (TAKER, ""), (LISTENER, "drop_copy = true\n"))
)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("examples"), MARKET + FIRM) as it:
        yield it


def addresses(it: Exchange, kind: str) -> list[Address]:
    """Where the gateways of a kind listen."""
    return [("127.0.0.1", port) for port in ports(it, kind)]


async def disturb(it: Exchange, maker: MarketMaker) -> None:
    """Two takeovers, and the death of the gateway that serves the market maker."""
    loop = asyncio.get_running_loop()
    served_by = it.status()["gateways"][0]["pid"]  # the first that it was told to log in at
    pause = SECONDS / 4
    await asyncio.sleep(pause)
    for victim in ("matcher", "gateway", "matcher"):
        found = await loop.run_in_executor(None, it.wait_ready)
        pid = found["engines"][0]["matcher_pid"] if victim == "matcher" else served_by
        fills = len(maker.ledger.fills)
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(pause)
        await until(lambda before=fills: len(maker.ledger.fills) > before)  # it trades on


async def listen(client: OuchClient, listener: Listener, gateways: list[Address]) -> None:
    """What the example of a drop copy does."""
    async for item in follow(client, gateways):
        listener.apply(item)


async def rest_of(client: OuchClient, ledger: Ledger | Listener) -> None:
    """Bring a ledger to the end of its stream: the answer of a barrier is the last message."""
    barrier = asyncio.create_task(client.account_query())
    while not barrier.done() or client.next_sequence > ledger.last_sequence + 1:
        if client.next_sequence > ledger.last_sequence + 1:
            ledger.apply(await anext(client))
        else:  # nothing more may come: it is the barrier's turn
            await asyncio.sleep(0.001)
    await barrier


async def reread(it: Exchange, username: str, end: int) -> Ledger:
    """The ledger of somebody who reads the whole stream at another gateway."""
    ledger = Ledger()
    async with await order_client(ports(it)[1], username, sequence=1) as client:
        while ledger.last_sequence < end:
            ledger.apply(await anext(client))
    return ledger


class Reader:
    """What the feed says from its first message on: trades by match number, and the book."""

    def __init__(self, feed: ItchClient) -> None:
        self.feed = feed
        self.trades: dict[int, tuple[str, int, Decimal]] = {}
        self._placed: dict[int, tuple[str, Decimal]] = {}

    async def read_until(self, wanted: set[int], orders: Ledger) -> None:
        """Until all wanted trades were told, and the book has the ledger's orders."""
        while not (wanted <= self.trades.keys() and self._has(orders)):
            self._note((await anext(self.feed)).message)

    def _has(self, ledger: Ledger) -> bool:
        book = self.feed.book.orders
        return all(
            each.reference in book and book[each.reference].shares == each.leaves
            for each in ledger.orders.values()
        )

    def _note(self, message: object) -> None:
        if isinstance(message, AddOrder):
            self._placed[message.order_reference_number] = message.stock, message.price
        elif isinstance(message, OrderReplace):
            stock, _ = self._placed[message.original_reference_number]
            self._placed[message.order_reference_number] = stock, message.price
        elif isinstance(message, FeedExecuted):
            stock, price = self._placed[message.order_reference_number]
            self.trades[message.match_number] = stock, message.shares, price


def as_feed_says(fill: Fill) -> tuple[str, int, Decimal]:
    """A fill in the feed's terms."""
    return fill.symbol, fill.quantity, fill.price


def test_everybody_agrees_to_the_last_share(market: Exchange) -> None:
    """Ledgers, the drop copy, streams read again, the feed, and both sides of each trade."""
    orders, feeds = addresses(market, "order"), addresses(market, "market_data")
    flow = own(int(RATE * (SECONDS + 5)), seed=3)
    market.wait_ready()

    async def scenario() -> None:
        terms = [Terms(symbol, Decimal("0.01"), Decimal(100)) for symbol in SYMBOLS]
        maker = await log_in(orders, feeds, MAKER, PASSWORD, terms)
        taker = Taker(
            await order_client(orders[1][1], TAKER, sequence=1),
            await feed_client(feeds[0][1]),
            SYMBOLS,
            random=random.Random(7),
        )
        copies, listener = await order_client(orders[0][1], LISTENER, sequence=1), Listener()
        tasks = [
            asyncio.create_task(listen(copies, listener, orders)),
            asyncio.create_task(maker.run(orders, feeds)),
            asyncio.create_task(taker.run(orders[1:], feeds)),
        ]
        await until(lambda: len(maker.ledger.orders) == 2 * len(SYMBOLS))
        replay = start_replay(market, flow, "--rate", RATE, "--allow-resting")
        await disturb(market, maker)
        await until(lambda: have_met(maker.ledger, taker.ledger))
        await end(tasks)
        for trader in (maker, taker):
            await rest_of(trader.client, trader.ledger)
        # Whether its own comparison held depends on who else traded when it ended: ours come below.
        await asyncio.get_running_loop().run_in_executor(None, replay.communicate)
        for trader, name in ((maker, MAKER), (taker, TAKER)):
            await rest_of(trader.client, trader.ledger)
            ledger = trader.ledger
            assert await reread(market, name, ledger.last_sequence) == ledger
            check_positions(ledger)
            await trader.client.close()
            await trader.feed.close()
        await rest_of(copies, listener)
        await copies.close()
        check_copies(listener, {MAKER: maker.ledger, TAKER: taker.ledger})
        check_both_sides(maker.ledger, taker.ledger)
        await check_feed(market, [maker.ledger, taker.ledger])

    play(scenario(), 60 + 10 * SECONDS)


def have_met(maker: Ledger, taker: Ledger) -> bool:
    """Whether both have traded everything, and with each other, however slow the machine is."""
    everything = all(
        {each.symbol for each in ledger.fills} == set(SYMBOLS) for ledger in (maker, taker)
    )
    sides = [{each.match_number for each in ledger.fills} for ledger in (maker, taker)]
    return everything and bool(sides[0] & sides[1])


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Stop trading."""
    for each in tasks:
        each.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError), outcome


def check_positions(ledger: Ledger) -> None:
    """They are what the fills say, in each instrument, and something was traded in each."""
    assert {each.symbol for each in ledger.fills} == set(SYMBOLS)
    assert len({each.match_number for each in ledger.fills}) == len(ledger.fills)
    for symbol in SYMBOLS:
        fills = [each for each in ledger.fills if each.symbol == symbol]
        assert ledger.positions[symbol] == sum(each.signed_quantity for each in fills)
        assert ledger.cash[symbol] == -sum(each.signed_quantity * each.price for each in fills)


def check_copies(listener: Listener, ledgers: dict[str, Ledger]) -> None:
    """The drop copy has each session's orders, fills, cash and number, and what both have."""
    assert listener.ledgers == ledgers
    for symbol in SYMBOLS:
        total = sum(each.positions[symbol] for each in ledgers.values())
        assert listener.positions()[symbol] == total


def check_both_sides(maker: Ledger, taker: Ledger) -> None:
    """What one has bought of the other, the other has sold to it, at the same price."""
    bought = {each.match_number: each for each in maker.fills}
    common = [
        (bought[each.match_number], each) for each in taker.fills if each.match_number in bought
    ]
    assert common
    for ours, theirs in common:
        assert as_feed_says(ours) == as_feed_says(theirs)
        assert ours.signed_quantity == -theirs.signed_quantity


async def check_feed(it: Exchange, ledgers: list[Ledger]) -> None:
    """Each fill is in the feed under its match number, each live order in its book."""
    fills = {each.match_number: each for ledger in ledgers for each in ledger.fills}
    async with await feed_client(ports(it, "market_data")[0]) as feed:
        reader = Reader(feed)
        for ledger in ledgers:
            await reader.read_until(set(fills), ledger)
        assert {key: reader.trades[key] for key in fills} == {
            key: as_feed_says(each) for key, each in fills.items()
        }
        for order in (each for ledger in ledgers for each in ledger.orders.values()):
            resting = feed.book.orders[order.reference]
            assert (resting.stock, resting.side, resting.price, resting.shares) == (
                order.symbol,
                order.side,
                order.price,
                order.leaves,
            )


@pytest.mark.parametrize("example", ["market_maker", "taker", "feed_handler", "drop_copy"])
def test_it_runs_as_it_is_typed(market: Exchange, example: str) -> None:
    """From the command line, until Ctrl-C: it prints what it is to print, and ends without fuss."""
    (feed,) = ports(market, "market_data")
    orders = ["--orders", f"127.0.0.1:{ports(market)[1]}"]
    feeds = ["--feeds", f"127.0.0.1:{feed}"]
    options = {
        "market_maker": [*orders, *feeds, "--username", "S03", "--symbols", "A01:0.01:100"],
        "taker": [*orders, *feeds, "--username", "S04", "--symbols", "A01"],
        "feed_handler": [*feeds, "--username", "S05"],
        "drop_copy": [*orders, "--username", LISTENER],
    }[example]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", f"gateways.examples.{example}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors == ""
    wanted = {
        "market_maker": "2 orders",
        "taker": "fills",
        "feed_handler": "orders",
        "drop_copy": "sessions",
    }
    assert wanted[example] in line


def test_a_ledger_notices_what_is_missing() -> None:
    """A gap, and a repeat."""
    for sequence in (2, 0):
        ledger = Ledger(last_sequence=0 if sequence else 5)
        item = Sequenced(sequence or 5, SystemEvent(0, "S"))
        with pytest.raises(StreamError):
            ledger.apply(item)
