"""Goal: a service manager is told the truth: ready means open, fed means that matchers move.

Method: `shmx run` with a datagram socket of the test in the place of systemd's.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from ringbuf import layout
from shm_exchange import wiring
from shm_exchange.messages import SOURCE_GATEWAY_FIRST
from shm_exchange.wiring import PROCESS_SOURCE_FIRST, PROCESS_STANDBY_FIRST
from tests.process.conftest import (
    ENGINES,
    MARKET_DATA_GATEWAY,
    ORDER_GATEWAY,
    START_SECONDS,
    WAIT_SECONDS,
    Exchange,
    is_alive,
)
from tests.process.trading import RawClient, login

FEED_SECONDS = 0.25
SETTLE_SECONDS = 0.5  # in which a gateway would have answered
FIRST = PROCESS_SOURCE_FIRST + SOURCE_GATEWAY_FIRST  # of the gateways
WATCHDOG_USEC = str(int(4e6 * FEED_SECONDS))


class Manager:
    """Hears what a unit says."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = str(folder / "notify")
        self.socket.bind(self.address)
        self.lines: list[str] = []

    def wait_for(self, pattern: str, seconds: float) -> str:
        """The next line that begins as the pattern says."""
        deadline = time.monotonic() + seconds
        while True:
            for place, line in enumerate(self.lines):
                if re.match(pattern, line):
                    del self.lines[: place + 1]
                    return line
            self.lines.clear()
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            self.lines = self.socket.recv(65536).decode().splitlines()

    def is_fed_within(self, seconds: float) -> bool:
        """Whether the watchdog is fed from now on."""
        self.forget()
        try:
            self.wait_for("WATCHDOG=1", seconds)
        except TimeoutError:
            return False
        return True

    def forget(self) -> None:
        """What was said until now."""
        self.lines.clear()
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(65536)
        except BlockingIOError:
            pass


def wait_for(condition: Callable[[], object]) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_unit_says_ready_feeds_and_stops(
    exchange: Callable[..., Exchange], tmp_path: Path
) -> None:
    """From its start to its end, with a matcher that is killed and a supervisor that hangs."""
    manager = Manager(tmp_path)
    unit = exchange(ENGINES + ORDER_GATEWAY)
    unit.environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": WATCHDOG_USEC}
    unit.launch()
    assert manager.wait_for("STATUS=", START_SECONDS).startswith("STATUS=starting: engine 1: ")
    who, where = r"engine 1: matcher \d+, standbys 1", r"epoch 1, sequence \d+, \d+ events/s$"
    manager.wait_for(f"STATUS=ready: {who}, {where}", START_SECONDS)
    assert manager.lines == ["READY=1"]  # in the same breath
    found = unit.status()
    host, port = found["gateways"][0]["address"].rsplit(":", 1)
    socket.create_connection((host, int(port)), timeout=5).close()  # open, not only said so
    assert unit.process is not None
    os.kill(unit.pids()["matcher"], signal.SIGKILL)
    manager.wait_for("STATUS=.* epoch 2, ", WAIT_SECONDS)  # whether there is a new standby or not
    assert manager.is_fed_within(WAIT_SECONDS)

    os.kill(unit.process.pid, signal.SIGSTOP)
    assert not manager.is_fed_within(8 * FEED_SECONDS)
    os.kill(unit.process.pid, signal.SIGCONT)
    assert manager.is_fed_within(WAIT_SECONDS)

    pids = unit.pids().values()
    unit.interrupt()
    manager.wait_for("STOPPING=1", WAIT_SECONDS)
    assert unit.wait() == 0
    assert not any(map(is_alive, pids))
    manager.socket.close()


def test_nobody_is_let_in_before_ready(exchange: Callable[..., Exchange], tmp_path: Path) -> None:
    """Gateways serve, a standby is not ready yet: who logs in waits, and is answered at READY."""
    manager = Manager(tmp_path)
    unit = exchange(ENGINES + ORDER_GATEWAY + MARKET_DATA_GATEWAY)
    unit.environment = {"NOTIFY_SOCKET": manager.address}
    unit.launch()
    unit.wait_until_there(lambda _: True)
    engine = wiring.attach(unit.name, 1, read_only=True)
    rows = engine.control.processes
    standby, *doors = rows[PROCESS_STANDBY_FIRST], rows[FIRST], rows[FIRST + 1]
    wait_for(lambda: int(standby["pid"]))
    os.kill(int(standby["pid"]), signal.SIGSTOP)
    assert standby["state"] == layout.STATE_STARTING
    wait_for(lambda: all(each["state"] == layout.STATE_READY for each in doors))
    first, second = (int(each["counter"][wiring.COUNTER_PORT]) for each in doors)
    with RawClient(first) as trader, RawClient(second) as listener:
        for each in (trader, listener):
            each.send(login("T01", "demo"))
        sockets = [each.socket for each in (trader, listener)]
        assert select.select(sockets, [], [], SETTLE_SECONDS)[0] == []
        os.kill(int(standby["pid"]), signal.SIGCONT)
        for each in (trader, listener):
            assert each.packet()[:1] == b"A"
    manager.socket.setblocking(False)  # it was said before they were let in
    manager.wait_for("READY=1", 0.001)
    unit.interrupt()
    assert unit.wait() == 0
    engine.close()
    manager.socket.close()
