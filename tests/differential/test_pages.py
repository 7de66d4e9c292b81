"""Pages of price levels are few here: who needs one more is told so, and what was freed counts."""

from __future__ import annotations

from typing import Any

import pytest

from shm_exchange.messages import SLOT_BITS, Reject
from tests.differential.book_walk import pages_in_use
from tests.differential.translation import Bench
from tests.oracle.exchange import Request
from tests.oracle.quotes import Quote, Side
from tests.oracle.streams import SOURCES, WIDE, new_exchange, opening

SOURCE = SOURCES[0]
BASE = SOURCE << SLOT_BITS
PRICES = [WIDE[0] + 64 * n for n in range(1, 9)]  # each in a page of its own
NO_CAPACITY = int(Reject.NO_CAPACITY)


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
