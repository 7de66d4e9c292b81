"""Two clients that trade with each other until SIGTERM, through whatever happens, and then compare.

Runs inside the container. Prints one JSON object: how much was done, and what of it is not exact,
between what was sent and what was answered, between the two, and with the exchange's own book.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import Counter
from typing import Any

from gateways.client import OuchClient, Side, TimeInForce
from gateways.examples.following import follow
from gateways.examples.ledger import Ledger
from gateways.ouch.typed_messages import OrderAccepted
from shm_exchange import view

GATEWAY = ("127.0.0.1", 9001)
SYMBOL, PRICE = "AAPL", "100.00"
PAUSE_SECONDS = 0.005
CANCEL_EVERY = 7  # orders


class Trader:
    """One session and what it was told. StreamError when its stream has a gap or a repeat."""

    def __init__(self, client: OuchClient) -> None:
        self.client = client
        self.sent: list[int] = []
        self.accepted: Counter[int] = Counter()
        self.ledger = Ledger()

    async def listen(self) -> None:
        """Take note of everything, over lost connections."""
        async for item in follow(self.client, [GATEWAY]):
            self.ledger.apply(item)
            if isinstance(item.message, OrderAccepted):
                self.accepted[item.message.user_ref_num] += 1

    async def ask(self, side: Side, quantity: int, term: TimeInForce) -> None:
        """Enter an order; without a connection there is none."""
        with contextlib.suppress(ConnectionError):
            number = await self.client.enter(side, quantity, SYMBOL, PRICE, time_in_force=term)
            self.sent.append(number)

    async def cancel_oldest(self) -> None:
        """Cancel the order that rests for the longest time."""
        with contextlib.suppress(ConnectionError):
            if self.ledger.orders:
                await self.client.cancel(min(self.ledger.orders))

    async def settle(self) -> None:
        """Return when all that was sent is answered."""
        while True:
            with contextlib.suppress(ConnectionError):
                await self.client.account_query()
                return
            await asyncio.sleep(PAUSE_SECONDS)

    def resting(self) -> dict[int, int]:
        """UserRefNum -> lots."""
        return {number: each.leaves for number, each in self.ledger.orders.items()}


def book_of(username: str) -> dict[int, int]:
    """The same as the exchange has it."""
    with view.open() as exchange:
        orders = exchange.replica().orders(SYMBOL)
        ours = orders[orders["session"] == username]
        return dict(zip(ours["user_ref"].tolist(), ours["leaves"].tolist(), strict=True))


def compare(maker: Trader, taker: Trader, names: tuple[str, str]) -> dict[str, Any]:
    """What was done, and what is wrong with it."""
    both = (maker, taker)
    fills = [sorted((each.match_number, each.quantity) for each in it.ledger.fills) for it in both]
    return {
        "sent": sum(len(each.sent) for each in both),
        "trades": len(fills[0]),
        "wrong": {
            "missing": [sorted(set(each.sent) - set(each.accepted))[:9] for each in both],
            "twice": [[n for n, count in each.accepted.items() if count > 1] for each in both],
            "one-sided": sorted(set(fills[0]) ^ set(fills[1]))[:9],
            "position": sum(each.ledger.positions[SYMBOL] for each in both),
            "book": [
                sorted(each.resting().items() ^ book_of(name).items())[:9]
                for each, name in zip(both, names, strict=True)
            ],
        },
    }


async def main() -> None:
    """One rests two lots, the other takes one of them, and now and then the rest is cancelled."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    names = ("T001", "T002")
    maker, taker = [Trader(await OuchClient.connect(*GATEWAY, each, "demo")) for each in names]
    listeners = [asyncio.create_task(each.listen()) for each in (maker, taker)]
    await maker.settle()
    print("trading", flush=True)
    while not ended.is_set() and not any(each.done() for each in listeners):
        await maker.ask(Side.BUY, 2, TimeInForce.DAY)
        await taker.ask(Side.SELL, 1, TimeInForce.IMMEDIATE_OR_CANCEL)
        if len(maker.sent) % CANCEL_EVERY == 0:
            await maker.cancel_oldest()
        await asyncio.sleep(PAUSE_SECONDS)
    for each in (maker, taker, maker):  # the maker also hears of the last that was taken from it
        await each.settle()
    for each in listeners:
        each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await each  # raises what ended it
    print(json.dumps(compare(maker, taker, names)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
