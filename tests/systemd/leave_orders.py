"""Two sessions with an order each that rests, one of which cancels on disconnect; until their end.

Runs inside the container. Prints `resting` when both rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from gateways.client import OuchClient, Side
from gateways.ouch.typed_messages import OrderAccepted

SYMBOL, PRICE = "TEST", "1.00"
STAYS, GOES = "T008", "GOES"  # who cancels on disconnect, by the configuration of the test
LOTS = {STAYS: 8, GOES: 9}


async def main(host: str, port: str) -> None:
    """Enter, and listen until the exchange ends."""
    clients = []
    for name, lots in LOTS.items():
        client = await OuchClient.connect(host, int(port), name, "demo")
        await client.enter(Side.BUY, lots, SYMBOL, PRICE)
        while not isinstance((await anext(client)).message, OrderAccepted):
            pass
        clients.append(client)
    print("resting", flush=True)
    for client in clients:
        with contextlib.suppress(ConnectionError):
            async for _ in client:
                pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
