"""Shell: a market maker: both sides of several instruments, around the middle of the feed's book.

    python -m gateways.examples.market_maker --symbols AAPL,BTC-PERP,ETH-PERP

Its ledger comes from its own stream, read from number 1, so it may be stopped and started at any
time. A lost gateway costs it nothing but a reconnect: it goes on at the next one of the list. What
it was filled is leant against: the more it has bought, the lower it quotes. Its orders are a group,
which the matcher withdraws and freezes for a moment when too much of it trades at once.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from gateways.client import ItchClient, Level, OuchClient, Side
from gateways.examples.following import Address, follow, parse_addresses
from gateways.examples.ledger import Ledger, LiveOrder
from gateways.ouch.tags import Tag
from gateways.ouch.typed_messages import OrderAccepted, OrderReplaced, Rejected
from gateways.ouch.typed_protection import ProtectionFired

SIDES = (Side.BUY, Side.SELL)
GROUP = 1
# How much may trade within 100 ms, in sizes of a quote, and for how long nothing is quoted then.
WINDOW_US, SIZES_MAX, FROZEN_US = 100_000, 4, 200_000


@dataclass
class Terms:
    """How to quote an instrument."""

    symbol: str
    tick: Decimal
    start: Decimal  # the middle as long as the feed shows none
    half_spread: int = 5  # ticks
    size: int = 100
    position_max: int = 2_000


@dataclass
class Quote:
    """One side of one instrument: at most one order, or a request for one."""

    terms: Terms
    side: Side
    user_ref: int = 0  # of the order, or of the request that is on its way; 0: neither
    replaces: int = 0  # the order that the request on its way is to replace
    pending: bool = False


@dataclass
class MarketMaker:
    """Quotes until its task is cancelled."""

    client: OuchClient
    feed: ItchClient
    instruments: Sequence[Terms]
    ledger: Ledger = field(default_factory=Ledger)
    requests: int = 0
    interval_seconds: float = 0.05
    protections_fired: int = 0

    def __post_init__(self) -> None:
        self.quotes = [Quote(terms, side) for terms in self.instruments for side in SIDES]
        self._quiet_until = 0.0  # of the monotonic clock

    async def run(self, order_gateways: Sequence[Address], feeds: Sequence[Address]) -> None:
        """Follow both streams and quote."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(order_gateways))
            tasks.create_task(self._watch(feeds))
            tasks.create_task(self._quote())

    async def _watch(self, feeds: Sequence[Address]) -> None:
        async for _ in follow(self.feed, feeds):
            pass  # the client keeps the book

    async def _listen(self, order_gateways: Sequence[Address]) -> None:
        async for item in follow(self.client, order_gateways):
            self.ledger.apply(item)
            self._hear(item.message)

    def _hear(self, message: object) -> None:
        """Requests that were answered are pending no more; while frozen there are none."""
        if isinstance(message, ProtectionFired):
            self.protections_fired += 1
            self._quiet_until = time.monotonic() + message.frozen_for / 1e6
        if not isinstance(message, OrderAccepted | OrderReplaced | Rejected):
            return
        for quote in self.quotes:
            if quote.pending and quote.user_ref == message.user_ref_num:
                quote.pending = False
                if isinstance(message, Rejected):  # of a replace: the original lives on
                    quote.user_ref = quote.replaces

    async def _quote(self) -> None:
        await self.clear()
        limit = SIZES_MAX * max(each.size for each in self.instruments)
        await self._send(
            self.client.protect(GROUP, window_us=WINDOW_US, quantity=limit, frozen_us=FROZEN_US)
        )
        while True:
            for quote in self.quotes:
                if time.monotonic() >= self._quiet_until:
                    await self._improve(quote)
            await asyncio.sleep(self.interval_seconds)

    async def clear(self) -> None:
        """Cancel what an earlier life left, and learn the next UserRefNum."""
        while True:
            try:
                await self.client.account_query()
                break
            except ConnectionError:
                await asyncio.sleep(self.interval_seconds)
        for user_ref in list(self.ledger.orders):
            await self._send(self.client.cancel(user_ref))

    async def _improve(self, quote: Quote) -> None:
        """Bring a quote to where it should be, by at most one request."""
        order = self.ledger.orders.get(quote.user_ref)
        if quote.pending and quote.replaces and quote.replaces not in self.ledger.orders:
            # The original was filled or cancelled first: a replace is ignored then, in silence.
            # Or it was replaced and filled at once. Either way nothing is left.
            quote.pending, quote.user_ref = False, 0
            return
        if quote.pending:
            return
        price, size = self._wanted(quote)
        if order is None:
            if size:
                await self._enter(quote, price, size)
        elif size == 0:
            await self._send(self.client.cancel(order.user_ref))
        elif order.price != price or order.leaves < size:
            await self._replace(quote, order, price, size)

    def _wanted(self, quote: Quote) -> tuple[Decimal, int]:
        """Price and size that a quote should have now."""
        terms = quote.terms
        position = self.ledger.positions[terms.symbol]
        lean = -position * terms.half_spread // max(1, terms.position_max)
        away = -terms.half_spread if quote.side == Side.BUY else terms.half_spread
        ticks = self._middle(terms) // terms.tick + lean + away
        room = terms.position_max - (position if quote.side == Side.BUY else -position)
        return max(ticks, Decimal(1)) * terms.tick, max(0, min(terms.size, room))

    def _middle(self, terms: Terms) -> Decimal:
        """Between the best prices of the others; where nobody else is, the one to start with."""
        bid, ask = self.feed.book.best(terms.symbol)
        if bid is None or ask is None or self._is_ours(terms, bid) or self._is_ours(terms, ask):
            return terms.start
        return (bid.price + ask.price) / 2

    def _is_ours(self, terms: Terms, level: Level) -> bool:
        """Whether nobody but us quotes a price: to follow oneself is to run away."""
        return level.orders == 1 and any(
            order.symbol == terms.symbol and order.price == level.price
            for order in self.ledger.orders.values()
        )

    async def _enter(self, quote: Quote, price: Decimal, size: int) -> None:
        quote.user_ref, quote.replaces, quote.pending = self.client.next_user_ref, 0, True
        symbol, tags = quote.terms.symbol, {Tag.GROUP_ID: GROUP}
        await self._send(self.client.enter(quote.side, size, symbol, price, tags=tags))

    async def _replace(self, quote: Quote, order: LiveOrder, price: Decimal, size: int) -> None:
        quote.replaces, quote.pending = order.user_ref, True
        quote.user_ref = self.client.next_user_ref
        total = order.executed + size  # of the chain: what is done counts
        await self._send(self.client.replace(order.user_ref, total, price))

    async def _send(self, request: object) -> None:
        """Send; without a connection nothing was sent, and the quote is as it was."""
        assert asyncio.iscoroutine(request)
        try:
            await request
            self.requests += 1
        except ConnectionError:
            for quote in self.quotes:
                if quote.pending and quote.user_ref == self.client.next_user_ref:
                    quote.pending, quote.user_ref = False, quote.replaces


