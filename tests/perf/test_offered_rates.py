"""Goal: rates are offered until the exchange is saturated, and its knee is the last one before.

Method: the rates, offered to an exchange that is nothing but a limit; the knee of figures that are
written down here.
"""

from __future__ import annotations

from contextlib import nullcontext
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateways.load.offered import Offered
from perf import test_latency
from perf.test_latency import RATES, knee, rates


def test_rates_go_on() -> None:
    """Those that are named, then twice as many each time, however fast an exchange is."""
    found = list(islice(rates(), len(RATES) + 10))
    assert found[: len(RATES)] == list(RATES) == sorted(RATES)
    assert all(more == 2 * less for less, more in pairwise(found[len(RATES) - 1 :]))


def test_the_knee() -> None:
    """The last rate that was answered as offered while the median kept its level."""
    assert knee({1_000: (1_000, 15), 2_000: (1_990, 45), 4_000: (4_000, 46)}) == 2_000
    assert knee({1_000: (1_000, 15), 2_000: (1_900, 15)}) == 1_000
    assert knee({1_000: (500, 15)}) == 0


@pytest.mark.parametrize("capacity", [250_000, 5_000_000])
def test_they_end_with_saturation(capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first rate of which less than nine tenths are answered, and at no other."""

    class Limited:
        """An exchange that answers so many orders per second."""

        freeze = thaw = staticmethod(lambda: None)

        def offer(self, rate: int, count: int, _: Any) -> Offered:
            return Offered(np.zeros(count), min(rate, capacity))

    bare = Limited()
    monkeypatch.setattr(test_latency, "_echo", lambda program: nullcontext(0))
    monkeypatch.setattr(test_latency, "offer", lambda *how: bare.offer(*how[3:], None))
    exchange: Any = Limited()
    points = test_latency._measure(exchange, exchange, Path("echo"))
    *answered, last = [max(turn.orders_per_second for turn in each.ours) for each in points]
    assert answered == [each.rate for each in points[:-1]] and last == capacity
    assert last < 0.9 * points[-1].rate and last >= 0.45 * points[-1].rate
    assert max(len(turn.marks) for each in points for turn in each.ours) <= 600_000
