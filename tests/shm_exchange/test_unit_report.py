"""Goal: a service manager hears what sd_notify(3) promises, and not a word of a standstill.

Method: a real datagram socket in the place of the manager's, and real shared memory in which the
test stores what a matcher would.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringbuf import layout
from ringbuf.broadcast import PUBLISHED
from shm_exchange import wiring
from shm_exchange.notify_socket import ServiceManager
from shm_exchange.unit_report import UnitReport
from shm_exchange.wiring import (
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    ROLE_ORDER,
    Wiring,
)

FEED_SECONDS = 2.0
LONG = 1_000.0  # far more than any limit


class Listener:
    """What the manager reads."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Every line since the last call."""
        lines: list[str] = []
        while True:
            try:
                lines += self.socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return lines


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A manager's socket in the file system."""
    made = Listener(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@pytest.fixture
def engines() -> Iterator[dict[int, Wiring]]:
    """Two engines whose matchers are this process, READY and in their first reign."""
    name = f"unit-{os.getpid()}"
    made: dict[int, Wiring] = {}
    try:
        for number in (1, 2):
            made[number] = wiring.create(
                name,
                number,
                7,
                0,
                event_records=64,
                command_records=64,
                gateway_count=1,
                gated=False,
            )
            row = made[number].control.processes[PROCESS_MATCHER]
            row["pid"], row["state"] = os.getpid(), layout.STATE_READY
            made[number].control.words[layout.EPOCH] = 1
        yield made
    finally:
        for number, each in made.items():
            each.close()
            wiring.remove(name, number)


def environment_of(listener: Listener) -> dict[str, str]:
    """What the manager gives to whom it starts."""
    return {
        "NOTIFY_SOCKET": listener.socket.getsockname(),
        "WATCHDOG_USEC": str(int(4e6 * FEED_SECONDS)),
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }


def move(engine: Wiring) -> None:
    """One pass of a matcher."""
    row = engine.control.processes[PROCESS_MATCHER]
    row["loops"] = int(row["loops"]) + 1


def test_its_words_do_not_reach_children(listener: Listener) -> None:
    """Nobody but the supervisor may say that the exchange is ready."""
    environment = environment_of(listener)
    manager = ServiceManager(environment)
    assert environment == {"HOME": "/"}
    assert manager.feed_seconds == FEED_SECONDS
    assert manager.tell("READY=1", "STATUS=open")
    assert listener.heard() == ["READY=1", "STATUS=open"]
    manager.close()
    assert not manager.tell("READY=1")


def test_an_abstract_address_is_understood() -> None:
    """Written with @ in the environment."""
    name = f"shmx-notify-{os.getpid()}"
    listener = Listener(f"\0{name}")
    manager = ServiceManager({"NOTIFY_SOCKET": f"@{name}"})
    assert manager.tell("STOPPING=1")
    assert listener.heard() == ["STOPPING=1"]
    assert manager.feed_seconds is None  # no watchdog was asked for
    manager.close()
    listener.socket.close()


def test_a_watchdog_of_another_process_is_not_ours(listener: Listener) -> None:
    """It was meant for our parent."""
    manager = ServiceManager(environment_of(listener) | {"WATCHDOG_PID": "1"})
    assert manager.feed_seconds is None
    manager.close()


def test_without_a_manager_nothing_is_said(engines: dict[int, Wiring]) -> None:
    """From a terminal."""
    manager = ServiceManager({})
    report = UnitReport(manager, engines)
    report.tell("ready", opened=True, now=1.0)
    assert not manager.is_there
    assert not manager.tell("READY=1")


def test_ready_is_said_once_when_the_market_is_open(
    listener: Listener, engines: dict[int, Wiring]
) -> None:
    """Not while roles start, and again only if it was not heard."""
    report = UnitReport(ServiceManager(environment_of(listener)), engines)
    report.tell("starting", opened=False, now=1.0)
    assert "READY=1" not in listener.heard()
    address = listener.socket.getsockname()
    os.rename(address, f"{address}.away")
    report.tell("ready", opened=True, now=1.1)
    os.rename(f"{address}.away", address)
    for now in (1.2, 1.3):
        report.tell("ready", opened=True, now=now)
    assert listener.heard().count("READY=1") == 1
    for now in (1.4, 1.5):
        report.tell("draining", opened=True, now=now)
    assert listener.heard().count("STOPPING=1") == 1
    report.close()


def test_a_reload_ends_even_if_nobody_listened_then(
    listener: Listener, engines: dict[int, Wiring]
) -> None:
    """A manager that does not read is not waited for; what it must know is said again, once."""
    manager = ServiceManager(environment_of(listener))
    report = UnitReport(manager, engines)
    report.say_ready()
    assert listener.heard() == []  # no reload was announced
    report.tell("ready", opened=True, now=1.0)
    report.say_reloading()
    while manager.tell("STATUS=much to read"):
        pass
    report.say_ready()
    lines = listener.heard()
    assert lines.count("RELOADING=1") == 1 and lines.count("READY=1") == 1
    assert lines.index("READY=1") < lines.index("RELOADING=1")
    for now in (1.1, 1.2):
        report.tell("ready", opened=True, now=now)
    assert listener.heard().count("READY=1") == 1


def test_a_start_that_compiles_asks_for_time(
    listener: Listener, engines: dict[int, Wiring]
) -> None:
    """Each second, until it is open or has had an hour; any other start has what it was given."""

    def asks(report: UnitReport, state: str, now: float) -> bool:
        report.tell(state, opened=state == "ready", now=now)
        return "EXTEND_TIMEOUT_USEC=300000000" in listener.heard()

    manager = ServiceManager(environment_of(listener))
    first = UnitReport(manager, engines, compiling=True)
    moments = (100.0, 100.5, 101.5, 3000.0, 100.0 + 3600.0)
    assert [asks(first, "starting", each) for each in moments] == [True, False, True, True, False]
    opening = UnitReport(manager, engines, compiling=True)
    assert [asks(opening, each, 100.0) for each in ("ready", "degraded")] == [False, False]
    assert not asks(UnitReport(manager, engines), "starting", 100.0)
    manager.close()


def test_the_status_names_role_reign_position_and_rate(
    listener: Listener, engines: dict[int, Wiring]
) -> None:
    """Each second at most, and only when it says something else."""
    report = UnitReport(ServiceManager(environment_of(listener)), engines)
    report.tell("ready", opened=True, now=10.0)
    listener.heard()
    engines[1].ring.cursors[PUBLISHED] = 500
    engines[1].control.processes[PROCESS_STANDBY_FIRST]["pid"] = os.getppid()
    report.tell("ready", opened=True, now=10.5)
    assert [line for line in listener.heard() if line.startswith("STATUS")] == []
    report.tell("ready", opened=True, now=12.0)
    (status,) = [line for line in listener.heard() if line.startswith("STATUS")]
    first = f"engine 1: matcher {os.getpid()}, standbys 1, epoch 1, sequence 500, 250 events/s"
    assert status.startswith(f"STATUS=ready: {first}; engine 2: ")
    report.tell("ready", opened=True, now=14.0)
    assert re.search("sequence 500, 0 events/s", "".join(listener.heard()))
    report.tell("ready", opened=True, now=16.0)
    assert [line for line in listener.heard() if line.startswith("STATUS")] == []
    report.close()


def test_the_watchdog_is_fed_by_the_matchers(
    listener: Listener, engines: dict[int, Wiring]
) -> None:
    """By every one of them; the loop that calls is not enough."""
    report = UnitReport(ServiceManager(environment_of(listener)), engines)

    def fed(now: float) -> bool:
        report.tell("ready", opened=True, now=now)
        return "WATCHDOG=1" in listener.heard()

    assert fed(100.0)  # it begins
    for each in engines.values():
        move(each)
    assert not fed(100.0 + FEED_SECONDS / 2)  # not due
    assert fed(100.0 + FEED_SECONDS)
    move(engines[1])
    assert not fed(200.0)  # engine 2 stands still
    assert not fed(200.0 + LONG)
    move(engines[2])
    assert fed(200.0 + LONG)  # as soon as it moves
    engines[1].control.words[layout.EPOCH] = 2
    engines[2].ring.cursors[PUBLISHED] = 1
    assert fed(200.0 + 2 * LONG)  # a new reign and a new event are progress
    report.close()


def test_the_watchdog_is_fed_by_recorders_and_gateways(
    listener: Listener, engines: dict[int, Wiring]
) -> None:
    """While they say that they are ready; who starts or is gone has its own time."""
    report = UnitReport(ServiceManager(environment_of(listener)), engines)

    def fed(now: float) -> bool:
        for each in engines.values():
            move(each)
        report.tell("ready", opened=True, now=now)
        return "WATCHDOG=1" in listener.heard()

    for line in (PROCESS_RECORDER, PROCESS_SOURCE_FIRST + 2):
        row = engines[1].control.processes[line]
        row["pid"], row["role"], row["state"] = os.getpid(), ROLE_ORDER, layout.STATE_READY
        assert fed(100.0 * line + 100.0)  # it is new
        assert not fed(100.0 * line + 110.0)
        row["loops"] = 1
        assert fed(100.0 * line + 120.0)
        row["state"] = layout.STATE_STARTING
        assert fed(100.0 * line + 130.0)
        row["pid"] = 0
    report.close()


def test_a_vacant_post_is_waited_for(listener: Listener, engines: dict[int, Wiring]) -> None:
    """Whoever recovers has minutes; that nobody comes at all is a standstill."""
    report = UnitReport(ServiceManager(environment_of(listener)), engines)

    def fed(now: float) -> bool:
        move(engines[2])
        report.tell("degraded", opened=True, now=now)
        return "WATCHDOG=1" in listener.heard()

    row = engines[1].control.processes[PROCESS_MATCHER]
    row["state"] = layout.STATE_STARTING
    assert fed(10.0)
    row["pid"] = 0
    assert fed(200.0)
    assert not fed(400.0)
    row["pid"], row["state"] = os.getpid(), layout.STATE_READY
    move(engines[1])
    assert fed(401.0)
    row["pid"] = 0
    assert fed(500.0)  # another vacancy, counted anew
    report.close()


def test_starting_and_draining_have_limits_of_their_own(
    listener: Listener, engines: dict[int, Wiring]
) -> None:
    """A first feed would start the clock of a start that compiles; the end is fed by the loop."""
    report = UnitReport(ServiceManager(environment_of(listener)), engines)
    for now in (10.0, 20.0):
        report.tell("starting", opened=False, now=now)
        assert "WATCHDOG=1" not in listener.heard()
    report.tell("ready", opened=True, now=30.0)
    assert "WATCHDOG=1" in listener.heard()
    report.tell("ready", opened=True, now=40.0)
    assert "WATCHDOG=1" not in listener.heard()  # nobody moved since
    report.tell("draining", opened=True, now=50.0)
    assert "WATCHDOG=1" in listener.heard()
    report.close()
