"""A client that trades until SIGTERM, through whatever happens, and then says what became of it.

Runs inside the container. Prints one JSON object: orders sent, accepted, accepted twice, missing,
and whether the numbers of its stream had a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import Counter

from gateways.client import OuchClient, Side
from gateways.examples.following import follow
from gateways.ouch.typed_messages import OrderAccepted

GATEWAY = ("127.0.0.1", 9001)
PAUSE_SECONDS = 0.005


async def main() -> None:
    """Enter orders that rest, one after the other; count what is heard of them."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    client = await OuchClient.connect(*GATEWAY, "T001", "demo", sequence=1)
    accepted: Counter[int] = Counter()
    numbers: list[int] = []

    async def listen() -> None:
        async for number, message in follow(client, [GATEWAY]):
            if number:
                numbers.append(number)
            if isinstance(message, OrderAccepted):
                accepted[message.user_ref_num] += 1

    listener = asyncio.create_task(listen())
    await client.account_query()
    print("trading", flush=True)
    sent: list[int] = []
    while not ended.is_set():
        with contextlib.suppress(ConnectionError):
            sent.append(await client.enter(Side.BUY, 1, "AAPL", "100.00"))
        await asyncio.sleep(PAUSE_SECONDS)
    while True:
        try:
            await client.account_query()  # a barrier: what was sent before is answered
            break
        except ConnectionError:
            await asyncio.sleep(PAUSE_SECONDS)
    await asyncio.sleep(1)
    listener.cancel()
    report = {
        "sent": len(sent),
        "accepted": len(accepted),
        "twice": sum(count > 1 for count in accepted.values()),
        "missing": sorted(set(sent) - set(accepted))[:10],
        "gap": numbers != list(range(1, len(numbers) + 1)),
    }
    await client.close()
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
