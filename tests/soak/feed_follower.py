"""A client of the feed: its numbers have no gap, its book comes from nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from gateways.client import BookIncomplete, ItchClient, LoginRejected, PeerError
from gateways.itch.typed_messages import OrderExecuted
from tests.soak.own_orders import Violation
from tests.soak.trader import AWAY_SECONDS_MAX, PASSWORD


class FeedFollower:
    """One connection at a time, at whatever gateway serves it."""

    def __init__(self, name: str, ports: Callable[[], list[int]], chance: random.Random) -> None:
        self.name = name
        self.client: ItchClient
        self.next_sequence = 1
        self.trades = 0
        self.logins = 0
        self._ports = ports
        self._chance = chance
        self._gateway = 0
        self._last_match = 0

    async def open(self) -> None:
        """Log in for the first time."""
        self.client = await ItchClient.connect("127.0.0.1", self._ports()[0], self.name, PASSWORD)

    async def listen(self) -> None:
        """Follow the feed, on one connection after the other."""
        while True:
            try:
                async for sequence, message in self.client:
                    if sequence != self.next_sequence:
                        raise Violation(f"feed: {sequence}, due is {self.next_sequence}")
                    self.next_sequence += 1
                    if isinstance(message, OrderExecuted):
                        self._count(message)
                raise Violation("feed: the stream has ended")
            except BookIncomplete as error:
                raise Violation(f"feed: {error}") from error
            except ConnectionError:
                await self._come_back()

    def _count(self, message: OrderExecuted) -> None:
        if message.match_number <= self._last_match:
            raise Violation(f"feed: {message} after match {self._last_match}")
        self._last_match = message.match_number
        self.trades += 1

    async def _come_back(self) -> None:
        async with asyncio.timeout(AWAY_SECONDS_MAX):
            while True:
                ports = self._ports()
                self._gateway = (self._gateway + 1) % len(ports)
                try:
                    await self.client.reconnect(port=ports[self._gateway], attempts=1)
                    break
                except LoginRejected as error:
                    raise Violation(f"feed at {self.next_sequence}: {error}") from error
                except (OSError, PeerError):
                    await asyncio.sleep(0.02 + 0.05 * self._chance.random())
        self.logins += 1
