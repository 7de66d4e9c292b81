"""A feed log of a real event stream, and the book that its messages make."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from itch.messages import (
    AddOrderMPIDAttribution,
    AddOrderNoMPIAttributionMessage,
    MarketMessage,
    OrderCancelMessage,
    OrderDeleteMessage,
    OrderExecutedMessage,
    OrderReplaceMessage,
)
from itch.parser import MessageParser
from meatpy.itch50 import ITCH50MarketProcessor
from meatpy.itch50.itch50_market_message import ITCH50MarketMessage

from gateways.itch.feed_log import FeedLog, append
from gateways.itch.log_file import create_feed_log, extend
from gateways.itch.outbound import KNOWN_WORDS, note
from ringbuf.jit import kernel
from shm_exchange.market import Market
from shm_exchange.replica import apply

sys.path.append(str(Path(__file__).parents[1] / "shm_exchange"))
from journal_cases import events, fresh_market  # noqa: E402

PRICE_SCALE = 10_000
FIRM = int.from_bytes(b"ACME", "little")
Order = tuple[str, int, int]  # side, price, shares
Book = dict[int, Order]  # by reference number, in the order in which they came


@kernel
def _append(market, rows, first, last, log, known):
    for index in range(first, last):
        note(market, rows[index], known)
        apply(market, rows, index, index)
        append(log, rows[index], index, market, known)


class Feed:
    """The market of the flow, and its feed, as far as it has been played."""

    def __init__(self, directory: Path) -> None:
        self.market: Market = fresh_market()
        self.log: FeedLog = create_feed_log(directory, 1 << 24)
        self.market.sessions["firm"] = FIRM
        self._known = np.zeros(KNOWN_WORDS, np.int64)
        assert extend(self.log)

    def play(self, last: int) -> None:
        """Everything before position `last`."""
        first = int(self.market.scalars[0]["position"])
        _append(self.market, events(), first, last, self.log, self._known)


def messages_of(data: bytes) -> list[bytes]:
    """The messages in SoupBinTCP packets, all of them sequenced."""
    found, start = [], 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 2], "big")
        assert data[start + 2 : start + 3] == b"S"
        found.append(data[start + 3 : start + 2 + size])
        start += 2 + size
    return found


def follow(book: Book, message: MarketMessage) -> None:
    """Change the book as a message says that `itchfeed` has read."""
    if isinstance(message, AddOrderNoMPIAttributionMessage | AddOrderMPIDAttribution):
        side = message.buy_sell_indicator.decode()
        price = round(message.decode_price("price") * PRICE_SCALE)
        assert message.shares > 0 and message.order_reference_number not in book
        book[message.order_reference_number] = (side, price, message.shares)
    elif isinstance(message, OrderReplaceMessage):
        side, _, _ = book.pop(message.order_reference_number)
        price = round(message.decode_price("price") * PRICE_SCALE)
        book[message.new_order_reference_number] = (side, price, message.shares)
    elif isinstance(message, OrderDeleteMessage):
        del book[message.order_reference_number]
    elif isinstance(message, OrderExecutedMessage | OrderCancelMessage):
        cancelled = isinstance(message, OrderCancelMessage)
        less = message.cancelled_shares if cancelled else message.executed_shares
        side, price, shares = book[message.order_reference_number]
        assert shares >= less > 0
        book[message.order_reference_number] = (side, price, shares - less)
        if shares == less:
            del book[message.order_reference_number]


def read(book: Book, messages: list[bytes]) -> Book:
    """The same book after the messages of one instrument."""
    parser = MessageParser()
    for each in messages:
        follow(book, parser.get_message_type(each))
    return book


def queues(book: Book) -> list[tuple[int, Order]]:
    """The orders by side and price, each price in the order of its queue."""
    return sorted(book.items(), key=lambda item: item[1][:2])  # sorting is stable


Levels = list[tuple[str, int, list[tuple[int, int]]]]  # side, price, (reference, shares) of a queue


def as_levels(orders: Book) -> Levels:
    """The queues of a book."""
    found: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for reference, (side, price, shares) in queues(orders):
        found.setdefault((side, price), []).append((reference, shares))
    return [(side, price, queue) for (side, price), queue in found.items()]


def by_meatpy(messages: Iterable[bytes], symbol: str) -> Levels:
    """The same of the book that `meatpy` rebuilds from the feed.

    It raises on an execution that is out of turn, and on an order that is not there.
    """
    processor: Any = ITCH50MarketProcessor(symbol, datetime.datetime(2026, 1, 1))
    for each in messages:
        processor.process_message(ITCH50MarketMessage.from_bytes(each))
    lob = processor.current_lob
    return [
        (side, level.price, [(order.order_id, order.volume) for order in level.queue])
        for side, levels in (("B", lob.bid_levels), ("S", lob.ask_levels))
        for level in sorted(levels, key=lambda level: int(level.price))
    ]
