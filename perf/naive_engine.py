"""Shell: a matching engine as one writes it in an afternoon: the baseline of the matcher.

Plain Python: a dictionary of price levels, a double-ended queue in each, a heap of prices on each
side. It does what the flows need (enter, immediate or cancel, cancel, modify) and reports nothing.
"""

from __future__ import annotations

import heapq
from collections import deque

from shm_exchange.flow import CANCEL, MODIFY, Flow


class NaiveEngine:
    """Price-time priority with the standard library."""

    def __init__(self) -> None:
        self.trades = 0
        self._levels: tuple[dict[int, deque[int]], dict[int, deque[int]]] = ({}, {})
        self._heaps: tuple[list[int], list[int]] = ([], [])  # keys: the smaller is the better
        self._orders: dict[int, list[int]] = {}  # id -> side, key, quantity

    def enter(self, order: int, side: int, price: int, quantity: int, *, rests: bool) -> None:
        """Trade what can be traded; rest the remainder."""
        limit = price if side == 0 else -price
        other, heap = self._levels[1 - side], self._heaps[1 - side]
        while quantity and heap and heap[0] <= limit:
            queue = other.get(heap[0])
            while queue and quantity:
                maker = self._orders.get(queue[0])
                if maker is None or maker[1] != heap[0]:
                    queue.popleft()
                    continue
                traded = min(quantity, maker[2])
                self.trades += 1
                quantity -= traded
                maker[2] -= traded
                if not maker[2]:
                    del self._orders[queue.popleft()]
            if not queue:
                other.pop(heapq.heappop(heap), None)
        if quantity and rests:
            key = -price if side == 0 else price
            level = self._levels[side].get(key)
            if level is None:
                level = self._levels[side][key] = deque()
                heapq.heappush(self._heaps[side], key)
            level.append(order)
            self._orders[order] = [side, key, quantity]

    def cancel(self, order: int) -> list[int] | None:
        """Take an order out: what it was, or None."""
        found = self._orders.pop(order, None)
        if found is not None:
            level = self._levels[found[0]].get(found[1])
            if level is not None and order in level:
                level.remove(order)
        return found

    def play(self, flow: Flow, count: int) -> None:
        """The first `count` messages of a flow."""
        rows = zip(
            flow.kind[:count].tolist(),
            flow.side[:count].tolist(),
            flow.ioc[:count].tolist(),
            flow.quantity[:count].tolist(),
            flow.order_id[:count].tolist(),
            flow.price_ticks[:count].tolist(),
            strict=True,
        )
        for kind, side, ioc, quantity, order, price in rows:
            if kind == CANCEL:
                self.cancel(order)
            elif kind == MODIFY:
                found = self.cancel(order)
                if found is not None:
                    self.enter(order, found[0], price, quantity, rests=True)
            else:
                self.enter(order, side, price, quantity, rests=not ioc)
