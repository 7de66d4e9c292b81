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

from enum import StrEnum
from typing import Self

from gateways.client_connection import LoginRejected, Sequenced
from gateways.client_feed import BookIncomplete, ItchClient
from gateways.client_quotes import QuoteClient
from gateways.client_requests import DropCopySession, optional_appendage
from gateways.feed_book import Book, Level
from gateways.ouch import typed_messages as ouch
from gateways.ouch import typed_private as private
from gateways.ouch.messages import CANCEL_REQUEST, ENTER_ORDER, MODIFY_REQUEST, REPLACE_REQUEST
from gateways.ouch.private_messages import (
    LIMITS_QUERY,
    OPEN_ORDERS_QUERY,
    SHARES_AHEAD_QUERY,
)
from gateways.ouch.tag_text import Tags, channel_of, pack_tags
from gateways.ouch.tags import Tag
from gateways.sessions import PeerError
from gateways.typed import Message, Price, Unknown, pack, to_price
from gateways.unacknowledged import Request

__all__ = [
    "Book",
    "BookIncomplete",
    "MARKET_PRICE",
    "DropCopySession",
    "ItchClient",
    "Level",
    "LoginRejected",
    "Message",
    "OuchClient",
    "PeerError",
    "Request",
    "Sequenced",
    "Side",
    "Tag",
    "TimeInForce",
    "Unknown",
]

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

    Every request raises ValueError, which names the value, when the exchange could not read it,
    DropCopySession when the session is known to be a drop copy, and ConnectionError without a
    connection. Nothing is sent then, no number is used up and nothing is sent again. Should a
    request end the connection all the same (the first one of a drop copy that has heard nothing
    yet), `forget` keeps `reconnect` from sending it again; `unacknowledged_requests` has it.

    `next_user_ref` is the number that the next request will get; each channel (tag 28) has numbers
    of its own (`next_user_ref_in`). They must grow for as long as the session lives:
    `account_query` finds the next one of a channel after a restart of the client.
    """

    catalogue = {**ouch.MESSAGES, **private.MESSAGES}

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
        """Log in. Raise LoginRejected, PeerError, OSError, or ValueError for what cannot be asked.

        session: id of a stream; blank: the gateway's first engine. sequence: number of the first
        message wanted; 1: the whole stream again, 0: only what is new. next_user_ref: of channel
        0. heartbeat_timeout_ms: how much silence the server shall bear (SoupBinTCP 4.10), 0 to
        99,999; the exchange keeps it within 1,000 and 60,000.
        """
        client = cls(host, port, username, password, heartbeat_timeout_ms)
        client.next_user_ref = next_user_ref
        await client._open(session, sequence)
        return client

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
        tags: Tags | None = None,
    ) -> int:
        """Send an order; return its UserRefNum. Answered by OrderAccepted or Rejected."""
        appendage, channel = pack_tags(tags), channel_of(tags)
        message = pack(
            ENTER_ORDER,
            "O",
            user_ref_num=self.next_user_ref_in(channel),
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
        return await self._post_numbered("O", message + appendage, channel)

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
        tags: Tags | None = None,
    ) -> int:
        """Replace an order; return the new UserRefNum. Its priority is lost.

        quantity: total of the whole chain, what was executed included. Answered by OrderReplaced,
        OrderCanceled or Rejected; by nothing when the original is not live any more.
        """
        appendage, channel = pack_tags(tags), channel_of(tags)
        message = pack(
            REPLACE_REQUEST,
            "U",
            original_user_ref_num=original_user_ref,
            user_ref_num=self.next_user_ref_in(channel),
            quantity=quantity,
            price=to_price(price),
            time_in_force=time_in_force,
            display=display,
            sweep="Y" if sweep else "N",
            client_order_id=client_order_id,
            appendage_length=len(appendage),
        )
        return await self._post_numbered("U", message + appendage, channel)

    async def cancel(self, user_ref: int, quantity: int = 0, *, tags: Tags | None = None) -> None:
        """Cancel an order, or reduce it so that its chain never executes more than `quantity`.

        Answered by OrderCanceled; by nothing when there is nothing to cancel.
        """
        message = pack(CANCEL_REQUEST, "X", user_ref_num=user_ref, quantity=quantity)
        await self._post("X", user_ref, message + optional_appendage(tags), channel_of(tags))

    async def modify(
        self,
        user_ref: int,
        side: str,
        quantity: int,
        *,
        tags: Tags | None = None,
    ) -> None:
        """Change the side among the selling ones, or reduce the total. Priority is kept.

        Answered by OrderModified; by nothing when nothing can be modified.
        """
        message = pack(MODIFY_REQUEST, "M", user_ref_num=user_ref, side=side, quantity=quantity)
        await self._post("M", user_ref, message + optional_appendage(tags), channel_of(tags))

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
