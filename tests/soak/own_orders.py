"""What a session must hear: its own orders, kept from its own requests and the answers alone.

Nothing here knows how the exchange works inside. Each message either follows from what was sent
and heard before, or is a Violation that says why not:

  - the numbers of the stream are 1, 2, 3 ...;
  - an order is accepted once, in the order of sending, with the terms it was sent with; an order
    that was sent before an accepted one and is not accepted itself is lost;
  - what is executed, cancelled and open is what was entered; nothing happens to an order that is
    done, and nothing is cancelled that nobody asked for;
  - a cancel or a replace that is passed over without a word had nothing left to do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from gateways.ouch.typed_messages import (
    AccountQueryResponse,
    OrderAccepted,
    OrderCanceled,
    OrderExecuted,
    OrderReplaced,
    SystemEvent,
)
from gateways.typed import Message

ENTER, REPLACE, CANCEL = "enter", "replace", "cancel"
IMMEDIATE = "3"
DISCONNECTED = "Z"


class Violation(AssertionError):
    """The exchange has done what it must never do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request. quantity: the total of the whole chain. user_ref of a cancel: its order's."""

    kind: str
    user_ref: int
    quantity: int
    price: Decimal = Decimal(0)
    side: str = ""
    symbol: str = ""
    time_in_force: str = "0"
    original: int = 0


@dataclass(slots=True)
class Order:
    """A live order. entered = executed + leaves: what was cancelled is not counted any more."""

    user_ref: int
    side: str
    symbol: str
    price: Decimal
    time_in_force: str
    entered: int
    executed: int
    leaves: int
    reference: int


class Ledger:
    """The trades of all sessions: each is heard twice, by a buyer and by a seller."""

    def __init__(self) -> None:
        self.trades = 0
        self.half: dict[int, tuple[str, int, Decimal]] = {}  # by match number: heard once so far

    def hear(self, side: str, message: OrderExecuted) -> None:
        """Match what a session heard with what its counterparty heard."""
        mine = (side, message.quantity, message.price)
        theirs = self.half.pop(message.match_number, None)
        if theirs is None:
            self.half[message.match_number] = mine
            return
        if theirs[0] == side or theirs[1:] != mine[1:]:
            raise Violation(f"match {message.match_number} is {theirs} to one side, {mine} to one")
        self.trades += 1


