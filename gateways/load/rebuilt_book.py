"""Kernel: the book of one instrument, rebuilt from the feed.

Orders are known by their reference number. The directory (`R`) tells the stock locate of the
symbol, so the feed has to be read from its first message. `faults` counts what no correct feed
says: an order that is not there, or more shares taken than it has.
"""

from typing import NamedTuple

import numpy as np

from gateways.itch.codec import (
    ADD,
    ADD_ATTRIBUTED,
    CANCEL,
    DELETE,
    DIRECTORY,
    EXECUTED,
    EXECUTED_WITH_PRICE,
    REPLACE,
)
from gateways.order_index import (
    OrderIndex,
    create_order_index,
    find_order,
    insert_order,
    remove_order,
)
from ringbuf.bits import at
from ringbuf.jit import kernel
from ringbuf.schema import Field, Record
from ringbuf.state import State
from shm_exchange.market import sparse

# Subscripts of RebuiltBook.words
COUNT = 0  # messages of the feed so far
LOCATE = 1  # stock locate of the symbol, 0 = not told yet
SYMBOL = 2  # raw
FREE = 3  # first free row, or 0
USED = 4  # rows from here on were never used
FAULTS = 5
TRADES = 6
WORD_COUNT = 8

FEED_ORDER = Record(
    name="feed_order",
    size=48,
    doc="A displayed order as the feed tells it.",
    fields=(
        Field("reference", "i8"),
        Field("added", "i8", doc="number of the feed's message that put it where it is"),
        Field("price", "i8", doc="units of 0.0001"),
        Field("shares", "i8", doc="0: the row is free"),
        Field("side", "i8", doc="`B` `S`"),
        Field("next", "i8", doc="of a free row: the next free one"),
    ),
)


@State.register
class RebuiltBook(NamedTuple):
    """Private to its driver."""

    places: OrderIndex  # reference number -> row
    orders: np.ndarray  # FEED_ORDER[limit + 1]; row 0 is no order
    words: np.ndarray  # int64[8]


def create_rebuilt_book(symbol: int, limit: int) -> RebuiltBook:
    """An empty book of a raw symbol, for at most `limit` orders."""
    book = RebuiltBook(
        places=create_order_index(1 << (2 * limit).bit_length()),
        orders=sparse(FEED_ORDER.dtype, limit + 1),
        words=np.zeros(WORD_COUNT, np.int64),
    )
    book.words[SYMBOL] = symbol
    book.words[USED] = 1
    return book


@kernel
def _add(book, reference, side, price, shares):
    row = book.words[FREE]
    if row:
        book.words[FREE] = book.orders[at(row)]["next"]
    elif book.words[USED] < len(book.orders):
        row = book.words[USED]
        book.words[USED] = row + 1
    if row == 0 or not insert_order(book.places, reference, row):
        book.words[FAULTS] += 1
        return
    order = book.orders[at(row)]
    order["reference"] = reference
    order["added"] = book.words[COUNT]
    order["price"] = price
    order["shares"] = shares
    order["side"] = side


@kernel
def _remove(book, reference, row):
    remove_order(book.places, reference, row)
    order = book.orders[at(row)]
    order["shares"] = 0
    order["next"] = book.words[FREE]
    book.words[FREE] = row


@kernel
def _take(book, reference, shares):
    row = find_order(book.places, reference)
    if row == 0 or book.orders[at(row)]["shares"] < shares:
        book.words[FAULTS] += 1
        return
    order = book.orders[at(row)]
    order["shares"] = order["shares"] - shares
    if order["shares"] == 0:
        _remove(book, reference, row)


@kernel
def _replace(book, message):
    original = message["original_reference"]
    row = find_order(book.places, original)
    if row == 0:
        book.words[FAULTS] += 1
        return
    side = book.orders[at(row)]["side"] + 0
    _remove(book, original, row)
    price, shares = np.int64(message["price"]), np.int64(message["shares"])
    _add(book, message["reference"], side, price, shares)


@kernel
def follow_feed(book, message):
    """Apply one message of the feed, an ITCH_MESSAGE row. Every message must come here."""
    book.words[COUNT] += 1
    kind = message["type"]
    locate = np.int64(message["stock_locate"])
    if kind == DIRECTORY and message["symbol"] == book.words[SYMBOL]:
        book.words[LOCATE] = locate
        return
    if locate == 0 or locate != book.words[LOCATE]:
        return
    reference = message["reference"]
    shares = np.int64(message["shares"])
    if kind == ADD or kind == ADD_ATTRIBUTED:
        _add(book, reference, np.int64(message["side"]), np.int64(message["price"]), shares)
    elif kind == EXECUTED or kind == EXECUTED_WITH_PRICE:
        book.words[TRADES] += 1
        _take(book, reference, shares)
    elif kind == CANCEL:
        _take(book, reference, shares)
    elif kind == DELETE:
        row = find_order(book.places, reference)
        if row:
            _remove(book, reference, row)
        else:
            book.words[FAULTS] += 1
    elif kind == REPLACE:
        _replace(book, message)
