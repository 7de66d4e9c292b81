"""Shell: commands of the supervisor, through the command ring whose only producer it is."""

from __future__ import annotations

import time

import numpy as np

from ringbuf import layout, spsc
from shm_exchange.messages import (
    COMMAND_DTYPE,
    SESSION_NONE,
    SOURCE_SUPERVISOR,
    CommandKind,
)
from shm_exchange.wiring import Wiring


def new_command(kind: CommandKind) -> np.ndarray:
    """COMMAND[1] of no session."""
    command = np.zeros(1, COMMAND_DTYPE)
    command["kind"] = kind
    command["session"] = SESSION_NONE
    command["received_ns"] = time.time_ns()
    return command


def published(wiring: Wiring) -> int:
    """Number of the command that comes next."""
    return int(wiring.command_ring(SOURCE_SUPERVISOR).cursors[spsc.PUBLISHED])


def offer(wiring: Wiring, commands: np.ndarray) -> bool:
    """Put the commands into the engine's ring, all or none; False: not now.

    commands: COMMAND[n]. The caller wakes the matcher.
    """
    if int(wiring.control.words[layout.EPOCH]) == 0:
        return False  # the positions of the rings are not known yet
    ours = wiring.command_ring(SOURCE_SUPERVISOR)
    consumed = int(ours.cursors[spsc.CONSUMED])
    # A new ring begins where the journal ends: the first matcher says so in `consumed`.
    position = max(int(ours.cursors[spsc.PUBLISHED]), consumed)
    capacity = len(ours.records)
    if position - consumed + len(commands) > capacity:
        return False
    places = np.arange(consumed, position) & (capacity - 1)
    if (ours.records["kind"][places] == CommandKind.ROLL).any():
        return False  # nothing of ours comes before the new streams
    for place, command in enumerate(commands):
        ours.records[(position + place) & (capacity - 1)] = command
    ours.cursors[spsc.PUBLISHED] = position + len(commands)
    return True
