"""Shell: a feed handler: keeps the books of all instruments and prints the best prices.

    python -m gateways.examples.feed_handler

It begins with the feed's first message, and goes on at the next one when the connection is lost.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from gateways.client import ItchClient
from gateways.examples.following import Address, follow, parse_addresses


async def keep_book(feed: ItchClient, feeds: Sequence[Address]) -> None:
    """The client's book follows each message that is taken."""
    async for _ in follow(feed, feeds):
        pass


async def main(arguments: argparse.Namespace) -> None:
    """Print the best prices each second, until Ctrl-C."""
    feeds = parse_addresses(arguments.feeds)
    feed = await ItchClient.connect(*feeds[0], arguments.username, arguments.password)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_book(feed, feeds))
        while True:
            await asyncio.sleep(1.0)
            print(f"message {feed.next_sequence - 1}, {len(feed.book.orders)} orders")
            for stock in feed.book.states:
                bid, ask = feed.book.best(stock)
                buy = f"{bid.shares} x {bid.price}" if bid else "-"
                sell = f"{ask.price} x {ask.shares}" if ask else "-"
                print(f"  {stock:8}  {buy:>20} | {sell}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--feeds", default="127.0.0.1:9002", help="HOST:PORT,HOST:PORT")
    parser.add_argument("--username", default="T003")
    parser.add_argument("--password", default="demo")
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        pass
