"""Goal: a trade moves both positions, and a broken one moves them back.

Method: one event as replicas see it, of a maker that sold, first as a trade and then as broken.
"""

from __future__ import annotations

import numpy as np

from ringbuf.jit import cold_kernel
from shm_exchange.market import INSTRUMENT, create_market
from shm_exchange.messages import EVENT_DTYPE
from shm_exchange.positions import count_broken, count_trade


# Rows of EVENT overlap and cannot be handed over from Python: this takes the array.
@cold_kernel
def _count(market, events, broken):
    if broken:
        count_broken(market, events[0])
    else:
        count_trade(market, events[0])


def test_a_broken_trade_is_taken_back() -> None:
    market = create_market(np.zeros(2, INSTRUMENT.dtype), 3, gateway_count=3, page_limit=16)
    event = np.zeros(1, EVENT_DTYPE)
    event["side"], event["quantity"], event["price"], event["instrument"] = ord("S"), 7, 100, 1
    event["session"], event["taker_session"] = 2, 0
    _count(market, event, 0)
    assert market.positions.tolist() == [0, 7, 0, 0, 0, -7]
    assert market.instruments["price_last"].tolist() == [0, 100]
    _count(market, event, 1)
    assert not market.positions.any()
