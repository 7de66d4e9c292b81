"""Kernel: the firms of the sessions."""

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.messages import BLANK_FIRM


@cold_kernel
def is_first_of_firm(market, session):
    """1 when the session has a firm that no session before it has."""
    firm = market.sessions[at(session)]["firm"]
    if firm == BLANK_FIRM:
        return 0
    for before in range(session):
        if market.sessions[at(before)]["firm"] == firm:
            return 0
    return 1
