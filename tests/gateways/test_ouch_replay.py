"""Goal: where a stream's messages begin is found although journal and ring have a part each.

Method: the replay service on a history that gives its events piece by piece.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gateways import mailbox as letters
from gateways.mailbox import LETTER, create_mailbox, take_inward
from gateways.ouch import replay, state
from gateways.ouch.replay import ReplayService
from gateways.ouch.stream import NO_POSITION
from ringbuf.jit import COMPILED, signatures
from shm_exchange.errors import ExchangeError
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


def pump_of(sessions: np.ndarray) -> Any:
    """What the service takes of a pump."""
    return SimpleNamespace(
        mailbox=create_mailbox(64, os.eventfd(0)),
        replay=np.zeros(1 << 16, np.uint8),
        market=SimpleNamespace(instruments=fresh_market().instruments, sessions=sessions),
        names=np.zeros(len(sessions), np.int64),
        settings=np.zeros(state.SETTING_COUNT, np.int64),
    )


@pytest.mark.parametrize("length", [0, 16])
@pytest.mark.parametrize("size", [37, 1000, 100_000])
def test_pieces_are_put_together(size: int, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same place for any size; and the kernels are given no other kind of record.

    The search goes back by so many events: it begins and ends within groups, too.
    """
    flow = in_groups(events()[:2000], length)
    monkeypatch.setattr(replay, "EVENTS_PER_READ", 500)
    sessions = fresh_market().sessions
    pump = pump_of(sessions)
    end = len(flow)
    counts = [int(count_in(sessions, flow[each:], 1, SESSION)) for each in range(end)]
    behind = np.cumsum(counts[::-1])[::-1]
    for needed in (1, 7, int(behind[0]) - 3):
        place = int(np.flatnonzero(behind >= needed)[-1])
        # Also where the journal begins there, as what was before that is removed.
        for begin in (0, place):
            service = ReplayService(pump, Pieces(flow, size, begin))
            found = service._locate(SESSION, needed, end)
            assert found == (place, int(behind[place]) - needed)
    assert len(signatures(count_in)) == int(COMPILED)


class Held(Pieces):
    """Gives nothing before it is let go; then raises, when it is to."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(events()[:2000], 1000)
        self.asked, self.let_go = threading.Event(), threading.Event()
        self._error = error

    def read(self, position: int, limit: int) -> np.ndarray:
        """As ever."""
        self.asked.set()
        assert self.let_go.wait(60)
        if self._error is not None:
            raise self._error
        return super().read(position, limit)


@pytest.mark.parametrize(
    "error", [None, ExchangeError("damaged"), OSError("gone"), ValueError("a fault of ours")]
)
def test_a_long_search_keeps_nobody_else_waiting(error: Exception | None) -> None:
    """The loop goes on meanwhile; an error ends that connection, and the next one is served."""
    pump, answer = pump_of(fresh_market().sessions), np.zeros(1, LETTER.dtype)
    history = Held(error)
    service = ReplayService(pump, history)  # type: ignore[arg-type]

    async def answered() -> np.void:
        while not take_inward(pump.mailbox, answer):
            await asyncio.sleep(0.001)
        return answer[0].copy()

    async def scenario() -> None:
        for connection in (1, 2):
            asked = np.zeros(1, LETTER.dtype)
            asked["kind"], asked["connection"], asked["position"] = letters.REPLAY, connection, 0
            asked["session"], asked["number"] = SESSION, 1
            asked["position"], asked["count"], asked["end_position"] = NO_POSITION, 1, 2000
            service.on_letter(asked)
        while not history.asked.is_set():
            await asyncio.sleep(0.001)
        assert not take_inward(pump.mailbox, answer)  # and yet we are here
        history.let_go.set()
        taken = np.zeros(1, LETTER.dtype)
        taken["kind"] = letters.TAKEN
        for connection in (1, 2):
            chunk = await answered()
            assert (chunk["kind"], chunk["connection"]) == (letters.CHUNK, connection)
            assert (chunk["detail"], chunk["count"] > 0) == (int(error is not None), error is None)
            service.on_letter(taken)

    asyncio.run(asyncio.wait_for(scenario(), 60))
