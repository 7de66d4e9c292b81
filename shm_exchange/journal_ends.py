"""Shell: where the journals of an exchange ended when it stopped, in a file of its state directory.

A stop in good order ends a journal with a seal; when the file is cut afterwards the seal is gone,
and what is left looks as if the power had failed. This note, outside of the journal, tells the two
apart. It is for one start: nothing of it is needed, and what it cannot say it does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ringbuf.broadcast import NO_GATE, PUBLISHED, RECORDED
from shm_exchange.presence import write_file
from shm_exchange.wiring import Wiring

ENDS = "journal-ends.json"


def keep(wirings: Mapping[int, Wiring], state_directory: Path) -> None:
    """Note where each recorded engine ends: its matcher has ended, its journal has everything."""
    cursors = {number: each.ring.cursors for number, each in wirings.items()}
    ends = {n: int(each[PUBLISHED]) for n, each in cursors.items() if each[RECORDED] != NO_GATE}
    with suppress(OSError):  # as on a full disk: then the next start does not know
        write_file(state_directory / ENDS, json.dumps(ends).encode("ascii"))


def read(state_directory: Path) -> dict[int, int]:
    """Position behind the last event, by engine; of those for which it was noted."""
    try:
        found = json.loads((state_directory / ENDS).read_bytes())
        return {int(engine): int(position) for engine, position in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none, or no note of ours
        return {}


def forget(state_directory: Path) -> None:
    """Journals grow again."""
    (state_directory / ENDS).unlink(missing_ok=True)
