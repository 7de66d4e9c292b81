"""Shell: the Python client for snapshots (GLIMPSE 5.0), on asyncio.

found = await take_snapshot("127.0.0.1", 9003, "T001", "demo")
async with await ItchClient.connect(
    "127.0.0.1", 9002, "T001", "demo",
    session=found.session, sequence=found.next_sequence, book=found.book,
) as feed: ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from gateways.client import ItchClient
from gateways.feed_book import Book
from gateways.itch import typed_messages as itch
from gateways.itch.glimpse_messages import END_OF_SNAPSHOT
from gateways.sessions import PeerError
from gateways.typed import Message
from ringbuf.schema import Record


@dataclass(slots=True)
class EndOfSnapshot(Message):
    """`G` End of Snapshot."""

    RECORD: ClassVar[Record] = END_OF_SNAPSHOT

    sequence: str

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a whole message. Raise PeerError when it is not one."""
        if len(data) != cls.RECORD.size or not data[1:].strip().isdigit():
            raise PeerError(f"end of snapshot: {data!r}")
        return cls._decode_fixed(data)


@dataclass(slots=True)
class Snapshot:
    """A book, and where the feed goes on: `next_sequence` is the next message to process."""

    book: Book
    session: str
    next_sequence: int


class _GlimpseClient(ItchClient):
    catalogue: ClassVar[Mapping[str, type[Message]]] = {**itch.MESSAGES, "G": EndOfSnapshot}


async def take_snapshot(
    host: str, port: int, username: str, password: str, *, session: str = ""
) -> Snapshot:
    """Log in, read a snapshot, log out. Raise LoginRejected, PeerError or OSError.

    session: id of a feed; blank: the gateway's first engine.
    """
    async with await _GlimpseClient.connect(
        host, port, username, password, session=session
    ) as client:
        async for item in client:
            if isinstance(item.message, EndOfSnapshot):
                return Snapshot(client.book, client.session, int(item.message.sequence))
    raise PeerError("the snapshot has no end")
