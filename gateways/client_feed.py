"""Shell: the Python client for market data (ITCH 5.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from gateways.client_connection import Client, Sequenced
from gateways.feed_book import Book
from gateways.itch import typed_messages as itch
from gateways.typed import Message


class BookIncomplete(LookupError):
    """`item`, which was taken from the feed, is about an order that the book does not have.

    The feed was not followed from its beginning, nor from a snapshot, or it cannot be right. The
    book is as it was before; the next message can be taken.
    """

    def __init__(self, item: Sequenced, reference: int) -> None:
        super().__init__(
            f"message {item.sequence} is about order {reference}, which the book does not have: "
            "begin at 1 or with a snapshot, or follow the feed with keep_book=False"
        )
        self.item = item


class ItchClient(Client):
    """A market data session. `book` is as of the last message that was taken.

    With keep_book=False messages are only delivered, and `book` stays as it is.
    """

    catalogue: ClassVar[Mapping[str, type[Message]]] = itch.MESSAGES

    def __init__(
        self, host: str, port: int, username: str, password: str, heartbeat_timeout_ms: int | None
    ) -> None:
        super().__init__(host, port, username, password, heartbeat_timeout_ms)
        self.book = Book()
        self._keep_book = True

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        username: str,
        password: str,
        *,
        session: str = "",
        sequence: int = 1,
        book: Book | None = None,
        keep_book: bool = True,
        heartbeat_timeout_ms: int | None = None,
    ) -> Self:
        """Log in. Raise LoginRejected, PeerError, OSError, or ValueError for what cannot be asked.

        session: id of a feed; blank: the gateway's first engine. sequence: number of the first
        message wanted; 1: the whole feed again, 0: only what is new. The book is whole from 1 on,
        or when `book` holds what was before; else use keep_book=False, for messages alone.
        heartbeat_timeout_ms: as of `OuchClient.connect`.
        """
        client = cls(host, port, username, password, heartbeat_timeout_ms)
        client.book = Book() if book is None else book
        client._keep_book = keep_book
        await client._open(session, sequence)
        return client

    async def __anext__(self) -> Sequenced:
        """The next message; the book follows it. Raise BookIncomplete, which has the message."""
        item = await super().__anext__()
        if self._keep_book:
            try:
                self.book.apply(item.message)
            except KeyError as error:
                raise BookIncomplete(item, error.args[0]) from None
        return item
