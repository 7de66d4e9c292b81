"""Shell: a warm standby's process: follows the events, and is the matcher when the matcher dies."""

from __future__ import annotations

from shm_exchange.primary import follow_and_serve
from shm_exchange.roles import RoleContext


def run(context: RoleContext) -> int:
    """Stand by until the exchange stops, as a standby or as the matcher it became."""
    return follow_and_serve(context, first=False)
