"""A session under load: it sends as it likes, believes nothing, and comes back whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal

from gateways.client import LoginRejected, OuchClient, PeerError, Side
from tests.soak.own_orders import CANCEL, ENTER, IMMEDIATE, REPLACE, OwnOrders, Violation, Wanted

SYMBOLS = ("A01", "A02")
PASSWORD = "demo"
AWAY_SECONDS_MAX = 120.0  # an exchange that starts anew on a busy machine
UNACKNOWLEDGED_MAX = 1_500
LIVE_MAX = 40
BURST_MAX = 24
PAUSE_SECONDS = 0.15  # between bursts, on average
MIDDLE, SPREAD = 10_000, 8  # cents: buys and sells are drawn around the same price, and cross


class Trader:
    """One session, its connection and its own book."""

    def __init__(
        self, book: OwnOrders, ports: Callable[[], list[int]], chance: random.Random
    ) -> None:
        self.book = book
        self.logins = 0
        self.client: OuchClient
        self.online = asyncio.Event()
        self.sending = asyncio.Event()
        self._idle = asyncio.Event()
        self._leaving = False
        self._ports = ports
        self._chance = chance
        self.gateway = 0  # which of the order gateways serves it

    async def open(self, gateway: int) -> None:
        """Log in for the first time."""
        self.gateway = gateway
        port = self._ports()[gateway]
        self.client = await OuchClient.connect("127.0.0.1", port, self.book.name, PASSWORD)
        self.online.set()

    async def listen(self) -> None:
        """Hear everything, on one connection after the other."""
        while True:
            try:
                async for sequence, message in self.client:
                    if sequence:
                        self.book.hear(sequence, message)
                    if self._leaving:
                        raise ConnectionAbortedError
                raise Violation(f"{self.book.name}: the stream has ended")
            except ConnectionError:
                self.online.clear()
                self._leaving = False
                await self._come_back()

    async def _come_back(self) -> None:
        """Log in wherever it is possible, and go on where the stream was left."""
        wanted = self.client.next_sequence
        async with asyncio.timeout(AWAY_SECONDS_MAX):
            while True:
                ports = self._ports()
                self.gateway = (self.gateway + 1) % len(ports)
                try:
                    await self.client.reconnect(port=ports[self.gateway], attempts=1)
                    break
                except LoginRejected as error:
                    raise Violation(f"{self.book.name} at message {wanted}: {error}") from error
                except (OSError, PeerError):
                    await asyncio.sleep(0.02 + 0.05 * self._chance.random())
        self.logins += 1
        self.online.set()

    def move(self) -> None:
        """Leave at the next message without a word, and come back at the next gateway."""
        self._leaving = True

    async def send(self) -> None:
        """Send in bursts, for as long as `sending` is set."""
        while True:
            self._idle.set()
            await self.sending.wait()
            await self.online.wait()
            self._idle.clear()
            for _ in range(self._chance.randint(1, BURST_MAX)):
                if not (self.online.is_set() and self.client.connected and self.sending.is_set()):
                    break
                if self.client.unacknowledged < UNACKNOWLEDGED_MAX:
                    await self._request()
            self._idle.set()
            await asyncio.sleep(self._chance.expovariate(1 / PAUSE_SECONDS))

    async def pause(self) -> None:
        """Return when nothing more is sent."""
        self.sending.clear()
        await self._idle.wait()

    async def barrier(self) -> None:
        """Return when everything that was sent is processed and heard."""
        while True:
            await self.online.wait()
            try:
                await self.client.account_query()
                break
            except ConnectionError:
                await asyncio.sleep(0.01)
        while self.book.next_sequence != self.client.next_sequence:
            await asyncio.sleep(0.001)

    async def _request(self) -> None:
        chance, live = self._chance, self.book.live
        crowded = len(live) > LIVE_MAX
        dice = chance.random()
        if not live or dice < (0.2 if crowded else 0.6):
            await self._enter()
        elif dice < 0.8:
            await self._cancel(chance.choice(list(live)))
        else:
            await self._replace(chance.choice(list(live)))

    async def _enter(self) -> None:
        client, chance = self.client, self._chance
        side = chance.choice((Side.BUY, Side.SELL))
        quantity, price = chance.randint(1, 100), self._price(side)
        symbol = chance.choice(SYMBOLS)
        options = {"time_in_force": IMMEDIATE if chance.random() < 0.3 else "0"}
        user_ref = client.next_user_ref
        self.book.want(
            Wanted(ENTER, user_ref, quantity, price, str(side), symbol, options["time_in_force"])
        )
        await client.enter(side, quantity, symbol, price, **options)
        if chance.random() < 0.1:  # before anything was heard of it
            await self._cancel(user_ref)

    async def _cancel(self, user_ref: int) -> None:
        """All of it, or a part: the quantity is what the order may still come to."""
        if not self.client.connected:
            return
        quantity = 0 if self._chance.random() < 0.7 else self._chance.randint(1, 80)
        self.book.want(Wanted(CANCEL, user_ref, quantity))
        await self.client.cancel(user_ref, quantity)

    async def _replace(self, original: int) -> None:
        order = self.book.live[original]
        price = self._price(order.side)
        quantity = order.executed + self._chance.randint(1, 100)
        user_ref = self.client.next_user_ref
        self.book.want(
            Wanted(REPLACE, user_ref, quantity, price, order.side, order.symbol, original=original)
        )
        await self.client.replace(original, quantity, price)

    def _price(self, side: str) -> Decimal:
        """Towards the other side of the book, now and then beyond the middle."""
        away = self._chance.randint(-2, SPREAD)
        return Decimal(MIDDLE - away if side == "B" else MIDDLE + away) / 100
