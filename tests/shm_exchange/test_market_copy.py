"""A copy of a market is the market itself, and goes its own way.

Method: a replica is stopped at many positions of a real event stream and copied.
"""

from __future__ import annotations

import numpy as np
from journal_cases import events, fresh_market, same_market

from shm_exchange.market import FREE
from shm_exchange.market_copy import copy_market
from shm_exchange.messages import SLOT_BITS
from shm_exchange.replica import apply_all


def test_a_copy_goes_on_to_the_same_end() -> None:
    """Goal: equal when it is taken and, fed the same events, at the end; the original stands."""
    total = len(events())
    end = fresh_market()
    apply_all(end, events(), 0)
    for position in (0, 1, 100, total // 3, total // 2, total):
        original = fresh_market()
        apply_all(original, events()[:position], 0)
        copy = fresh_market()
        copy_market(original, copy)
        assert same_market(original, copy)
        assert int(copy.scalars[0]["position"]) == position
        apply_all(copy, events()[position:], position)
        assert same_market(copy, end)
        assert int(original.scalars[0]["position"]) == position


def test_dead_orders_are_left_behind() -> None:
    """Goal: slots that are free in the original stay untouched memory in the copy."""
    original, copy = fresh_market(), fresh_market()
    apply_all(original, events(), 0)
    copy_market(original, copy)
    source = int(np.argmax(original.gateways["slots_high_water"]))
    used = int(original.gateways[source]["slots_high_water"])
    mine = original.orders[source << SLOT_BITS :][:used]
    theirs = copy.orders[source << SLOT_BITS :][:used]
    dead = (mine["state"] == FREE) & (mine["reference"] != 0)
    assert dead.any()
    assert not theirs["reference"][dead].any()
