"""Kernel: what every session holds, counted from trades by replicas alone."""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import kernel

BUY = ord("B")


@kernel
def position_row(market, session, instrument):
    """Subscript of a session's position in an instrument."""
    return session * len(market.instruments) + instrument


@kernel
def count_trade(market, event):
    """EXECUTED: positions of both sides and the instrument's last price. Replicas only."""
    instrument = np.int64(event["instrument"])
    quantity = np.int64(event["quantity"])
    bought = quantity if event["side"] == BUY else -quantity
    maker = position_row(market, np.int64(event["session"]), instrument)
    taker = position_row(market, np.int64(event["taker_session"]), instrument)
    market.positions[at(maker)] += bought
    market.positions[at(taker)] -= bought
    market.instruments[at(instrument)]["price_last"] = event["price"]
