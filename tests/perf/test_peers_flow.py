"""Goal: what an engine of somebody else is asked to do with a flow is what the flow says.

Method: the naive engine in the place of a peer must trade as many lots as the matcher does; a
package that is not there is named, with the command that installs it.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from perf.flow_events import events_of
from perf.naive_engine import NaiveEngine
from perf.peers import PeerMissingError, package, play
from shm_exchange.flow import generate
from shm_exchange.flow_commands import tape_of
from shm_exchange.messages import EventKind


class NaivePeer:
    """Price-time priority, with numbers of its own as handles."""

    def __init__(self) -> None:
        self._engine = NaiveEngine()
        self._numbers = count(1)

    def add(self, side: int, price: int, quantity: int) -> tuple[Any, int]:
        """Rest what does not trade."""
        number = next(self._numbers)
        self._engine.enter(number, side, price, quantity, rests=True)
        left = self._engine._orders.get(number)
        return number, quantity - (left[2] if left else 0)

    def cancel(self, handle: Any) -> bool:
        """Whether it was there."""
        return self._engine.cancel(handle) is not None


@pytest.mark.parametrize("seed", [1, 2])
def test_as_many_lots_as_the_matcher(seed: int) -> None:
    """With immediate orders, and modifies and cancels of orders that have traded away."""
    flow = generate(5_000, seed)
    events = events_of(tape_of(flow))
    lots = int(events["quantity"][events["kind"] == EventKind.EXECUTED].sum())
    assert lots > 0 and play(NaivePeer(), flow) == lots


def test_a_package_that_is_not_there() -> None:
    """The sentence that `perf/test_peers.py` is skipped with."""
    with pytest.raises(PeerMissingError, match=r"nowhere_at_all is not installed: .*\.\[peers\]"):
        package("nowhere_at_all")
