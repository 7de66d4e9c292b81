"""Goal: a matcher hears of a gateway's death when it has matched what that had committed, once.

Method: real shared memory; the test is gateway and matcher.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ringbuf import layout, spsc
from shm_exchange import wiring
from shm_exchange.messages import SOURCE_GATEWAY_FIRST, SOURCE_SUPERVISOR, CommandKind
from shm_exchange.obituaries import Obituaries
from shm_exchange.wiring import Wiring

SOURCE = SOURCE_GATEWAY_FIRST
PID = 4711


@pytest.fixture
def engine() -> Iterator[Wiring]:
    """Shared memory of an engine with one gateway, in the first reign; rings begin at 1000."""
    name = f"obit{os.getpid()}"
    made = wiring.create(
        name, 1, 5, 0, event_records=1024, command_records=256, gateway_count=1, gated=False
    )
    for source in range(SOURCE + 1):
        made.command_ring(source).cursors[spsc.CONSUMED] = 1000
    made.control.words[layout.EPOCH] = 1
    try:
        yield made
    finally:
        wiring.remove(name, 1)
        made.close()


def told(engine: Wiring) -> list[tuple[int, int, int]]:
    """Kind, gateway and incarnation of what the supervisor has posted."""
    ring = engine.command_ring(SOURCE_SUPERVISOR)
    rows = [ring.records[position & 255] for position in range(1000, ring.cursors[spsc.PUBLISHED])]
    return [(int(row["kind"]), int(row["slot"]), int(row["user_ref"])) for row in rows]


def test_a_death_is_told_after_the_last_command(engine: Wiring) -> None:
    """Not while something of it is unmatched; then once, and the matcher is woken."""
    woken: list[int] = []
    obituaries = Obituaries({1: engine}, woken.append)
    gateway = engine.command_ring(SOURCE).cursors
    gateway[spsc.PUBLISHED], gateway[spsc.INCARNATION] = 1005, 7
    obituaries.add(1, SOURCE, PID)
    # Its successor is there at once, and goes on in the same ring.
    gateway[spsc.PUBLISHED], gateway[spsc.INCARNATION] = 1009, 8
    for consumed in (1000, 1004):
        gateway[spsc.CONSUMED] = consumed
        obituaries.post()
        assert told(engine) == [] and woken == []
    gateway[spsc.CONSUMED] = 1005
    obituaries.post()
    obituaries.post()
    assert told(engine) == [(CommandKind.GATEWAY_DIED, SOURCE, 7)]
    assert woken == [1]


def test_without_an_incarnation_the_process_is_named(engine: Wiring) -> None:
    """A gateway that never said which life it is."""
    obituaries = Obituaries({1: engine}, lambda _: None)
    obituaries.add(1, SOURCE, PID)
    obituaries.post()
    assert told(engine) == [(CommandKind.GATEWAY_DIED, SOURCE, PID)]


def test_nothing_is_told_before_the_first_reign(engine: Wiring) -> None:
    """Until then nobody knows where the rings begin."""
    obituaries = Obituaries({1: engine}, lambda _: None)
    engine.control.words[layout.EPOCH] = 0
    obituaries.add(1, SOURCE, PID)
    obituaries.post()
    assert told(engine) == []


def test_a_full_ring_is_waited_for(engine: Wiring) -> None:
    """A matcher that does not come round loses none of many deaths."""
    obituaries = Obituaries({1: engine}, lambda _: None)
    ours = engine.command_ring(SOURCE_SUPERVISOR).cursors
    ours[spsc.PUBLISHED] = 1000 + 255
    for _ in range(3):
        obituaries.add(1, SOURCE, PID)
    obituaries.post()
    assert ours[spsc.PUBLISHED] == 1256
    ours[spsc.CONSUMED] = 1256
    obituaries.post()
    assert ours[spsc.PUBLISHED] == 1258
