"""Goal: the day rolls at its time, once, at every engine, and nothing of ours comes in between.

Method: real shared memory and a clock that the test moves; the test is the matcher.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ringbuf import layout, spsc
from shm_exchange import wiring
from shm_exchange.day_roll import DayRoll, next_time
from shm_exchange.errors import ExchangeError
from shm_exchange.messages import ROLL_DAY, SOURCE_SUPERVISOR, CommandKind
from shm_exchange.supervisor_commands import new_command, offer
from shm_exchange.wiring import Wiring

DAY = 86_400
NOON = 20_000 * DAY + DAY / 2


@pytest.fixture
def engine() -> Iterator[Wiring]:
    """Shared memory of an engine that no matcher has begun with."""
    name = f"roll{os.getpid()}"
    made = wiring.create(
        name, 1, 5, 0, event_records=1024, command_records=256, gateway_count=1, gated=False
    )
    try:
        yield made
    finally:
        wiring.remove(name, 1)
        made.close()


def posted(engine: Wiring) -> list[tuple[int, int]]:
    """Kind and reason of what the supervisor has posted."""
    ring = engine.command_ring(SOURCE_SUPERVISOR)
    rows = [ring.records[place] for place in range(int(ring.cursors[spsc.PUBLISHED]))]
    return [(int(row["kind"]), int(row["reason"])) for row in rows]


@pytest.mark.parametrize(
    ("text", "hours"), [("00:00", 12), ("11:59", 24 - 1 / 60), ("12:00", 24), ("12:01", 1 / 60)]
)
def test_the_next_time(text: str, hours: float) -> None:
    """UTC; never now, so that a roll is not done twice."""
    assert next_time(text, NOON) == pytest.approx(NOON + 3600 * hours)
    assert next_time("none", NOON) == float("inf")


def test_once_when_it_is_time(engine: Wiring) -> None:
    """An engine that takes no command yet is asked again; then not before the next day."""
    now = [NOON]
    woken: list[int] = []
    day = DayRoll("12:30", {1: engine}, woken.append, lambda: now[0])
    day.post()
    now[0] += 1800
    day.post()
    assert posted(engine) == [] and woken == []
    engine.control.words[layout.EPOCH] = 1
    day.post()
    day.post()
    assert posted(engine) == [(CommandKind.ROLL, ROLL_DAY)] and woken == [1]
    engine.command_ring(SOURCE_SUPERVISOR).cursors[spsc.CONSUMED] = 1
    now[0] += DAY - 1
    day.post()
    assert len(posted(engine)) == 1
    now[0] += 1
    day.post()
    assert len(posted(engine)) == 2


def test_nothing_is_posted_behind_a_roll(engine: Wiring) -> None:
    """Until it is done: the matcher begins the new streams before it takes another command."""
    engine.control.words[layout.EPOCH] = 1
    day = DayRoll("none", {1: engine}, lambda number: None, lambda: NOON)
    assert day.begin({}) == {"engines": {"1": 1}}
    assert not offer(engine, new_command(CommandKind.GATEWAY_DIED))
    with pytest.raises(ExchangeError, match="takes no commands now"):
        day.begin({"engine": 1})
    with pytest.raises(ExchangeError, match="no engine 2 here; known are: 1"):
        day.begin({"engine": 2})
    engine.command_ring(SOURCE_SUPERVISOR).cursors[spsc.CONSUMED] = 1
    assert offer(engine, new_command(CommandKind.GATEWAY_DIED))