async def log_in(
    order_gateways: Sequence[Address],
    feeds: Sequence[Address],
    username: str,
    password: str,
    instruments: Sequence[Terms],
) -> MarketMaker:
    """A market maker whose ledger begins with the stream's first message."""
    client = await OuchClient.connect(*order_gateways[0], username, password, sequence=1)
    feed = await ItchClient.connect(*feeds[0], username, password)
    return MarketMaker(client, feed, instruments)


def parse_terms(text: str) -> list[Terms]:
    """SYMBOL:TICK:START, with commas between. Raises ValueError."""
    found = []
    for each in text.split(","):
        symbol, tick, start = each.split(":")
        found.append(Terms(symbol, Decimal(tick), Decimal(start)))
    return found


async def main(arguments: argparse.Namespace) -> None:
    """Quote until Ctrl-C; a line each second."""
    orders, feeds = parse_addresses(arguments.orders), parse_addresses(arguments.feeds)
    maker = await log_in(
        orders, feeds, arguments.username, arguments.password, parse_terms(arguments.symbols)
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(maker.run(orders, feeds))
        while True:
            await asyncio.sleep(1.0)
            ledger = maker.ledger
            print(dict(ledger.positions), f"{len(ledger.fills)} fills, {len(ledger.orders)} orders")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--orders", default="127.0.0.1:9001", help="HOST:PORT,HOST:PORT")
    parser.add_argument("--feeds", default="127.0.0.1:9002", help="HOST:PORT,HOST:PORT")
    parser.add_argument("--username", default="T001")
    parser.add_argument("--password", default="demo")
    parser.add_argument(
        "--symbols",
        default="AAPL:0.01:100,BTC-PERP:0.5:60000,ETH-PERP:0.05:3000",
        help="SYMBOL:TICK:START, with commas between",
    )
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        pass
