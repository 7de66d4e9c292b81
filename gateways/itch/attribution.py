"""Shell: the firms of the sessions, as ITCH names them."""

from __future__ import annotations

import numpy as np

from shm_exchange.config import Configuration

MPID_SIZE = 4


def attributions_of(configuration: Configuration) -> np.ndarray:
    """int32[sessions]: the firm of each session as ITCH `F` says it, 0 without one."""
    firms = [each.firm.encode("ascii") for each in configuration.sessions]
    words = [int.from_bytes(firm.ljust(MPID_SIZE), "little") if firm else 0 for firm in firms]
    return np.array(words or [0], np.int32)
