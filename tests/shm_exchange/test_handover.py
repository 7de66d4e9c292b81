"""Goal: a drill notices a gap, a repeat and a clock that goes back.

Method: made-up events with one fault each.
"""

from __future__ import annotations

import numpy as np
import pytest

from shm_exchange.handover import is_contiguous
from shm_exchange.messages import COMMAND_NEXT_BITS, EVENT_DTYPE, EventKind

# Source and position behind the command, by event: two commands give two events each, one has tags.
EVENTS = [(2, 5), (3, 9), (2, 6), (2, 6), (0, 1), (2, 8), (3, 10), (2, 9), (2, 9)]


def events(rows: list[tuple[int, int]]) -> np.ndarray:
    """Events with rising stamps; a continuation, which has none of this, is in the middle."""
    made = np.zeros(len(rows) + 1, EVENT_DTYPE)
    made["kind"] = EventKind.ACCEPTED
    middle = min(5, len(rows))
    made["kind"][middle] = EventKind.CONTINUATION
    made["source_next"] = np.insert(
        [(source << COMMAND_NEXT_BITS) | following for source, following in rows], middle, 77
    )
    made["time_ns"] = np.insert(np.arange(len(rows)) // 2, middle, 0)
    return made


def test_events_in_order_are_contiguous() -> None:
    """Several sources, commands with several events and several records; and nothing at all."""
    assert is_contiguous(events(EVENTS))
    assert is_contiguous(np.zeros(0, EVENT_DTYPE))


@pytest.mark.parametrize("place", [2, 3, 5, 6])
@pytest.mark.parametrize("step", [-3, 4])
def test_a_source_that_goes_back_or_jumps(place: int, step: int) -> None:
    """A repeat and a gap."""
    source, following = EVENTS[place]
    rows = [*EVENTS[:place], (source, following + step), *EVENTS[place + 1 :]]
    assert not is_contiguous(events(rows))


def test_a_mass_quote_may_be_long() -> None:
    """Seventeen records are one of those, eighteen are a gap; of an order so many are none."""
    for step, kind, expected in (
        (17, EventKind.QUOTED, True),
        (18, EventKind.QUOTED, False),
        (17, EventKind.ACCEPTED, False),
    ):
        made = events([(2, 5), (2, 5 + step)])
        made["kind"][1] = kind
        assert is_contiguous(made) is expected


def test_a_stamp_that_falls() -> None:
    """The clock of the second reign is behind the first's."""
    made = events(EVENTS)
    made["time_ns"][-1] = 0
    assert not is_contiguous(made)
