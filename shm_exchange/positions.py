"""Kernel: what every session holds, counted from trades by replicas alone."""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel

BUY = ord("B")


@kernel
def position_row(market, session, instrument):
    """Subscript of a session's position in an instrument."""
    return session * len(market.instruments) + instrument


@kernel
def _count(market, event, quantity):
    """Add what the maker bought and the taker sold of it, or the other way round."""
    instrument = np.int64(event["instrument"])
    bought = quantity if event["side"] == BUY else -quantity
    maker = position_row(market, np.int64(event["session"]), instrument)
    taker = position_row(market, np.int64(event["taker_session"]), instrument)
    market.positions[at(maker)] += bought
    market.positions[at(taker)] -= bought


@kernel
def count_trade(market, event):
    """EXECUTED: positions of both sides and the instrument's last price. Replicas only."""
    _count(market, event, np.int64(event["quantity"]))
    market.instruments[at(np.int64(event["instrument"]))]["price_last"] = event["price"]


@cold_kernel
def count_broken(market, event):
    """BROKEN: nobody has traded that. Replicas only."""
    _count(market, event, -np.int64(event["quantity"]))
