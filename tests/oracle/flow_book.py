"""The report stream of a flow, naively: a price-time book of lists, a few lines per rule.

Columns in, text out; no slots, no sessions, no arrays.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

NEW, CANCEL, MODIFY, REDUCE = 0, 1, 2, 3


class FlowBook:
    """Orders are lists [price, arrival, order_id, side, quantity], sorted best first."""

    def __init__(self) -> None:
        self.sides: tuple[list[list[int]], list[list[int]]] = ([], [])
        self.resting: dict[int, list[int]] = {}
        self.reports: list[tuple[int, ...]] = []  # (type, sequence, values...)
        self.arrivals = 0

    def match(self, sequence: int, order: list[int], *, ioc: bool) -> None:
        """Trade, then rest or cancel what is left."""
        _, _, order_id, side, _ = order
        other = self.sides[1 - side]
        while order[4] and other and (order[0] - other[0][0]) * (1 - 2 * side) >= 0:
            maker = other[0]
            quantity = min(maker[4], order[4])
            maker[4] -= quantity
            order[4] -= quantity
            self.reports.append((1, sequence, maker[0], quantity, maker[2], order_id))
            if not maker[4]:
                del other[0]
                del self.resting[maker[2]]
        if order[4] and ioc:
            self.reports.append((2, sequence, side, order_id, order[0]))
        elif order[4]:
            sign = 2 * side - 1  # the best sell is the lowest
            insort(self.sides[side], order, key=lambda each: (sign * each[0], each[1]))
            self.resting[order_id] = order

    def take(
        self, kind: int, side: int, ioc: int, quantity: int, order_id: int, price: int
    ) -> None:
        """One message; its sequence is how many came before."""
        sequence = self.arrivals
        self.arrivals += 1
        if kind == NEW:
            self.reports.append((0, sequence, side, order_id, price, quantity))
            self.match(sequence, [price, sequence, order_id, side, quantity], ioc=bool(ioc))
            return
        order = self.resting.get(order_id)
        if order is None:
            self.reports.append((5 if kind == MODIFY else 4, sequence, order_id))
            return
        side = order[3]
        if kind == REDUCE and order[4] > quantity:
            order[4] -= quantity
            self.reports.append((3, sequence, side, order_id, order[0], order[4]))
            return
        self.sides[side].remove(order)
        del self.resting[order_id]
        if kind == MODIFY:
            self.reports.append((3, sequence, side, order_id, price, quantity))
            self.match(sequence, [price, sequence, order_id, side, quantity], ioc=False)
        else:
            self.reports.append((2, sequence, side, order_id, order[0]))


def flow_book(columns: Sequence[Sequence[int]]) -> FlowBook:
    """The book after a flow. columns: kind, side, ioc, quantity, order_id, price."""
    book = FlowBook()
    for message in zip(*columns, strict=True):
        book.take(*message)
    return book


def canonical_lines(book: FlowBook) -> list[str]:
    """The report stream, sorted by (sequence, type), events of equal rank as they happened."""
    ordered = sorted(book.reports, key=lambda report: (report[1], report[0]))
    return [",".join(map(str, report)) for report in ordered]
