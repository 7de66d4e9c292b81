"""Shell: a drop-copy listener: what every session of a firm has, from one stream.

python -m gateways.examples.drop_copy --username RISK01

needs a session with `drop_copy = true` and a `firm` in the configuration (docs/protocols.md, "Drop
copy").
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from gateways.client import OuchClient, Sequenced
from gateways.examples.following import follow, parse_addresses
from gateways.examples.ledger import Ledger, StreamError
from gateways.ouch.typed_private import DropCopy


def _begun() -> Ledger:
    """The ledger of a session's whole stream: its `S`, number 1, is not copied."""
    return Ledger(last_sequence=1)


@dataclass
class Listener:
    """A ledger for each session that was heard of, the same as the session's own."""

    ledgers: defaultdict[str, Ledger] = field(default_factory=lambda: defaultdict(_begun))
    last_sequence: int = 0

    def apply(self, item: Sequenced) -> None:
        """Take note of the next message. Raise StreamError when it is not the next."""
        if item.sequence == 0:  # not part of the stream
            return
        if item.sequence != self.last_sequence + 1:
            raise StreamError(f"message {item.sequence} follows {self.last_sequence}")
        self.last_sequence = item.sequence
        if isinstance(item.message, DropCopy):
            ledger = self.ledgers[item.message.session]
            ledger.apply(Sequenced(ledger.last_sequence + 1, item.message.message))

    def positions(self) -> dict[str, int]:
        """The firm's, by symbol."""
        total: defaultdict[str, int] = defaultdict(int)
        for ledger in self.ledgers.values():
            for symbol, position in ledger.positions.items():
                total[symbol] += position
        return dict(total)


async def _report(listener: Listener) -> None:
    """A line each second."""
    while True:
        await asyncio.sleep(1.0)
        fills = sum(len(each.fills) for each in listener.ledgers.values())
        print(listener.positions(), f"{len(listener.ledgers)} sessions, {fills} fills")


async def main(arguments: argparse.Namespace) -> None:
    """Listen until Ctrl-C; a line each second."""
    addresses = parse_addresses(arguments.orders)
    name, password = arguments.username, arguments.password
    client = await OuchClient.connect(*addresses[0], name, password, sequence=1)
    listener = Listener()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_report(listener))
        async for item in follow(client, addresses):
            listener.apply(item)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--orders", default="127.0.0.1:9001", help="HOST:PORT,HOST:PORT")
    parser.add_argument("--username", required=True)
    parser.add_argument("--password", default="demo")
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        pass
