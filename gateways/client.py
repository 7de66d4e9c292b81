"""Shell: the Python client for order entry (OUCH 5.0) and market data (ITCH 5.0), on asyncio.

    async with await OuchClient.connect("127.0.0.1", 9001, "T001", "demo") as client:
        await client.account_query()                      # continue behind earlier sessions
        buy = await client.enter(Side.BUY, 100, "AAPL", "101.25")
        async for sequence, message in client:
            print(sequence, message)

    async with await ItchClient.connect("127.0.0.1", 9002, "T001", "demo") as feed:
        async for sequence, message in feed:
            print(sequence, message, feed.book.best("AAPL"))

Requests return as soon as they are sent; what the exchange says about them arrives as messages,
each with its number in the session's stream. Prices may be given as Decimal, text or number, and
are Decimals in messages. A lost connection ends the iteration with ConnectionError: `reconnect`
logs in again, here or at another gateway, and continues at the next number.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from gateways.client_connection import LoginRejected, Sequenced
from gateways.client_feed import BookIncomplete, ItchClient
from gateways.client_quotes import QuoteClient
from gateways.feed_book import Book, Level
from gateways.ouch import typed_messages as ouch
from gateways.ouch import typed_private as private
from gateways.ouch.messages import (
    ACCOUNT_QUERY_REQUEST,
    ACCOUNT_QUERY_RESPONSE,
    APPENDAGE_LENGTH_SIZE,
    CANCEL_REQUEST,
    ENTER_ORDER,
    MODIFY_REQUEST,
    REPLACE_REQUEST,
)
from gateways.ouch.private_messages import (
    LIMITS_QUERY,
    OPEN_ORDERS_QUERY,
    SHARES_AHEAD_QUERY,
)
from gateways.ouch.tag_text import TagValue, pack_tags
from gateways.ouch.tags import Tag
from gateways.ouch.typed_protection import ProtectionAnswer
from gateways.ouch.typed_quotes import MassQuoteAnswer
from gateways.sessions import Packet, PeerError
from gateways.typed import Message, Price, Unknown, pack, to_price
from gateways.unacknowledged import Request, Unacknowledged

__all__ = [
    "Book",
    "BookIncomplete",
    "MARKET_PRICE",
    "ItchClient",
    "Level",
    "LoginRejected",
    "Message",
    "OuchClient",
    "PeerError",
    "Sequenced",
    "Side",
    "Tag",
    "TimeInForce",
    "Unknown",
]

QUERY_EVERY = 10_000  # unacknowledged requests after which a query of our own is sent
MARKET_PRICE = "200000"  # and above: at the market, collared to the price band


class Side(StrEnum):
    """Side of an order."""

    BUY = "B"
    SELL = "S"
    SELL_SHORT = "T"
    SELL_SHORT_EXEMPT = "E"


class TimeInForce(StrEnum):
    """How long an order lives."""

    DAY = "0"
    IMMEDIATE_OR_CANCEL = "3"
    GOOD_TILL_TIME = "6"  # needs Tag.EXPIRE_TIME


class OuchClient(QuoteClient):
    """An order entry session.

    A request returns when it is on its way, and is sent again by `reconnect` for as long as the
    exchange has not been heard to process it. After many requests without an answer a query of the
    client's own is among them; its answer is a message like any other.

    `next_user_ref` is the number that the next order or replace will get. Numbers must grow for as
    long as the session lives: `account_query` finds the next one after a restart of the client.
    """

    catalogue = {**ouch.MESSAGES, **private.MESSAGES}

    next_user_ref = 1

    def __init__(
        self, host: str, port: int, username: str, password: str, heartbeat_timeout_ms: int | None
    ) -> None:
        super().__init__(host, port, username, password, heartbeat_timeout_ms)
        self._unacknowledged = Unacknowledged()
        self._queries: deque[asyncio.Future[int]] = deque()
        self._sent_since_query = 0
        self._long_query = True

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
        next_user_ref: int = 1,
        heartbeat_timeout_ms: int | None = None,
    ) -> Self:
        """Log in. Raise LoginRejected, PeerError or OSError.

        session: id of a stream; blank: the gateway's first engine. sequence: number of the first
        message wanted; 1: the whole stream again, 0: only what is new. heartbeat_timeout_ms: how
        much silence the server shall bear (SoupBinTCP 4.10).
        """
        client = cls(host, port, username, password, heartbeat_timeout_ms)
        client.next_user_ref = next_user_ref
        await client._open(session, sequence)
        return client

    @property
    def unacknowledged(self) -> int:
        """Count of requests that the exchange has not been heard to process."""
        return len(self._unacknowledged)

    async def enter(
        self,
        side: str,
        quantity: int,
        symbol: str,
        price: Price,
        *,
        time_in_force: str = TimeInForce.DAY,
        display: str = "Y",
        capacity: str = "P",
        sweep: bool = False,
        client_order_id: str = "",
        tags: Mapping[int, TagValue] | None = None,
    ) -> int:
        """Send an order; return its UserRefNum. Answered by OrderAccepted or Rejected."""
        appendage = pack_tags(tags or {})
        message = pack(
            ENTER_ORDER,
            "O",
            user_ref_num=self.next_user_ref,
            side=side,
            quantity=quantity,
            symbol=symbol,
            price=to_price(price),
            time_in_force=time_in_force,
            display=display,
            capacity=capacity,
            sweep="Y" if sweep else "N",
            cross_type="N",
            client_order_id=client_order_id,
            appendage_length=len(appendage),
        )
        return await self._post_numbered("O", message + appendage, tags)

    async def replace(
        self,
        original_user_ref: int,
        quantity: int,
        price: Price,
        *,
        time_in_force: str = TimeInForce.DAY,
        display: str = "Y",
        sweep: bool = False,
        client_order_id: str = "",
        tags: Mapping[int, TagValue] | None = None,
    ) -> int:
        """Replace an order; return the new UserRefNum. Its priority is lost.

        quantity: total of the whole chain, what was executed included. Answered by OrderReplaced,
        OrderCanceled or Rejected; by nothing when the original is not live any more.
        """
        appendage = pack_tags(tags or {})
        message = pack(
            REPLACE_REQUEST,
            "U",
            original_user_ref_num=original_user_ref,
            user_ref_num=self.next_user_ref,
            quantity=quantity,
            price=to_price(price),
            time_in_force=time_in_force,
            display=display,
            sweep="Y" if sweep else "N",
            client_order_id=client_order_id,
            appendage_length=len(appendage),
        )
        return await self._post_numbered("U", message + appendage, tags)

    async def cancel(
        self, user_ref: int, quantity: int = 0, *, tags: Mapping[int, TagValue] | None = None
    ) -> None:
        """Cancel an order, or reduce it so that its chain never executes more than `quantity`.

        Answered by OrderCanceled; by nothing when there is nothing to cancel.
        """
        message = pack(CANCEL_REQUEST, "X", user_ref_num=user_ref, quantity=quantity)
        await self._post("X", user_ref, message + _optional_appendage(tags), tags)

    async def modify(
        self,
        user_ref: int,
        side: str,
        quantity: int,
        *,
        tags: Mapping[int, TagValue] | None = None,
    ) -> None:
        """Change the side among the selling ones, or reduce the total. Priority is kept.

        Answered by OrderModified; by nothing when nothing can be modified.
        """
        message = pack(MODIFY_REQUEST, "M", user_ref_num=user_ref, side=side, quantity=quantity)
        await self._post("M", user_ref, message + _optional_appendage(tags), tags)

    async def account_query(self) -> int:
        """Return the next usable UserRefNum, and use it from now on.

        The answer is a barrier: everything sent before has been processed when it arrives, and
        what was not answered until then never will be. Raise ConnectionError when the connection
        is lost before; the query is not repeated. Go on taking messages meanwhile when very many
        are on their way.
        """
        self._require_connection()
        return await (await self._query())

    async def ask_limits(self, symbol: str = "") -> None:
        """Answered by a LimitsAnswer without a number, which may get lost: then ask again."""
        await self._ask(pack(LIMITS_QUERY, "l", symbol=symbol))

    async def ask_open_orders(self) -> None:
        """Answered, likewise, by an OpenOrdersAnswer and as many OpenOrder."""
        await self._ask(pack(OPEN_ORDERS_QUERY, "o"))

    async def ask_shares_ahead(self, user_ref: int, channel: int = 0) -> None:
        """Answered, likewise, by a SharesAheadAnswer."""
        query = pack(SHARES_AHEAD_QUERY, "a", user_ref_num=user_ref, user_ref_index=channel)
        await self._ask(query)

    async def _ask(self, question: bytes) -> None:
        self._require_connection()
        await self._connection.send(question)

    async def reconnect(
        self, host: str | None = None, port: int | None = None, *, attempts: int = 100
    ) -> None:
        """As for every client; then send all unacknowledged requests again, with their numbers."""
        await super().reconnect(host, port, attempts=attempts)
        self._long_query = not self._long_query
        # All at once: what another task sends meanwhile has higher numbers and must stand behind.
        await self._connection.send(*self._unacknowledged.messages())

    def _require_connection(self) -> None:
        if not self.connected:
            raise ConnectionResetError("not connected: reconnect first")

    async def _post_numbered(
        self, letter: str, message: bytes, tags: Mapping[int, TagValue] | None
    ) -> int:
        self._require_connection()
        user_ref = self.next_user_ref
        self.next_user_ref += 1
        await self._post(letter, user_ref, message, tags)
        return user_ref

    async def _post(
        self, letter: str, user_ref: int, message: bytes, tags: Mapping[int, TagValue] | None
    ) -> None:
        """Send a request, and remember it until it is known to have been processed."""
        self._require_connection()
        channel = int((tags or {}).get(Tag.USER_REF_INDEX, 0))
        self._unacknowledged.add(Request(letter, user_ref, channel, message))
        self._sent_since_query += 1
        await self._connection.send(message)
        if min(self._sent_since_query, len(self._unacknowledged)) >= QUERY_EVERY and self.connected:
            await self._query()

    async def _query(self) -> asyncio.Future[int]:
        """Send a query; return what will be its answer."""
        # An answer of the last connection's query may still come, and is no barrier for this one:
        # the two have different forms.
        self._sent_since_query = 0
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda each: each.cancelled() or each.exception())
        self._queries.append(answer)
        message = pack(ACCOUNT_QUERY_REQUEST, "Q")
        await self._connection.send(
            message + (_optional_appendage(None) if self._long_query else b"")
        )
        return answer

    def _arrived(self, packet: Packet, message: Message) -> None:
        if isinstance(message, ProtectionAnswer | MassQuoteAnswer):
            self._unacknowledged.acknowledge(message, message.user_ref_index)
        if not isinstance(message, ouch.OuchMessage):
            return
        channel = message.tags.get(Tag.USER_REF_INDEX, 0)
        self._unacknowledged.acknowledge(message, channel if isinstance(channel, int) else 0)
        if isinstance(message, ouch.AccountQueryResponse) and channel == 0:
            is_long = len(packet.payload) > ACCOUNT_QUERY_RESPONSE.size
            self.next_user_ref = max(self.next_user_ref, message.next_user_ref_num)
            if is_long == self._long_query and self._queries:
                waiting = self._queries.popleft()
                if not waiting.done():
                    waiting.set_result(message.next_user_ref_num)

    def _lost(self) -> None:
        while self._queries:
            waiting = self._queries.popleft()
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("lost before the answer"))


def _optional_appendage(tags: Mapping[int, TagValue] | None) -> bytes:
    """Appendage length and appendage of a request that may leave both away."""
    appendage = pack_tags(tags or {})
    return len(appendage).to_bytes(APPENDAGE_LENGTH_SIZE, "big") + appendage
