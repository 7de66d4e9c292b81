"""Shell: the shared memory of a whole exchange: made where its journals end, removed at the end."""

from __future__ import annotations

from pathlib import Path

from shm_exchange import wiring
from shm_exchange.config import Configuration
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_segment import Owner
from shm_exchange.presence import identity_of
from shm_exchange.wiring import Wiring


def create(configuration: Configuration, name: str, state_directory: Path) -> dict[int, Wiring]:
    """Shared memory of every engine, positions going on where its journal ends."""
    identity = identity_of(state_directory)
    wirings: dict[int, Wiring] = {}
    try:
        for engine in configuration.engines:
            owner = Owner.of(identity, engine.id)
            end = JournalReader(state_directory, owner).end() if engine.recorder else None
            wirings[engine.id] = wiring.create(
                name,
                engine.id,
                identity,
                end or 0,
                event_records=engine.event_ring_records,
                command_records=engine.command_ring_records,
                gateway_count=len(configuration.gateways),
                gated=engine.recorder,
            )
    except BaseException:
        remove(wirings)
        raise
    return wirings


def remove(wirings: dict[int, Wiring]) -> None:
    """Remove all of it and let go."""
    for each in wirings.values():
        for segment in each.segments:
            segment.unlink()
        each.close()