class OwnOrders:
    """The orders of one session."""

    def __init__(self, name: str, ledger: Ledger, cancelled_on_disconnect: bool = False) -> None:
        self.name = name
        self.live: dict[int, Order] = {}  # by current UserRefNum
        self.pending: deque[Wanted] = deque()  # in order of sending
        self.next_sequence = 1
        self.accepted = 0
        self.disconnected = 0  # orders that were cancelled because of it
        self._ledger = ledger
        self.cancelled_on_disconnect = cancelled_on_disconnect
        self._last_user_ref = 0
        self._last_match = (0, 0)
        self._asked: set[int] = set()  # UserRefNums that a cancel or a replace names

    def want(self, wanted: Wanted) -> None:
        """Note a request that is about to be sent."""
        self.pending.append(wanted)
        if wanted.kind != ENTER:
            self._asked.add(wanted.original or wanted.user_ref)

    def hear(self, sequence: int, message: Message) -> None:
        """Follow a message. Raise Violation."""
        self._demand(sequence == self.next_sequence, f"number {sequence}: {message}")
        self.next_sequence += 1
        match message:
            case OrderAccepted():
                self._accept(message)
            case OrderReplaced():
                self._replace(message)
            case OrderExecuted():
                self._execute(message)
            case OrderCanceled():
                self._cancel(message)
            case AccountQueryResponse():
                self._demand(message.next_user_ref_num > self._last_user_ref, f"{message}")
            case SystemEvent():
                self._demand(sequence == 1, f"{message}")
            case _:
                self._demand(False, f"{message}")

    def settle(self) -> None:
        """Nothing is on its way: every request has had its effect. Raise Violation."""
        while self.pending:
            self._pass_over(self.pending.popleft())
        for each in self.live.values():
            self._demand(each.time_in_force != IMMEDIATE, f"{each} is still there")
        self._asked.clear()

    def _accept(self, message: OrderAccepted) -> None:
        wanted = self._answered(message.user_ref_num)
        said = Wanted(
            ENTER,
            message.user_ref_num,
            message.quantity,
            message.price,
            message.side,
            message.symbol,
            message.time_in_force,
        )
        self._demand(said == wanted, f"{message} answers {wanted}")
        self.accepted += 1
        self._add(wanted, message.quantity, 0, message.order_reference_number)

    def _replace(self, message: OrderReplaced) -> None:
        wanted = self._answered(message.user_ref_num)
        before = self._live(message.original_user_ref_num, message)
        said = Wanted(
            REPLACE,
            message.user_ref_num,
            message.quantity + before.executed,
            message.price,
            message.side,
            message.symbol,
            message.time_in_force,
            message.original_user_ref_num,
        )
        self._demand(said == wanted, f"{message} of {before} answers {wanted}")
        self._remove(before)
        self._add(wanted, message.quantity, before.executed, message.order_reference_number)

    def _execute(self, message: OrderExecuted) -> None:
        order = self._live(message.user_ref_num, message)
        better = message.price <= order.price if order.side == "B" else message.price >= order.price
        self._demand(better and 0 < message.quantity <= order.leaves, f"{message} of {order}")
        place = (message.match_number, order.user_ref)
        again = message.match_number < self._last_match[0] or place == self._last_match
        self._demand(not again, f"{message} after {self._last_match}")
        self._last_match = place
        order.executed += message.quantity
        order.leaves -= message.quantity
        self._ledger.hear(order.side, message)
        if order.leaves == 0:
            self._remove(order)

    def _cancel(self, message: OrderCanceled) -> None:
        order = self._live(message.user_ref_num, message)
        self._demand(0 < message.quantity <= order.leaves, f"{message} of {order}")
        asked = {
            "U": order.user_ref in self._asked,
            "I": order.time_in_force == IMMEDIATE and message.quantity == order.leaves,
            DISCONNECTED: self.cancelled_on_disconnect and message.quantity == order.leaves,
        }
        self._demand(asked.get(message.reason, False), f"{message} of {order}: nobody asked")
        self.disconnected += message.reason == DISCONNECTED
        order.leaves -= message.quantity
        order.entered -= message.quantity
        if order.leaves == 0:
            self._remove(order)

    def _add(self, wanted: Wanted, leaves: int, executed: int, reference: int) -> None:
        self.live[wanted.user_ref] = Order(
            wanted.user_ref,
            wanted.side,
            wanted.symbol,
            wanted.price,
            wanted.time_in_force,
            leaves + executed,
            executed,
            leaves,
            reference,
        )

    def _remove(self, order: Order) -> None:
        del self.live[order.user_ref]

    def _live(self, user_ref: int, message: Message) -> Order:
        order = self.live.get(user_ref)
        self._demand(order is not None, f"{message}: there is no such live order")
        assert order is not None
        return order

    def _answered(self, user_ref: int) -> Wanted:
        """The request that has just been answered; all before it are done with."""
        self._demand(user_ref > self._last_user_ref, f"{user_ref} is answered twice")
        self._last_user_ref = user_ref
        while self.pending:
            wanted = self.pending.popleft()
            if wanted.kind != CANCEL and wanted.user_ref == user_ref:
                return wanted
            self._pass_over(wanted)
        raise Violation(f"{self.name}: {user_ref} is answered and was never sent")

    def _pass_over(self, wanted: Wanted) -> None:
        """Nothing more will be said about a request: it had nothing to do, or is done."""
        self._demand(wanted.kind != ENTER, f"lost: {wanted}")
        order = self.live.get(wanted.original or wanted.user_ref)
        done = order is None or (wanted.kind == CANCEL and order.entered <= wanted.quantity)
        self._demand(done, f"without effect: {wanted} of {order}")

    def _demand(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Violation(f"{self.name}: {otherwise} (due is message {self.next_sequence})")
