"""Goal: who looks at an exchange gets whole events or is told that he came too late, and can change
nothing.

Method: the shared memory of a small engine under a name that is really claimed, a publisher in this
process that laps whoever stands still, and a write to every array that the view gives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ringbuf.broadcast import NO_GATE, RECORDED, Broadcast, claim, publish
from shm_exchange import presence, view, wiring
from shm_exchange.errors import ExchangeError, NotRunningError
from shm_exchange.messages import COMMAND_DTYPE, EventKind
from shm_exchange.wiring import PROCESS_MATCHER, Wiring

CAPACITY = 64
RUNNING = {
    "name": "x",
    "state": "ready",
    "metrics": None,
    "pid": os.getpid(),
    "restarts": {},
    "engines": [{"id": 1, "standbys": 0, "recorder": False}],
    "gateways": [],
}


class Engine:
    """An engine's memory, and a publisher. `quantity` of each event is its position."""

    def __init__(self, name: str, made: Wiring) -> None:
        self.name = name
        self.wiring = made
        self.position = 0

    @property
    def ring(self) -> Broadcast:
        """The event ring, writable."""
        return self.wiring.ring

    def publish(self, count: int, kind: int = EventKind.IGNORED, followers: int = 0) -> None:
        """Commit `count` groups: an event and its continuations."""
        for _ in range(count):
            size = 1 + followers
            assert claim(self.ring, self.position, size) == 1
            for place in range(self.position, self.position + size):
                row = self.ring.records[place % CAPACITY]
                row["kind"] = kind if place == self.position else EventKind.CONTINUATION
                row["continuations"] = followers if place == self.position else 0
                row["quantity"] = place
            self.position += size
            publish(self.ring, self.position)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine of an exchange whose supervisor is this process."""
    name = f"view{os.getpid()}"
    claimed = presence.Claim(name, tmp_path)
    claimed.announce(RUNNING)
    made = wiring.create(
        name, 1, 5, 0, event_records=CAPACITY, command_records=8, gateway_count=1, gated=False
    )
    made.control.processes[PROCESS_MATCHER]["pid"] = os.getpid()
    try:
        yield Engine(name, made)
    finally:
        wiring.remove(name, 1)
        made.close()
        claimed.set_settled()
        claimed.release()


def positions(events: np.ndarray) -> list[int]:
    """Which events these are."""
    return [int(each) for each in events["quantity"]]


def arrays_of(exchange: view.View) -> dict[str, np.ndarray]:
    """Every array over shared memory that a view gives."""
    found: dict[str, np.ndarray] = {
        name: value
        for name in dir(exchange)
        if not name.startswith("_") and isinstance(value := getattr(exchange, name), np.ndarray)
    }
    for each in exchange.segments:
        found |= {f"{each.name} header": each.header, f"{each.name} bytes": each.bytes}
    return found


def test_nothing_can_be_written(engine: Engine) -> None:
    """Not an item, not a whole array, not after asking numpy for more; and nothing has changed."""
    engine.publish(3)
    with view.open(engine.name) as exchange:
        arrays = arrays_of(exchange)
        assert len(arrays) == 6 + 2 * 3
        before = {name: array.tobytes() for name, array in arrays.items()}
        for array in arrays.values():
            with pytest.raises(ValueError, match="read-only"):
                array[0] = array[1] if len(array) > 1 else array[0]
            with pytest.raises(ValueError, match="read-only"):
                array.view(np.uint8)[:] = 1
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
        assert {name: array.tobytes() for name, array in arrays.items()} == before


def test_what_is_there_is_typed(engine: Engine) -> None:
    """Words by name, processes, command rings by source."""
    engine.publish(5)
    with view.open(engine.name, 1) as exchange:
        assert exchange.published == exchange.cursors["published"][0] == 5
        assert (exchange.recorded, exchange.durable) == (None, 0)
        engine.ring.cursors[RECORDED] = 4
        assert exchange.recorded == 4
        engine.ring.cursors[RECORDED] = NO_GATE
        assert exchange.processes["pid"][PROCESS_MATCHER] == os.getpid()
        assert exchange.words["epoch"][0] == 0
        assert exchange.commands.shape == (3, 8) and exchange.commands.dtype == COMMAND_DTYPE
        assert exchange.command_cursors["published"].tolist() == [0, 0, 0]
        assert [each.symbol for each in exchange.instruments][:1] == ["AAPL"]


def test_events_are_copied_or_refused(engine: Engine) -> None:
    """A copy that stays; what is not there yet is left out; what is gone is said to be gone."""
    engine.publish(10)
    with view.open(engine.name) as exchange:
        some = exchange.events(2, 8)
        assert positions(some) == list(range(2, 8))
        assert positions(exchange.events(7)) == [7, 8, 9]
        assert len(exchange.events(10)) == len(exchange.events(50, 60)) == 0
        with pytest.raises(ValueError, match="-1"):
            exchange.events(-1)
        engine.publish(2 * CAPACITY)
        assert positions(some) == list(range(2, 8))
        with pytest.raises(view.LappedError, match="position 2 was overwritten") as lapped:
            exchange.events(2, 8)
        oldest = lapped.value.oldest
        assert positions(exchange.events(oldest)) == list(range(oldest, engine.position))
        with pytest.raises(view.LappedError):
            exchange.events(oldest - 1)


def test_a_ring_that_began_later(engine: Engine) -> None:
    """After a restart the ring has nothing from before, although nothing was overwritten."""
    engine.position = 1_000
    wiring.remove(engine.name, 1)
    again = wiring.create(
        engine.name,
        1,
        5,
        1_000,
        event_records=CAPACITY,
        command_records=8,
        gateway_count=1,
        gated=False,
    )
    engine.wiring.close()
    engine.wiring = again
    engine.publish(2)
    with view.open(engine.name) as exchange:
        with pytest.raises(view.LappedError, match="begins at 1000"):
            exchange.events(999)
        batch = exchange.follow(0).poll()
        assert batch is not None
        assert (batch.position, batch.missed, positions(batch.events)) == (
            1_000,
            1_000,
            [1000, 1001],
        )
    again.close()


def test_a_follower_is_told_what_it_missed(engine: Engine) -> None:
    """Before, within and behind a lap: every event once, or counted; groups are never cut."""
    with view.open(engine.name) as exchange:
        follower = exchange.follow(0)
        assert follower.poll() is None
        engine.publish(4, followers=2)
        first = follower.poll(limit=7)
        assert first is not None and first.missed == 0
        assert positions(first.events) == list(range(6))  # a third group would not be whole
        engine.publish(50, followers=2)
        second = follower.poll()
        assert second is not None
        assert second.missed > 0 and second.position == 6 + second.missed
        assert second.position % 3 == 0  # where a group begins
        assert positions(second.events) == list(range(second.position, engine.position))
        assert follower.poll() is None
        engine.publish(1)
        third = follower.poll()
        assert third is not None
        assert (third.missed, positions(third.events)) == (0, [engine.position - 1])


def test_torn_while_it_was_copied(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher laps the reader between his look and the end of his copy: nothing is given."""
    engine.publish(10)
    with view.open(engine.name) as exchange:
        real = view.ring_slices

        def slow(*arguments: Any) -> Any:
            engine.publish(CAPACITY)
            return real(*arguments)

        monkeypatch.setattr(view, "ring_slices", slow)
        with pytest.raises(view.LappedError):
            exchange.events(0, 10)


def test_iteration_ends_with_the_exchange(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published before its end is still given."""
    monkeypatch.setattr(view, "_ALIVE_SECONDS", 0.01)
    with view.open(engine.name) as exchange:
        engine.publish(3)
        batches = iter(exchange.follow(0))
        assert positions(next(batches).events) == [0, 1, 2]
        engine.publish(2)
        exchange._supervisor = -1  # as if another one had come by this name
        assert [positions(each.events) for each in batches] == [[3, 4]]


def test_what_is_not_there(engine: Engine) -> None:
    """Another name, another engine, another build's layout."""
    with pytest.raises(NotRunningError, match="no exchange named nobody"):
        view.open("nobody")
    with pytest.raises(ExchangeError, match="no engine 2"):
        view.open(engine.name, 2)
    wiring.remove(engine.name, 1)
    with pytest.raises(NotRunningError, match="just ending"):
        view.open(engine.name)
