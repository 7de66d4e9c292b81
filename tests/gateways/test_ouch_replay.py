"""Goal: where a stream's messages begin is found although journal and ring have a part each.

Method: the replay service on a history that gives its events piece by piece.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gateways.ouch import replay, state
from gateways.ouch.replay import ReplayService
from ringbuf.jit import COMPILED, signatures
from shm_exchange.groups import CONTINUATION, whole_groups
from shm_exchange.messages import EVENT_DTYPE
from shm_exchange.streams import count_in

sys.path.append(str(Path(__file__).parents[1] / "shm_exchange"))
from journal_cases import events, fresh_market  # noqa: E402

SESSION = 0


class Pieces:
    """Events, at most so many at a time, as behind the end of a journal; whole groups of them."""

    def __init__(self, events: np.ndarray, size: int, begin: int = 0) -> None:
        self._events = events
        self._size = size
        self._begin = begin

    def begin(self) -> int:
        """Position of the oldest event."""
        return self._begin

    def read(self, position: int, limit: int) -> np.ndarray:
        """Events from `position` on."""
        assert position >= self._begin, "no longer kept"
        found = self._events[position : position + min(limit, self._size)].copy()
        return found[: whole_groups(found, len(found))]


def in_groups(flow: np.ndarray, length: int) -> np.ndarray:
    """The flow, each event with so many continuations, which are nobody's messages."""
    found = np.repeat(flow.view(np.uint8).reshape(len(flow), -1), length + 1, axis=0)
    found = np.ascontiguousarray(found).reshape(-1).view(EVENT_DTYPE)
    for each in range(1, length + 1):
        found["kind"][each :: length + 1] = CONTINUATION
    found["continuations"][:: length + 1] = length
    return found


@pytest.mark.parametrize("length", [0, 16])
@pytest.mark.parametrize("size", [37, 1000, 100_000])
def test_pieces_are_put_together(size: int, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same place for any size; and the kernels are given no other kind of record.

    The search goes back by so many events: it begins and ends within groups, too.
    """
    flow = in_groups(events()[:2000], length)
    monkeypatch.setattr(replay, "EVENTS_PER_READ", 500)
    sessions = fresh_market().sessions
    pump = SimpleNamespace(
        mailbox=None,
        replay=None,
        market=SimpleNamespace(instruments=None, sessions=sessions),
        names=None,
        settings=np.zeros(state.SETTING_COUNT, np.int64),
    )
    end = len(flow)
    counts = [int(count_in(sessions, flow[each:], 1, SESSION)) for each in range(end)]
    behind = np.cumsum(counts[::-1])[::-1]
    for needed in (1, 7, int(behind[0]) - 3):
        place = int(np.flatnonzero(behind >= needed)[-1])
        # Also where the journal begins there, as what was before that is removed.
        for begin in (0, place):
            service = ReplayService(pump, Pieces(flow, size, begin))  # type: ignore[arg-type]
            found = service._locate(SESSION, needed, end)
            assert found == (place, int(behind[place]) - needed)
    assert len(signatures(count_in)) == int(COMPILED)
