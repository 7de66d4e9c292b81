"""Kernel: a copy of a whole market, as far as it was ever used, while nobody changes it."""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.market import FREE, Market
from shm_exchange.messages import SLOT_BITS, CommandFlag
from shm_exchange.snapshot import BY_SLOT, used_counts

TAGS = int(CommandFlag.TAGS)


@cold_kernel
def copy_orders(source, target, first, end):
    """Copy the live orders in slots [first, end), and their links.

    What was never used stays untouched.
    """
    for slot in range(first, end):
        order = source.orders[at(slot)]
        if order["state"] != FREE:
            target.orders[at(slot)] = order
            if order["flags"] & TAGS:
                target.tags[at(slot)] = source.tags[at(slot)]
            target.session_links[at(slot)] = source.session_links[at(slot)]


def copy_market(source: Market, target: Market) -> None:
    """Make `target`, a fresh market of the same configuration, equal to `source`."""
    for number, gateway in enumerate(source.gateways):
        first = number << SLOT_BITS
        used = int(gateway["slots_high_water"])
        copy_orders(source, target, first, first + used)
    own = slice(0, len(source.sessions) + 1)
    target.session_links[own] = source.session_links[own]
    counts = used_counts(source)
    for name in Market._fields:
        if name == "positions":
            held = np.flatnonzero(source.positions)
            target.positions[held] = source.positions[held]
        elif name not in BY_SLOT:
            array = getattr(source, name)
            count = counts.get(name, len(array))
            _bytes(getattr(target, name)[:count])[:] = _bytes(array[:count])


def _bytes(array: np.ndarray) -> np.ndarray:
    """A structured array would be copied field by field."""
    return array.view(np.uint8)
