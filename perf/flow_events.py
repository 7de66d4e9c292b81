"""Shell: the events that the matcher makes of a flow, in memory."""

from __future__ import annotations

import numpy as np

from shm_exchange.flow_commands import Player, Tape
from shm_exchange.messages import EVENT_DTYPE


def events_of(tape: Tape) -> np.ndarray:
    """EVENT[n], from position 0 on."""
    player = Player(tape)
    # Rows of EVENT share bytes, and numpy copies fields: so it is given bytes.
    parts = [part.view(np.uint8).copy() for part in player.until(len(tape.commands))]
    return np.concatenate(parts).view(EVENT_DTYPE)
