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
from shm_exchange.streams import count_in

sys.path.append(str(Path(__file__).parents[1] / "shm_exchange"))
from journal_cases import events, fresh_market  # noqa: E402

SESSION = 0


class Pieces:
    """The flow's events, at most so many at a time, as behind the end of a journal."""

    def __init__(self, size: int, begin: int = 0) -> None:
        self._size = size
        self._begin = begin

    def begin(self) -> int:
        """Position of the oldest event."""
        return self._begin

    def read(self, position: int, limit: int) -> np.ndarray:
        """Events from `position` on."""
        assert position >= self._begin, "no longer kept"
        return events()[position : position + min(limit, self._size)].copy()


@pytest.mark.parametrize("size", [37, 1000, 100_000])
def test_pieces_are_put_together(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same place for any size; and the kernels are given no other kind of record."""
    monkeypatch.setattr(replay, "EVENTS_PER_READ", 500)
    sessions = fresh_market().sessions
    pump = SimpleNamespace(
        mailbox=None,
        replay=None,
        market=SimpleNamespace(instruments=None, sessions=sessions),
        names=None,
        settings=np.zeros(state.SETTING_COUNT, np.int64),
    )
    end = 2000
    counts = [int(count_in(sessions, events()[each:], 1, SESSION)) for each in range(end)]
    behind = np.cumsum(counts[::-1])[::-1]
    for needed in (1, 7, int(behind[0]) - 3):
        place = int(np.flatnonzero(behind >= needed)[-1])
        # Also where the journal begins there, as what was before that is removed.
        for begin in (0, place):
            service = ReplayService(pump, Pieces(size, begin))  # type: ignore[arg-type]
            found = service._locate(SESSION, needed, end)
            assert found == (place, int(behind[place]) - needed)
    assert len(signatures(count_in)) == int(COMPILED)
