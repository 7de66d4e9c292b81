"""Goal: the status says whether the replicas agree, and that all is not well when one differs.

Method: real shared memory, whose lines the test fills; metrics of the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ringbuf import layout
from ringbuf.broadcast import RECORDED
from shm_exchange import wiring
from shm_exchange.metric_families import ExchangeCollector
from shm_exchange.status import describe
from shm_exchange.wiring import (
    COUNTER_DISK_FULL,
    COUNTER_DISK_SHORT,
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    ROLE_MATCHER,
    ROLE_ORDER,
    ROLE_STANDBY,
    Wiring,
)

ORDER = PROCESS_SOURCE_FIRST + 2
ROLES = {
    PROCESS_MATCHER: ROLE_MATCHER,
    PROCESS_STANDBY_FIRST: ROLE_STANDBY,
    PROCESS_STANDBY_FIRST + 1: ROLE_STANDBY,
    ORDER: ROLE_ORDER,
}
RUNNING = {
    "name": "x",
    "state": "ready",
    "metrics": None,
    "restarts": {},
    "engines": [{"id": 1, "standbys": 2, "recorder": False}],
    "gateways": [{"kind": "order", "source": 2, "address": "a:1", "engines": [1]}],
}


@pytest.fixture
def engine() -> Iterator[Wiring]:
    """An engine with everybody there: each line names this process."""
    name = f"stat{os.getpid()}"
    made = wiring.create(
        name, 1, 5, 0, event_records=1024, command_records=256, gateway_count=1, gated=False
    )
    for number, role in ROLES.items():
        row = made.control.processes[number]
        row["pid"], row["role"], row["state"] = os.getpid(), role, layout.STATE_READY
    try:
        yield made
    finally:
        wiring.remove(name, 1)
        made.close()


def seen(engine: Wiring) -> tuple[str, bool | None, int | None]:
    """State of the exchange, agreement of the engine, and up to where its standbys agree."""
    found = describe(RUNNING, {1: engine}, 0)
    (row,) = found["engines"]
    return found["state"], row["agreement"], row["attested"]


def metrics(engine: Wiring) -> list[str]:
    """The lines of the metrics."""
    registry = CollectorRegistry()
    registry.register(ExchangeCollector(lambda: describe(RUNNING, {1: engine}, 0)))
    return generate_latest(registry).decode().splitlines()


def test_nobody_has_compared_yet(engine: Wiring) -> None:
    """Unknown is not false: the exchange is well."""
    assert seen(engine) == ("ready", None, None)
    assert not any(line.startswith("shmx_agreement{") for line in metrics(engine))


def test_all_agree(engine: Wiring) -> None:
    """The standby that has come least far says how far it is known."""
    for number, place in ((PROCESS_STANDBY_FIRST, 90), (PROCESS_STANDBY_FIRST + 1, 80), (ORDER, 7)):
        engine.control.processes[number]["attested"] = place
    assert seen(engine) == ("ready", True, 80)
    assert 'shmx_agreement{engine="1"} 1.0' in metrics(engine)


@pytest.mark.parametrize("number", [PROCESS_STANDBY_FIRST + 1, ORDER])
def test_one_differs(engine: Wiring, number: int) -> None:
    """Whoever it is: degraded, and the position is in its line."""
    engine.control.processes[PROCESS_STANDBY_FIRST]["attested"] = 90
    engine.control.processes[number]["differs"] = 55
    assert seen(engine)[:2] == ("degraded", False)
    rows = describe(RUNNING, {1: engine}, 0)["processes"]
    assert {row["process"]: row["differs"] for row in rows}[number] == 55
    assert 'shmx_agreement{engine="1"} 0.0' in metrics(engine)


def test_who_has_just_begun_is_not_silent(engine: Wiring) -> None:
    """It has no heartbeat yet: its age is counted from its start."""
    row = engine.control.processes[ORDER]
    row["started_ns"] = 7_000_000_000
    ages = [
        each["heartbeat_age_ms"]
        for each in describe(RUNNING, {1: engine}, 9_500_000_000)["processes"]
        if each["process"] == ORDER
    ]
    row["heartbeat_ns"] = 9_000_000_000
    (later,) = [
        each["heartbeat_age_ms"]
        for each in describe(RUNNING, {1: engine}, 9_500_000_000)["processes"]
        if each["process"] == ORDER
    ]
    assert (ages, later) == ([2_500], 500)


def test_who_is_silent_degrades_the_exchange(engine: Wiring) -> None:
    """For longer than any process is; who is still starting has nothing to say yet."""
    for number in ROLES:
        engine.control.processes[number]["heartbeat_ns"] = 20_000_000_000
    engine.control.processes[ORDER]["heartbeat_ns"] = 7_000_000_000
    assert describe(RUNNING, {1: engine}, 16_000_000_000)["state"] == "ready"
    assert describe(RUNNING, {1: engine}, 20_000_000_000)["state"] == "degraded"
    engine.control.processes[ORDER]["state"] = layout.STATE_STARTING
    assert describe(RUNNING, {1: engine}, 20_000_000_000)["state"] == "ready"


@pytest.mark.parametrize("counter", [COUNTER_DISK_SHORT, COUNTER_DISK_FULL])
def test_a_disk_without_room_degrades_the_exchange(engine: Wiring, counter: int) -> None:
    """New orders are refused, or the matcher waits."""
    engine.control.processes[PROCESS_RECORDER]["counter"][counter] = 1
    assert seen(engine)[0] == "ready"  # nothing is recorded: it says nothing
    engine.ring.cursors[RECORDED] = 0
    assert seen(engine)[0] == "degraded"
