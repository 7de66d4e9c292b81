"""Goal: the tables of a view's replica are the matcher's book, and nothing is shown that differs.

Method: a flow matched in this process, its events through a ring; levels and orders are counted
once more with dictionaries. (`tests/process/test_live_view.py` does so with a live exchange.)
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from ringbuf.broadcast import NO_GATE, PUBLISHED, RECORDED, Broadcast
from ringbuf.layout import BROADCAST_CURSORS, WORD_SIZE
from shm_exchange.config import built_in
from shm_exchange.errors import ExchangeError
from shm_exchange.flow import generate
from shm_exchange.flow_commands import Player, tape_of
from shm_exchange.journal_segment import Owner
from shm_exchange.market import RESTING, Market
from shm_exchange.messages import COMMAND_NEXT_BITS, EVENT_DTYPE, CommandFlag
from shm_exchange.snapshot import live_slots
from shm_exchange.view_replica import Replica

MESSAGES = 500
CAPACITY = 4_096
OWNER = Owner.of(77, 1)
ENGINE_BITS = 1 << COMMAND_NEXT_BITS


@lru_cache(maxsize=1)
def matched() -> tuple[bytes, Market]:
    """The events of a flow, and the market at its end."""
    tape = tape_of(generate(MESSAGES, seed=3))
    player = Player(tape)
    return b"".join(part.tobytes() for part in player.until(len(tape.commands))), player.market


@pytest.fixture
def ring() -> Broadcast:
    """A ring that holds all events; half of them are published."""
    data = np.frombuffer(matched()[0], np.uint8)
    made = Broadcast(
        cursors=np.zeros(BROADCAST_CURSORS.size // WORD_SIZE, np.int64),
        records=np.zeros(CAPACITY, EVENT_DTYPE),
    )
    made.records.view(np.uint8)[: len(data)] = data
    made.cursors[RECORDED] = NO_GATE
    made.cursors[PUBLISHED] = count() // 2
    return made


def count() -> int:
    """How many events there are."""
    return len(matched()[0]) // EVENT_DTYPE.itemsize


@pytest.fixture
def replica(ring: Broadcast, tmp_path: Path) -> Replica:
    """Half-way."""
    return Replica(built_in(), 1, tmp_path, OWNER, ring)


def levels(market: Market, *, is_bid: bool) -> list[tuple[int, int, int]]:
    """(price, lots, orders), the best first, one order after the other."""
    found: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for order in market.orders[live_slots(market)]:
        if order["state"] == RESTING and (order["side"] == ord("B")) == is_bid:
            level = found[int(order["price"])]
            level[0] += int(order["displayed"])
            level[1] += 1
    return [(price, *found[price]) for price in sorted(found, reverse=is_bid)]


def rows(table: np.ndarray) -> list[tuple[int, ...]]:
    """A side of a view's book in the same form."""
    return [tuple(map(int, row)) for row in table[["price_ticks", "quantity", "orders"]].tolist()]


def test_it_follows_to_the_matchers_book(replica: Replica, ring: Broadcast) -> None:
    """Position, both sides, any depth; every order under its reference."""
    assert replica.position == count() // 2
    ring.cursors[PUBLISHED] = count()
    assert replica.follow() == count() - count() // 2
    assert (replica.position, replica.follow()) == (count(), 0)
    market = matched()[1]
    book = replica.book("AAPL")
    assert len(book.bids) > 2 and len(book.asks) > 2
    assert rows(book.bids) == levels(market, is_bid=True)
    assert rows(book.asks) == levels(market, is_bid=False)
    assert rows(replica.book("AAPL", 2).asks) == rows(book.asks)[:2]
    assert book.bids["price"] == pytest.approx(book.bids["price_ticks"] * 0.01)
    orders = replica.orders()
    slots = live_slots(market)
    wanted = sorted(
        (int(each["reference"]) | ENGINE_BITS, int(each["leaves"])) for each in market.orders[slots]
    )
    assert [(int(each["reference"]), int(each["leaves"])) for each in orders] == wanted
    assert set(orders["symbol"]) == {"AAPL"} and set(orders["session"]) == {"T001"}
    assert set(orders["side"]) == {"B", "S"}


def test_other_instruments_are_apart(replica: Replica) -> None:
    """An instrument without orders has an empty book; one that is not there is named."""
    book = replica.book("TEST")
    assert len(book.bids) == len(book.asks) == len(replica.orders("TEST")) == 0
    assert len(replica.orders("AAPL")) == len(replica.orders()) > 0
    with pytest.raises(ExchangeError, match="no instrument IBM; it has AAPL"):
        replica.book("IBM")


def test_hidden_lots_are_counted_when_asked_for(replica: Replica) -> None:
    """A hidden order, and what a reserve order does not show."""
    slots = live_slots(replica.market)
    hidden, reserve = slots[0], slots[-1]
    replica.market.orders["flags"][hidden] |= CommandFlag.HIDDEN
    replica.market.orders["displayed"][reserve] = 1
    replica.market.orders["leaves"][reserve] = 9
    shown = {int(row["reference"]): int(row["displayed"]) for row in replica.orders()}
    references = replica.market.orders["reference"][[hidden, reserve]] | ENGINE_BITS
    assert [shown[int(each)] for each in references] == [0, 1]
    seen, everything = replica.book("AAPL"), replica.book("AAPL", hidden=True)
    difference = sum(
        int(side["quantity"].sum()) * sign
        for book, sign in ((everything, 1), (seen, -1))
        for side in book
    )
    assert difference == 8 + int(replica.market.orders["leaves"][hidden])


def test_what_differs_is_not_shown(replica: Replica) -> None:
    """As soon as a state hash was not ours, nothing is."""
    replica.market.scalars["differs"] = 41
    for ask in (replica.follow, replica.orders, lambda: replica.book("AAPL")):
        with pytest.raises(ExchangeError, match="differs from the matcher's market at position 41"):
            ask()
