"""Pages of price levels are few here: who needs one more is told so, and what was freed counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ringbuf.broadcast import RECORDED, Broadcast
from shm_exchange.market import INSTRUMENT, NODES_PER_PAGE, Market, create_market
from shm_exchange.messages import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    SLOT_BITS,
    CommandKind,
    EventKind,
    Reject,
)
from shm_exchange.tape import play
from tests.differential.book_walk import pages_in_use
from tests.differential.translation import Bench
from tests.oracle.exchange import Request
from tests.oracle.quotes import Quote, Side
from tests.oracle.streams import SOURCES, WIDE, new_exchange, opening

SOURCE = SOURCES[0]
BASE = SOURCE << SLOT_BITS
PRICES = [WIDE[0] + 64 * n for n in range(1, 9)]  # each in a page of its own
NO_CAPACITY = int(Reject.NO_CAPACITY)
PAGES = 20


class Pages:
    """A market with so many pages."""

    def __init__(self, pages: int) -> None:
        self.bench = Bench(new_exchange())
        market = self.bench.market
        words = market.leaf_words[: 1 + pages]  # the first one is never used
        self.bench.market = market._replace(leaf_words=words)
        self.user_ref = 0
        for request in opening():
            self.bench.execute(request)

    def enter(self, price: int) -> tuple[Any, ...]:
        """A bid; its slot is as its number. What is said of it."""
        self.user_ref += 1
        terms = {"instrument": 1, "price": price, "quantity": 1}
        slot = BASE | self.user_ref
        about = {"source": SOURCE, "slot": slot, "user_ref": self.user_ref}
        (said,) = self.bench.execute(Request("enter", **about, **terms))
        return said

    def cancel(self, number: int) -> None:
        """The order that was entered as `number`."""
        about = {"source": SOURCE, "slot": BASE | number, "user_ref": number}
        (said,) = self.bench.execute(Request("cancel", **about, reason=ord("U")))
        assert said[0] == "cancelled"

    def fill(self, pages: int) -> None:
        """An order in each of the first pages."""
        for price in PRICES[:pages]:
            assert self.enter(price)[0] == "accepted"


class OneSession:
    """Bids for one lot at a price of 5, each in another instrument."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._ring = Broadcast(np.zeros(32, np.int64), np.zeros(64, EVENT_DTYPE))
        self._user_ref = 0
        self._live: list[int] = []
        self._do(CommandKind.LOGIN, 0)

    def _do(self, kind: CommandKind, user_ref: int, **fields: int) -> tuple[int, int]:
        command = np.zeros(1, COMMAND_DTYPE)
        said = {"generation": int(kind != CommandKind.LOGIN), "slot": BASE | user_ref, **fields}
        about = {"kind": kind, "user_ref": user_ref, "time_in_force": ord("0"), "display": ord("Y")}
        for name, value in (about | said).items():
            command[name] = value
        position = int(self._market.scalars[0]["position"])
        self._ring.cursors[RECORDED] = position
        play(self._market, command, 0, 1, SOURCE, self._ring, position, 1)
        event = self._ring.records[position & (len(self._ring.records) - 1)]
        return int(event["kind"]), int(event["reason"])

    def enter(self, instrument: int) -> tuple[int, int]:
        """Kind and reason of what is said of it."""
        self._user_ref += 1
        terms = {"instrument": instrument, "side": ord("B"), "price": 5, "quantity": 1}
        said = self._do(CommandKind.ENTER, self._user_ref, **terms)
        if said[0] == EventKind.ACCEPTED:
            self._live.append(self._user_ref)
        return said

    def cancel_all(self) -> None:
        """One by one."""
        for user_ref in self._live:
            said = self._do(CommandKind.CANCEL, user_ref, reason=ord("U"))
            assert said == (EventKind.CANCELLED, ord("U"))
        self._live.clear()


@pytest.mark.parametrize("pages", [1, 3])
def test_an_order_is_rejected_when_no_page_is_left(pages: int) -> None:
    """Until one is free again; in a page that is there others are still taken."""
    made = Pages(pages)
    made.fill(pages)
    assert made.enter(PRICES[pages])[:3] == ("rejected", "enter", NO_CAPACITY)
    assert made.enter(PRICES[0])[:3] == ("rejected", "enter", NO_CAPACITY)  # it is not looked for
    made.cancel(1)
    assert pages_in_use(made.bench.market)[0] == pages - 1
    assert made.enter(PRICES[pages])[0] == "accepted"
    assert made.enter(PRICES[pages + 1])[:3] == ("rejected", "enter", NO_CAPACITY)


def test_a_mass_quote_takes_pages_that_were_freed() -> None:
    """All pages were used once; what counts is how many are used now."""
    made = Pages(2)
    made.fill(2)
    bid, ask = Side(BASE | 20, PRICES[2], 1), Side(BASE | 21, PRICES[3], 1)
    request = Request("mass quote", source=SOURCE, quotes=(Quote(1, 1, bid, ask),))
    said = made.bench.execute(request._replace(user_ref=10))
    assert said[0][:3] == ("rejected", "mass quote", NO_CAPACITY)
    made.cancel(1)
    made.cancel(2)
    said = made.bench.execute(request._replace(user_ref=13))
    assert [each[0] for each in said] == ["quoted", "accepted", "accepted"]


def test_inner_nodes_are_never_short() -> None:
    """Each order needs four of them for itself, as many as there can be; twice over."""
    rows = np.zeros(PAGES, INSTRUMENT.dtype)
    rows["price_max"], rows["quantity_max"], rows["state"] = (1 << 31) - 1, 1, ord("T")
    market = create_market(
        rows, 1, gateway_count=SOURCE + 1, slots_per_gateway=4 * PAGES, page_limit=1 + PAGES
    )
    exchange = OneSession(market)
    for _ in range(2):
        entered = [exchange.enter(number) for number in range(PAGES)]
        assert entered == [(EventKind.ACCEPTED, 0)] * PAGES
        assert pages_in_use(market) == (PAGES, NODES_PER_PAGE * PAGES)
        assert exchange.enter(0) == (EventKind.REJECTED, NO_CAPACITY)
        exchange.cancel_all()
        assert pages_in_use(market) == (0, 0)
