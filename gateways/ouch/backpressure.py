"""Kernel: how much is under way, and when an order gateway reads no more of what clients send."""

import numpy as np

from gateways.ouch.state import (
    COMMAND_PUBLISHED,
    COMMANDS_CONTENDED,
    COMMANDS_UNDER_WAY,
    CONTENDED_NS,
    EVENTS_PER_PASS,
    SETTING_SOURCE,
    SETTING_VISIBLE,
)
from ringbuf.atomics import load_acquire
from ringbuf.bits import at
from ringbuf.jit import kernel


@kernel
def visible(pump):
    """Count of events that may be told: those published or, in disk mode, those on disk."""
    return load_acquire(pump.ring.cursors, pump.settings[SETTING_VISIBLE])


@kernel
def is_behind(pump):
    """1 when more events wait than one pass applies."""
    return (
        1 if visible(pump) - np.int64(pump.market.scalars[0]["position"]) > EVENTS_PER_PASS else 0
    )


@kernel
def awaited(pump):
    """Count of published commands whose events we have not seen."""
    gateway = pump.market.gateways[at(pump.settings[SETTING_SOURCE])]
    return pump.words[COMMAND_PUBLISHED] - gateway["command_next"]


@kernel
def is_full(pump, now_ns):
    """1 when no input is read: we are behind, or enough is on its way to the matcher.

    What waits, waits in the sockets, where each client has its own queue and not one for all.
    """
    is_contended = now_ns < pump.words[CONTENDED_NS]
    limit = COMMANDS_CONTENDED if is_contended else COMMANDS_UNDER_WAY
    return 1 if is_behind(pump) or awaited(pump) >= limit else 0
