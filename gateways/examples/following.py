"""Shell: goes on after a lost connection, at the next gateway, with the next message.

The clients remember what has arrived and what the exchange was not heard to process; all that is
left to do is to say where to connect.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence

from gateways.client import ItchClient, OuchClient, Sequenced

Address = tuple[str, int]


def parse_addresses(text: str) -> list[Address]:
    """HOST:PORT,HOST:PORT. Raises ValueError."""
    found = []
    for each in text.split(","):
        host, _, port = each.rpartition(":")
        found.append((host.strip("[]"), int(port)))
    return found


async def follow(
    client: OuchClient | ItchClient, addresses: Sequence[Address]
) -> AsyncIterator[Sequenced]:
    """Every message until the session ends; a lost connection is made again, wherever it can be."""
    others: Iterator[Address] = itertools.cycle(addresses)
    while True:
        try:
            async for item in client:
                yield item
            return
        except ConnectionError:
            await _reconnect(client, others, len(addresses))


async def _reconnect(
    client: OuchClient | ItchClient, others: Iterator[Address], count: int
) -> None:
    """Try one address after the other, and pause after each round."""
    while True:
        for host, port in itertools.islice(others, count):
            try:
                await client.reconnect(host, port, attempts=1)
                return
            except OSError:
                continue
        await asyncio.sleep(0.05)
