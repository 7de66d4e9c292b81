"""Goal: a session's own book believes what can be, and names what cannot.

Method: conversations of a few messages. Each violation is one change to a good conversation.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateways.ouch.typed_messages import (
    AccountQueryResponse,
    OrderAccepted,
    OrderCanceled,
    OrderExecuted,
    OrderReplaced,
)
from gateways.typed import Message
from tests.soak.own_orders import CANCEL, ENTER, REPLACE, Ledger, OwnOrders, Violation, Wanted

TEN = Decimal(10)
ORDER = Wanted(ENTER, 1, 100, TEN, "B", "A01")
SECOND = Wanted(ENTER, 2, 50, TEN, "B", "A01")
REPLACEMENT = Wanted(REPLACE, 2, 80, TEN, "B", "A01", original=1)
CANCELLATION = Wanted(CANCEL, 1, 0)


def accepted(user_ref: int, quantity: int, price: Decimal = TEN) -> OrderAccepted:
    """`A` of a buy order."""
    return OrderAccepted(
        0, user_ref, "B", quantity, "A01", price, "0", "Y", user_ref, "P", "N", "N", "L", ""
    )


def replaced(quantity: int) -> OrderReplaced:
    """`U` from 1 to 2."""
    return OrderReplaced(
        0, 1, 2, "B", quantity, "A01", TEN, "0", "Y", 9, "P", "N", "N", "L", ""
    )  # fmt: skip


def executed(quantity: int, match: int = 5, user_ref: int = 1) -> OrderExecuted:
    """`E`."""
    return OrderExecuted(0, user_ref, quantity, TEN, "A", match)


def cancelled(quantity: int, reason: str = "U") -> OrderCanceled:
    """`C` of the first order."""
    return OrderCanceled(0, 1, quantity, reason)


def converse(wanted: list[Wanted], heard: list[Message], first: int = 1) -> OwnOrders:
    """A book that has sent and heard this, and is settled."""
    book = OwnOrders("S01", Ledger())
    for request in wanted:
        book.want(request)
    for sequence, message in enumerate(heard, first):
        book.hear(sequence, message)
    book.settle()
    return book


def test_what_can_be() -> None:
    """Accepted, executed in part, replaced; a cancel that comes too late is passed over."""
    answers = [accepted(1, 100), executed(30), replaced(50), AccountQueryResponse(0, 3)]
    book = converse([ORDER, REPLACEMENT, CANCELLATION], answers)
    (order,) = book.live.values()
    assert (order.user_ref, order.entered, order.executed, order.leaves) == (2, 80, 30, 50)
    assert not converse([ORDER, CANCELLATION], [accepted(1, 100), cancelled(100)]).live


@pytest.mark.parametrize(
    ("wanted", "heard", "reason"),
    [
        ([ORDER], [], "lost"),
        ([ORDER, SECOND], [accepted(2, 50)], "lost"),
        ([ORDER], [accepted(1, 100), accepted(1, 100)], "answered twice"),
        ([ORDER], [accepted(2, 100)], "lost"),
        ([], [accepted(1, 100)], "never sent"),
        ([ORDER], [accepted(1, 99)], "answers"),
        ([ORDER], [accepted(1, 100, Decimal(9))], "answers"),
        ([ORDER], [accepted(1, 100), executed(101)], "of Order"),
        ([ORDER], [accepted(1, 100), executed(50), executed(50)], "after"),
        ([ORDER], [accepted(1, 100), executed(100), executed(1, 6)], "no such live order"),
        ([ORDER], [accepted(1, 100), cancelled(100)], "nobody asked"),
        ([ORDER], [accepted(1, 100), cancelled(100, "Z")], "nobody asked"),
        ([ORDER, CANCELLATION], [accepted(1, 100)], "without effect"),
        ([ORDER, REPLACEMENT], [accepted(1, 100)], "without effect"),
        ([ORDER, REPLACEMENT], [accepted(1, 100), executed(30), replaced(80)], "answers"),
        ([ORDER, SECOND], [accepted(1, 100), AccountQueryResponse(0, 1)], "next_user_ref_num=1"),
    ],
)
def test_what_cannot_be(wanted: list[Wanted], heard: list[Message], reason: str) -> None:
    """One sentence that names it."""
    with pytest.raises(Violation, match=reason):
        converse(wanted, heard)


def test_numbers_have_no_gap_and_no_repeat() -> None:
    """Any other number than the next one."""
    for first in (0, 2):
        with pytest.raises(Violation, match=f"number {first}"):
            converse([ORDER], [accepted(1, 100)], first)


def test_a_trade_has_two_sides() -> None:
    """Buyer and seller hear the same, once each."""
    ledger = Ledger()
    ledger.hear("B", executed(10))
    assert ledger.half and not ledger.trades
    with pytest.raises(Violation, match="match 5"):
        ledger.hear("S", executed(11))
    ledger.hear("B", executed(10))
    ledger.hear("S", executed(10))
    assert not ledger.half and ledger.trades == 1
