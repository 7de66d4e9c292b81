"""Shell: a taker: now and then it takes a part of the best price, by an immediate order.

python -m gateways.examples.taker --symbols AAPL,BTC-PERP,ETH-PERP
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateways.client import ItchClient, OuchClient, Side, TimeInForce
from gateways.examples.following import Address, follow, parse_addresses
from gateways.examples.ledger import Ledger


@dataclass
class Taker:
    """Takes until its task is cancelled."""

    client: OuchClient
    feed: ItchClient
    symbols: Sequence[str]
    interval_seconds: float = 0.05
    size_max: int = 60
    random: random.Random = field(default_factory=random.Random)
    ledger: Ledger = field(default_factory=Ledger)

    async def run(self, order_gateways: Sequence[Address], feeds: Sequence[Address]) -> None:
        """Follow both streams and take."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(order_gateways))
            tasks.create_task(self._watch(feeds))
            tasks.create_task(self._take())

    async def _watch(self, feeds: Sequence[Address]) -> None:
        async for _ in follow(self.feed, feeds):
            pass

    async def _listen(self, order_gateways: Sequence[Address]) -> None:
        async for item in follow(self.client, order_gateways):
            self.ledger.apply(item)

    async def _take(self) -> None:
        while True:
            try:
                await self.client.account_query()
                break
            except ConnectionError:
                await asyncio.sleep(self.interval_seconds)
        while True:
            await asyncio.sleep(self.interval_seconds)
            symbol = self.random.choice(self.symbols)
            bid, ask = self.feed.book.best(symbol)
            side = self.random.choice((Side.BUY, Side.SELL))
            level = ask if side == Side.BUY else bid
            if level is None or not self.client.connected:
                continue
            size = self.random.randint(1, min(self.size_max, level.shares))
            immediate = TimeInForce.IMMEDIATE_OR_CANCEL
            try:
                await self.client.enter(side, size, symbol, level.price, time_in_force=immediate)
            except ConnectionError:
                continue  # `follow` makes it again


async def main(arguments: argparse.Namespace) -> None:
    """Take until Ctrl-C; a line each second."""
    orders, feeds = parse_addresses(arguments.orders), parse_addresses(arguments.feeds)
    name, password = arguments.username, arguments.password
    client = await OuchClient.connect(*orders[0], name, password, sequence=1)
    feed = await ItchClient.connect(*feeds[0], name, password)
    taker = Taker(client, feed, arguments.symbols.split(","))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(taker.run(orders, feeds))
        while True:
            await asyncio.sleep(1.0)
            print(dict(taker.ledger.positions), f"{len(taker.ledger.fills)} fills")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--orders", default="127.0.0.1:9001", help="HOST:PORT,HOST:PORT")
    parser.add_argument("--feeds", default="127.0.0.1:9002", help="HOST:PORT,HOST:PORT")
    parser.add_argument("--username", default="T002")
    parser.add_argument("--password", default="demo")
    parser.add_argument("--symbols", default="AAPL,BTC-PERP,ETH-PERP")
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        pass
